r"""The seam to the native pooling: tensors in, tensors out, addresses between.

Everything that crosses is on the CPU, and float32 or float64; the caller has checked shapes. Values are
(T, \*D), results (T', \*D); a whole sequence is one window (see `native/kernels/pool/pool.h`).
"""

import math
from typing import Literal

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import native_batch
from throughtime.ops._memory import address, in_order, uninitialised
from throughtime.ops.windows import Geometry, Windows
from throughtime.ragged import Layout

Divisor = Literal["one", "real", "border"]

_DIVISORS: dict[Divisor, int] = {"one": 0, "real": 1, "border": 2}
_LARGEST_BYTE = 127


def windows_laid_out(layout: Layout, windows: Windows, *, ceil_mode: bool) -> Layout:
    """Return the layout of the windows of each sequence, see `pooled_lengths`."""
    offsets = layout.host_offsets.contiguous()
    out = torch.empty_like(offsets)
    _native.pool_windows(
        (False, 0, *windows[:4]), windows.right, ceil_mode, len(layout), offsets.data_ptr(), out.data_ptr()
    )
    return Layout(out, out)


def largest(
    x: Tensor, geometry: Geometry, total: int, nothing: float, *, index: bool
) -> tuple[Tensor, Tensor]:
    """Return the largest value of each window, and its tap: −1 where there is none; empty unless ``index``.

    Parameters
    ----------
    nothing
        What a window is that has no taps in its sequence.
    """
    x = in_order(x)
    batch, _kept = native_batch(geometry, x.shape[0], total)
    shape = (total, *x.shape[1:])
    y = uninitialised(x, *shape)
    small = geometry.windows.size <= _LARGEST_BYTE
    taps = torch.empty(shape if index else 0, dtype=torch.int8 if small else torch.int32, device="cpu")
    _native.pool_max(
        _shape(x, geometry),
        batch,
        torch.get_num_threads(),
        nothing,
        taps.element_size(),
        x.data_ptr(),
        y.data_ptr(),
        address(taps),
    )
    return y, taps


def largest_gradient(dy: Tensor, index: Tensor, geometry: Geometry, total: int) -> Tensor:
    """Return what the gradient of `largest` makes of that of x."""
    dy = in_order(dy)
    batch, _kept = native_batch(geometry, total, dy.shape[0])
    dx = uninitialised(dy, total, *dy.shape[1:])
    _native.pool_max_gradient(
        _shape(dy, geometry),
        batch,
        torch.get_num_threads(),
        index.element_size(),
        dy.data_ptr(),
        index.data_ptr(),
        dx.data_ptr(),
    )
    return dx


def summed(x: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
    """Return the sum of each window over 1, over its taps in the sequence, or over those and the borders'."""
    x = in_order(x)
    batch, _kept = native_batch(geometry, x.shape[0], total)
    y = uninitialised(x, total, *x.shape[1:])
    _native.pool_sum(
        _shape(x, geometry),
        batch,
        torch.get_num_threads(),
        _DIVISORS[divisor],
        geometry.windows.right,
        x.data_ptr(),
        y.data_ptr(),
    )
    return y


def summed_gradient(dy: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
    """Return what the gradient of `summed` makes of that of x."""
    dy = in_order(dy)
    batch, _kept = native_batch(geometry, total, dy.shape[0])
    dx = uninitialised(dy, total, *dy.shape[1:])
    _native.pool_sum_gradient(
        _shape(dy, geometry),
        batch,
        torch.get_num_threads(),
        _DIVISORS[divisor],
        geometry.windows.right,
        dy.data_ptr(),
        dx.data_ptr(),
    )
    return dx


def _shape(x: Tensor, geometry: Geometry) -> tuple[int, ...]:
    windows = geometry.windows
    features = math.prod(x.shape[1:])
    return x.dtype == torch.float64, features, windows.size, windows.stride, windows.dilation, windows.left
