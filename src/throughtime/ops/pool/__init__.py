"""Pooling: `layer` chooses the code that runs it, `reference` says what it computes."""
