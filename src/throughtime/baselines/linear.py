"""`LinearModel`: scores that are linear in features."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features = Floats | scipy.sparse.csr_matrix
"""(n, F): features of n sequences or steps."""


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
