"""Rows for training and validation where there are too few for a random split, and weights of rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.learn.recipe import Recipe
from throughtime.learn.split import Parts, split_rows

_FEW = 10
"""With fewer rows, validation is on the training rows."""


def small_parts(recipe: Recipe, table: Table, classes: Sequence[str] | None) -> Parts | None:
    """Return the rows of the parts of data that are too few for a random split; None if they are not.

    Fewer than 10 rows are all used for training and for validation; the only row of a class is used for
    training.
    """
    if recipe.split.group or recipe.split.time:
        return None
    rows = np.arange(len(table))
    none = rows[:0]
    if len(table) < _FEW:
        return Parts(rows, rows, none)
    if classes is None:
        return None
    _, numbers, counts = np.unique(np.asarray(classes), return_inverse=True, return_counts=True)
    single = counts[numbers] == 1
    if not single.any():
        return None
    others = rows[~single]
    if not len(others):
        return Parts(rows, rows, none)
    labels = [classes[row] for row in others]
    parts = split_rows(
        table.select(others), recipe.split.validation, 0.0, recipe.optimizer.seed, classes=labels
    )
    training = np.sort(np.concatenate([others[parts.training], rows[single]]))
    return Parts(training, others[parts.validation], none)


def checked_weights(weights: Any, rows: int) -> NDArray[np.float64]:
    """Return the weights of rows, (rows,).

    Raises
    ------
    DataError
        If their number differs, one is negative or not finite, or all are zero.
    """
    values = np.asarray(weights, dtype=np.float64)
    values = np.full(rows, values) if values.ndim == 0 else values
    if values.shape != (rows,):
        raise DataError(
            f"sample_weight has shape {values.shape}, expected ({rows},): give one weight for each row"
        )
    if not np.isfinite(values).all() or (values < 0).any():
        row = int(np.flatnonzero(~np.isfinite(values) | (values < 0))[0])
        raise DataError(
            f"sample_weight has {values[row]} for item {row}, expected a finite weight of at least zero"
        )
    if not values.any():
        raise DataError("sample_weight has only zero weights; give at least one row a positive weight")
    return values


def weight_tensor(*weights: NDArray[np.float64] | None) -> Tensor | None:
    """Return the product of weights of rows as float32, None if there are none."""
    factors = [part for part in weights if part is not None]
    return torch.from_numpy(np.prod(factors, axis=0)).float() if factors else None
