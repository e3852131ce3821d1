r"""Pooling over windows in time: the borders of each sequence are its own.

Every function takes ``values`` (T, \*D), their layout, and the geometry of the windows, and returns the
values (T', \*D) and the layout of the windows. A sequence in which no window fits becomes empty. Plain
tensors on the CPU are pooled natively.
"""

import math

import torch
from torch import Tensor

from throughtime.ops import _pool_eager
from throughtime.ops.reference.pool import max_over_windows_reference, mean_over_windows_reference
from throughtime.ops.window_layouts import windows_laid_out
from throughtime.ops.windows import Geometry, Windows
from throughtime.ragged import Layout


def pooled_lengths(lengths: Tensor, windows: Windows, *, ceil_mode: bool = False) -> Tensor:
    """Return how many windows each length has, as torch counts them; 0 where none fits.

    With ``ceil_mode`` a last window may hang over the end, but it has to begin before it.
    """
    if not ceil_mode:
        return windows.output_lengths(lengths)
    room = lengths + (windows.left + windows.right - windows.reach - 1)
    count = (room + windows.stride - 1).div(windows.stride, rounding_mode="floor") + 1
    count = torch.where((count - 1) * windows.stride >= lengths + windows.left, count - 1, count)
    return torch.where(lengths == 0, 0, count.clamp(min=0))


def max_over_windows(
    values: Tensor, layout: Layout, windows: Windows, *, ceil_mode: bool = False
) -> tuple[Tensor, Layout]:
    """Return the largest value of each feature over each window, steps beyond the sequence left out.

    Of equal values the first has the gradient; NaN is larger than all numbers.
    """
    if _pool_eager.takes(values):
        out = windows_laid_out(layout, windows, ceil_mode=ceil_mode)
        geometry = Geometry(layout.offsets, out.offsets, windows)
        return _pool_eager.largest(values, geometry, out.total, -math.inf), out
    out = _laid_out(layout, windows, ceil_mode=ceil_mode)
    return max_over_windows_reference(values, layout, out, windows), out


def mean_over_windows(
    values: Tensor,
    layout: Layout,
    windows: Windows,
    *,
    ceil_mode: bool = False,
    count_padding: bool = True,
) -> tuple[Tensor, Layout]:
    """Return the mean of each feature over each window.

    Borders (``windows.left`` and ``right``) are zeros, which are counted unless ``count_padding`` is
    False; what ``ceil_mode`` lets hang over beyond them is not counted.
    """
    if _pool_eager.takes(values):
        out = windows_laid_out(layout, windows, ceil_mode=ceil_mode)
        geometry = Geometry(layout.offsets, out.offsets, windows)
        return _pool_eager.summed(values, geometry, out.total, "border" if count_padding else "real"), out
    out = _laid_out(layout, windows, ceil_mode=ceil_mode)
    return mean_over_windows_reference(values, layout, out, windows, count_padding=count_padding), out


def _laid_out(layout: Layout, windows: Windows, *, ceil_mode: bool) -> Layout:
    lengths = pooled_lengths(layout.lengths, windows, ceil_mode=ceil_mode)
    return Layout.from_lengths(lengths, layout.offsets.device)
