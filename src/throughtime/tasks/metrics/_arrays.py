"""Checks of arrays of probabilities."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.errors import ShapeError


def probability_array(probabilities: ArrayLike, columns: int) -> NDArray[np.float64]:
    """Return probabilities (N, columns) as float64.

    Raises
    ------
    ShapeError
        If the shape is another, there are no rows, or a value is not from 0 to 1.
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    if shares.ndim != 2 or shares.shape[1] != columns or not shares.size:
        raise ShapeError(f"probabilities must be (N, {columns}) with N from 1, got shape {shares.shape}")
    outside = ~((shares >= 0) & (shares <= 1 + 1e-6)).all(1)
    if outside.any():
        row = int(outside.argmax())
        raise ShapeError(
            f"row {row} of the probabilities has a value that is not from 0 to 1; "
            "apply softmax or sigmoid to logits"
        )
    return np.minimum(shares, 1.0)


def clipped_log(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log max(p, 2.2e−16), so that one certain mistake doesn't make a mean loss infinite."""
    return np.log(np.maximum(shares, np.finfo(np.float64).eps))
