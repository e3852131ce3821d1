r"""The native pooling: tensors in, tensors out.

Everything that crosses is on the CPU, and float32 or float64. Native code looks at shapes and offsets itself.
Values are (T, \*D), results (T', \*D); a whole sequence is one window (see `native/kernels/pool/pool.h`).
"""

import functools
from typing import Any

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called, native_windows
from throughtime.ops.plain import FULL
from throughtime.ops.windows import Divisor, Geometry, Windows
from throughtime.ragged import Layout

_DIVISORS: dict[Divisor, _native.PoolDivisor] = {
    "one": _native.PoolDivisor.ONE,
    "real": _native.PoolDivisor.REAL,
    "border": _native.PoolDivisor.BORDER,
}
# Native code numbers taps with one byte, where windows have at most so many.
MOST_OF_A_BYTE = 127
# Native code numbers rows with 32 bits.
MOST_ROWS = 2**31 - 1
# Dimensions that native code reads.
_MOST_DIMENSIONS = 4


def reads(values: Tensor) -> bool:
    """Tell whether native code reads values of this dtype and number."""
    return values.dtype in FULL and values.shape[0] <= MOST_ROWS


def largest(
    x: Tensor, geometry: Geometry, total: int, nothing: float, *, index: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the largest value of each window, and its tap: −1 where there is none; None unless ``index``.

    Parameters
    ----------
    nothing
        What a window is that has no taps in its sequence.
    """
    rows = _as_rows(x)
    y, taps = _called(_native.pool_max, (rows,), geometry, total=total, nothing=nothing, index=index)
    if rows is x:
        return y, taps
    shape = (total, *x.shape[1:])
    return y.view(shape), None if taps is None else taps.view(shape)


@functools.lru_cache(maxsize=64)
def one_each(sequences: int) -> Tensor:
    """Return the offsets of one window for each sequence; nobody writes to them."""
    return torch.arange(sequences + 1, device="cpu")


def whole_windows(layout: Layout) -> tuple[Tensor, _native.Windows, int]:
    """Return the offsets of one window per sequence, the windows and their number, kept by the layout."""
    cached: tuple[Tensor, _native.Windows, int] | None = layout.cache.get("whole_windows")
    if cached is None:
        count = layout.num_sequences
        cached = one_each(count), native_windows(Windows(layout.total)), count
        layout.cache["whole_windows"] = cached
    return cached


def largest_if_plain(
    x: Tensor, offsets: Tensor, out_offsets: Tensor, windows: _native.Windows, total: int, nothing: float
) -> Tensor | None:
    """Return the largest value of each window, or None where a tensor is unusual or does not fit."""
    result = _native.pool_max(
        x,
        offsets,
        out_offsets,
        windows=windows,
        total=total,
        nothing=nothing,
        index=False,
        threads=torch.get_num_threads(),
        in_order=False,
    )
    return None if result is None else result[0]


def summed_if_plain(
    x: Tensor, offsets: Tensor, out_offsets: Tensor, windows: _native.Windows, total: int, divisor: Divisor
) -> Tensor | None:
    """Return the sum of each window, see `summed`, or None where a tensor is unusual or does not fit."""
    return _native.pool_sum(
        x,
        offsets,
        out_offsets,
        windows=windows,
        total=total,
        divisor=_DIVISORS[divisor],
        threads=torch.get_num_threads(),
        in_order=False,
    )


def largest_gradient(dy: Tensor, index: Tensor, geometry: Geometry, total: int) -> Tensor:
    """Return what the gradient of `largest` makes of that of x."""
    rows = _as_rows(dy)
    dx: Tensor = _called(_native.pool_max_gradient, (rows, _as_rows(index)), geometry, total=total)
    return dx if rows is dy else dx.view(total, *dy.shape[1:])


def summed(x: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
    """Return the sum of each window over 1, over its taps in the sequence, or over those and the borders'."""
    rows = _as_rows(x)
    y: Tensor = _called(_native.pool_sum, (rows,), geometry, total=total, divisor=_DIVISORS[divisor])
    return y if rows is x else y.view(total, *x.shape[1:])


def summed_gradient(dy: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
    """Return what the gradient of `summed` makes of that of x."""
    rows = _as_rows(dy)
    dx: Tensor = _called(
        _native.pool_sum_gradient, (rows,), geometry, total=total, divisor=_DIVISORS[divisor]
    )
    return dx if rows is dy else dx.view(total, *dy.shape[1:])


def _called(function: Any, tensors: tuple[Tensor, ...], geometry: Geometry, **options: Any) -> Any:
    arguments = (*tensors, geometry.offsets, geometry.out_offsets)
    return called(function, arguments, windows=native_windows(geometry.windows), **options)


def _as_rows(values: Tensor) -> Tensor:
    return values if values.dim() <= _MOST_DIMENSIONS else values.flatten(1)
