"""Recurrent cells written as a step in PyTorch, the layers of them, and wrappers for cells."""
