"""Recurrences whose step is any function in PyTorch."""
