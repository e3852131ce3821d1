"""Dropout by a counter-based generator: `layer` selects an implementation, `reference` is the reference."""
