"""Generated data of which the right answers are known."""

import numpy as np
from numpy.typing import NDArray


def gun_point(rows: int = 48, steps: int = 40, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Return a plateau with, or without, a dip at its end."""
    random = np.random.default_rng(seed)
    labels = np.array(["gun", "point"])[np.arange(rows) % 2]
    time = np.linspace(-1, 1, steps)
    series = np.tanh(8 * (0.6 - np.abs(time))) + 0.05 * random.normal(size=(rows, steps))
    dip = np.exp(-(((time - 0.75) / 0.08) ** 2))
    return series - np.where(labels == "gun", 0.8, 0.0)[:, None] * dip, labels


SENTENCES = ["good film", "bad film", "good play", "bad play", "a good one", "a bad one"] * 8
OPINIONS = np.array([5, 1] * 24)
SESSIONS = [["open", "read", "close"], ["open", "write", "close"]] * 20


def ragged_series(
    rows: int = 40, channels: int | None = None
) -> tuple[list[NDArray[np.float64]], NDArray[np.int64]]:
    """Return series of unequal length whose class is the sign of their mean."""
    random = np.random.default_rng(1)
    signs = np.where(np.arange(rows) % 2, 1, -1)
    shapes = [
        (length,) if channels is None else (channels, length) for length in random.integers(5, 12, rows)
    ]
    series = [random.normal(size=shape) + 2 * sign for shape, sign in zip(shapes, signs, strict=True)]
    return series, signs
