"""The seam to the native normalisation: tensors in, tensors out, addresses between.

Everything that crosses is on the CPU, and float32 or float64; the caller has checked shapes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import checked_offsets
from throughtime.ops._memory import address, contiguous, in_order, uninitialised


class Running(NamedTuple):
    """Statistics (C,) that a pass over one segment moves: m ← (1 − momentum) m + momentum · new."""

    momentum: float
    mean: Tensor
    variance: Tensor


class Fixed(NamedTuple):
    """Statistics (C,) that are given: nothing is computed from the values."""

    mean: Tensor
    variance: Tensor


class Norm(NamedTuple):
    """What a normalisation is but for its values: see `native/kernels/norm/norm.h`.

    Statistics are those of each segment's tokens (``offsets``, int64) and of each of so many ``groups`` of
    features.
    """

    offsets: Tensor
    groups: int
    eps: float
    relu: bool = False
    running: Running | None = None
    fixed: Fixed | None = None


def forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, norm: Norm
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (T, C), and μ and 1 / √(σ² + eps), (S, groups), which the gradient needs."""
    x, weight, bias = in_order(x), contiguous(weight), contiguous(bias)
    offsets = checked_offsets(norm.offsets, x.shape[0])
    segments = offsets.shape[0] - 1
    y = uninitialised(x, *x.shape)
    mean, scale = x.new_empty(2, segments, norm.groups).unbind()
    running, fixed = norm.running, norm.fixed or (None, None)
    _native.norm_forward(
        _shape(x, norm),
        (segments, offsets.data_ptr()),
        torch.get_num_threads(),
        (0.0, 0, 0) if running is None else (running[0], running[1].data_ptr(), running[2].data_ptr()),
        address(fixed[0]),
        address(fixed[1]),
        x.data_ptr(),
        address(weight),
        address(bias),
        y.data_ptr(),
        mean.data_ptr(),
        scale.data_ptr(),
    )
    return y, mean, scale


def backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    statistics: tuple[Tensor, Tensor],
    norm: Norm,
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of x, weight and bias, those that are needed."""
    dy, x, weight, bias = in_order(dy), in_order(x), contiguous(weight), contiguous(bias)
    offsets = checked_offsets(norm.offsets, x.shape[0])
    dx = uninitialised(x, *x.shape) if needs[0] else None
    dweight, dbias = (x.new_empty(x.shape[1]) if needed else None for needed in needs[1:])
    _native.norm_backward(
        _shape(x, norm),
        (offsets.shape[0] - 1, offsets.data_ptr()),
        torch.get_num_threads(),
        norm.fixed is not None,
        x.data_ptr(),
        dy.data_ptr(),
        address(weight),
        address(bias),
        statistics[0].data_ptr(),
        statistics[1].data_ptr(),
        address(dx),
        address(dweight),
        address(dbias),
    )
    return dx, dweight, dbias


def _shape(x: Tensor, norm: Norm) -> tuple[float, ...]:
    return x.dtype == torch.float64, norm.relu, x.shape[1], norm.groups, norm.eps
