"""Layers with int8 weights: `packing` rounds weights, `native` runs them, `reference` is the reference."""
