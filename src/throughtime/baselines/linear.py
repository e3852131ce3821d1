"""`LinearModel`: scores that are linear in features."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features: TypeAlias = Any
"""(n, F): features of n sequences or steps, an array or a sparse matrix of scipy, which has no types."""


@dataclass(frozen=True)
class LinearModel:
    """Scores (W x + b) / T of features x.

    Parameters
    ----------
    weights : ndarray
        W, (N, F).
    intercept : ndarray
        b, (N,); −inf for a class that does not occur in training.
    temperature : float
        T.
    """

    weights: Floats
    intercept: Floats
    temperature: float = 1.0

    def scores(self, features: Features) -> Floats:
        """Return (n, N)."""
        scores: Floats = (features @ self.weights.T + self.intercept) / self.temperature
        return scores

    @property
    def parameters(self) -> int:
        """Number of weights and intercepts."""
        return self.weights.size + self.intercept.size
