"""Normalization: `layer` selects an implementation, `reference` is the reference."""
