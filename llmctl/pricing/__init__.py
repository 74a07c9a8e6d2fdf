"""What calls cost: the price book, exact costs, token counts and the choice of a model."""
