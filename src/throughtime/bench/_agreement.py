"""How far results may be apart for their times to be compared."""

from torch import Tensor

# Of the largest value; sums over thousands of tokens in float32 differ by about 1e-5 of it.
TOLERANCE = 1e-3


def apart(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference as a share of the largest value."""
    scale = float(wanted.detach().abs().max()) + 1e-6
    return float((found - wanted).detach().abs().max()) / scale
