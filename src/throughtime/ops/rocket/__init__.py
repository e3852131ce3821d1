"""Features of MiniRocket and MultiRocket: `layer` selects an implementation, `reference` is the reference."""
