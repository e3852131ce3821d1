"""Recurrences written as functions in PyTorch against built-in layers, loops over torch's cells, and JAX."""

from throughtime.bench.cells.comparisons import PARTS, Plan, measure
from throughtime.bench.cells.row import Row

__all__ = ["PARTS", "Plan", "Row", "measure"]
