"""Pooling of whole sequences and of windows in time."""
