"""Recurrences whose step is a program: traced once, run forward and backward by the native loop over time."""
