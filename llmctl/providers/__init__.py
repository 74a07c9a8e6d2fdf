"""The ways to the models: what each provider is, its wire and its formats."""
