"""Convolutions: `layer` chooses the code that runs one, `reference` says what it computes."""
