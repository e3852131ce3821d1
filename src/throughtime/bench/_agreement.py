"""Agreement of results, which is required to compare their times."""

from torch import Tensor

# Relative to the largest value; sums over thousands of tokens in float32 differ by about 1e-5 of it.
TOLERANCE = 1e-3


def apart(actual: Tensor, expected: Tensor) -> float:
    """Return the largest absolute difference relative to the largest expected value."""
    scale = float(expected.detach().abs().max()) + 1e-6
    return float((actual - expected).detach().abs().max()) / scale
