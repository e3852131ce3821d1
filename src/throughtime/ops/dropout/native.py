"""The native dropout: tensors in, tensors out, float32 or float64 on the CPU."""

from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called
from throughtime.ops.dropout.reference import threshold

# Dimensions that native code reads.
_MOST_DIMENSIONS = 4


def masked(x: Tensor, seed: int, p: float) -> Tensor:
    """Return what `dropout_reference` returns."""
    if not 0 < x.dim() <= _MOST_DIMENSIONS:
        return masked(x.flatten(), seed, p).view(x.shape)
    y: Tensor = called(_native.dropout, (x,), seed=seed, threshold=threshold(p), scale=1 / (1 - p), first=0)
    return y
