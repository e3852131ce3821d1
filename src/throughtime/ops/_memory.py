"""Memory for the results of native code, and tensors in the order in which it reads them."""

import math

import torch
from torch import Tensor

from throughtime import _native


def uninitialised(like: Tensor, *shape: int) -> Tensor:
    """Return uninitialised memory, of the kernels' pool if it is large; for float32 and float64."""
    return _native.empty(like.dtype == torch.float64, math.prod(shape)).view(shape)


def in_order(tensor: Tensor) -> Tensor:
    """Return a tensor whose entries are in memory as they are, one after the other."""
    # One number alone is contiguous even where it is the imaginary part of a conjugate, stored with its
    # other sign.
    return tensor.resolve_neg().contiguous()


def contiguous(tensor: Tensor | None) -> Tensor | None:
    """Return the same of a tensor that may be missing."""
    return None if tensor is None else in_order(tensor)
