"""Values and rules that every other layer shares; imports nothing of the project but itself."""
