r"""Pooling over windows in time: the borders of each sequence are its own.

Every function takes ``values`` (T, \*D), their layout, and the geometry of the windows, and returns the
values (T', \*D) and the layout of the windows. A sequence in which no window fits becomes empty.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from throughtime.ops.windows import Windows
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
    out, first = _placed(layout, windows, ceil_mode=ceil_mode)
    if out.total == 0:
        return values[:0], out
    seen = values.detach()
    best = seen.new_full((out.total, *seen.shape[1:]), -torch.inf)
    rows = torch.zeros_like(best, dtype=torch.int64)
    some = torch.zeros_like(first, dtype=torch.bool)
    for row, real in _taps(layout, out, first, windows):
        found = seen.index_select(0, row)
        better = (found > best) | (found.isnan() & ~best.isnan()) | ~_wide(some, found)
        better = better & _wide(real, found)
        best = torch.where(better, found, best)
        rows = torch.where(better, _wide(row, found), rows)
        some = some | real
    # With dilation, a window may have all its taps in the borders.
    return values.gather(0, rows).masked_fill(~_wide(some, best), -torch.inf), out


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
    out, first = _placed(layout, windows, ceil_mode=ceil_mode)
    total = values.new_zeros(out.total, *values.shape[1:])
    count = torch.zeros(out.total, dtype=values.dtype, device=values.device)
    lengths = layout.offsets.diff().index_select(0, out.sequence_ids)
    last = lengths + (windows.right if count_padding else 0)
    for tap, (row, real) in enumerate(_taps(layout, out, first, windows)):
        found = values.index_select(0, row)
        total = total + found.masked_fill(~_wide(real, found), 0)
        step = first + tap * windows.dilation
        count += ((step >= (-windows.left if count_padding else 0)) & (step < last)).to(count.dtype)
    return total / _wide(count.clamp(min=1), total), out


def _placed(layout: Layout, windows: Windows, *, ceil_mode: bool) -> tuple[Layout, Tensor]:
    """Return the layout of the windows, and the step (T',) of its sequence at which each begins."""
    lengths = pooled_lengths(layout.lengths, windows, ceil_mode=ceil_mode)
    out = Layout.from_lengths(lengths, layout.offsets.device)
    return out, out.positions * windows.stride - windows.left


def _taps(layout: Layout, out: Layout, first: Tensor, windows: Windows) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each tap the row (T',) that it reads, and whether that is within the sequence."""
    starts = layout.offsets[:-1].index_select(0, out.sequence_ids)
    lengths = layout.offsets.diff().index_select(0, out.sequence_ids)
    for tap in range(windows.size):
        step = first + tap * windows.dilation
        yield starts + step.clamp(min=0).minimum(lengths - 1), (step >= 0) & (step < lengths)


def _wide(per_row: Tensor, values: Tensor) -> Tensor:
    return per_row.view(-1, *(1,) * (values.dim() - 1))
