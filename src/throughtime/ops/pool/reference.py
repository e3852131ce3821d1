r"""Pooling in plain PyTorch: windows in time, whole sequences, and what the kernels' gradients are.

The kernels are tested against it; other devices, compilers and torch's function transforms run it. Values are
(T, \*D), results (T', \*D), with the two offsets of a `Geometry`. See `throughtime.ops.pool.layer` for
what equal values, NaN and empty sequences give.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from throughtime.ops._empty import known_empty, with_a_row, zeros_of
from throughtime.ops.windows import Geometry, Windows
from throughtime.ragged import Layout

# --------------------------------------------------------------------------------------- whole sequences


def max_over_time_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D), see `throughtime.ops.pool.layer.max_over_time`."""
    if known_empty(values):
        return zeros_of((len(layout), *values.shape[1:]), values)
    rows = _first_largest(values.detach(), layout)
    return zeros_where_empty(with_a_row(values).gather(0, rows), layout)


def mean_over_time_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D), see `throughtime.ops.pool.layer.mean_over_time`."""
    lengths = layout.offsets.diff().clamp(min=1).to(values.dtype)
    return sum_over_time_reference(values, layout) / _wide(lengths, values)


def sum_over_time_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D), see `throughtime.ops.pool.layer.sum_over_time`."""
    total = values.new_zeros(len(layout), *values.shape[1:])
    return total.index_add(0, layout.sequence_ids, values)


def zeros_where_empty(pooled: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D) with zeros for each sequence without tokens."""
    if not torch.compiler.is_compiling() and layout.lengths.all():
        return pooled
    return pooled.masked_fill(_wide(layout.offsets.diff() == 0, pooled), 0)


def _first_largest(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the row of the first largest value of each sequence and feature, (B, \*D); 0 if empty."""
    ids = layout.sequence_ids
    size = (len(layout), *values.shape[1:])
    index = _wide(ids, values).expand_as(values)
    highest = values.new_zeros(size).scatter_reduce(0, index, values, "amax", include_self=False)
    is_highest = (values == highest.index_select(0, ids)) | values.isnan()
    here = _wide(torch.arange(len(values), device=values.device), values)
    rows = torch.where(is_highest, here, len(values))
    first = rows.new_zeros(size).scatter_reduce(0, index, rows, "amin", include_self=False)
    return first.clamp(max=len(values) - 1).clamp(min=0)


# ----------------------------------------------------------------------------------------------- windows


def max_over_windows_reference(values: Tensor, layout: Layout, out: Layout, windows: Windows) -> Tensor:
    r"""Return (T', \*D), see `throughtime.ops.pool.layer.max_over_windows`."""
    first = _first_steps(out, windows)
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
    return values.gather(0, rows).masked_fill(~_wide(some, best), -torch.inf)


def mean_over_windows_reference(
    values: Tensor, layout: Layout, out: Layout, windows: Windows, *, count_padding: bool
) -> Tensor:
    r"""Return (T', \*D), see `throughtime.ops.pool.layer.mean_over_windows`."""
    first = _first_steps(out, windows)
    total = values.new_zeros(out.total, *values.shape[1:])
    for row, real in _taps(layout, out, first, windows):
        found = values.index_select(0, row)
        total = total + found.masked_fill(~_wide(real, found), 0)
    geometry = Geometry(layout.offsets, out.offsets, windows)
    return total / _wide(taps_counted(geometry, out.total, border=count_padding).to(total.dtype), total)


def _first_steps(out: Layout, windows: Windows) -> Tensor:
    """Return the step (T',) of its sequence at which each window begins."""
    return out.positions * windows.stride - windows.left


def _taps(layout: Layout, out: Layout, first: Tensor, windows: Windows) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each tap the row (T',) that it reads, and whether that is within the sequence."""
    starts = layout.offsets[:-1].index_select(0, out.sequence_ids)
    lengths = layout.offsets.diff().index_select(0, out.sequence_ids)
    for tap in range(windows.size):
        step = first + tap * windows.dilation
        yield starts + step.clamp(min=0).minimum(lengths - 1), (step >= 0) & (step < lengths)


def _wide(per_row: Tensor, values: Tensor) -> Tensor:
    return per_row.view(-1, *(1,) * (values.dim() - 1))


# --------------------------------------------------------------------------------------------- gradients


def taps_counted(geometry: Geometry, out_total: int, *, border: bool) -> Tensor:
    """Return how many taps (T',) of each window lie in the sequence, or it and its borders; at least 1."""
    _, first, lengths = _windows_of(geometry, out_total)
    windows = geometry.windows
    low = -windows.left if border else 0
    high = lengths + (windows.right if border else 0)
    return (_taps_before(high, first, windows) - _taps_before(low, first, windows)).clamp(min=1)


def rows_of_largest(index: Tensor, geometry: Geometry) -> Tensor:
    r"""Return the row (T', \*D) that the tap (T', \*D) of each window reads."""
    starts, first, _ = _windows_of(geometry, index.shape[0])
    return _wide(starts + first, index) + index.long() * geometry.windows.dilation


def max_gradient_reference(dy: Tensor, index: Tensor, geometry: Geometry, total: int) -> Tensor:
    r"""Return dx (T, \*D): each window's gradient where its largest value lies; index −1 has none."""
    none = index < 0
    rows = rows_of_largest(index, geometry).masked_fill(none, 0)
    dx = dy.new_zeros(max(total, 1), *dy.shape[1:])
    return dx.scatter_add(0, rows, dy.masked_fill(none, 0))[:total]


def at_largest_reference(ddx: Tensor, index: Tensor, geometry: Geometry) -> Tensor:
    r"""Return (T', \*D) out of (T, \*D): what lies where each window's largest value does, else 0."""
    if ddx.shape[0] == 0:
        return zeros_of(index.shape, ddx)
    none = index < 0
    rows = rows_of_largest(index, geometry).masked_fill(none, 0)
    return ddx.gather(0, rows).masked_fill(none, 0)


def sum_gradient_reference(dy: Tensor, geometry: Geometry, total: int) -> Tensor:
    r"""Return dx (T, \*D): the sum of the gradients of the windows that see a row."""
    windows = geometry.windows
    starts, first, lengths = _windows_of(geometry, dy.shape[0])
    begin = _taps_before(0, first, windows)
    counts = _taps_before(lengths, first, windows) - begin
    # One entry for each tap of each window that lies in the sequence.
    ids = torch.repeat_interleave(counts)
    taps = torch.arange(len(ids), device=ids.device) - (counts.cumsum(0) - counts - begin).index_select(
        0, ids
    )
    rows = (starts + first).index_select(0, ids) + taps * windows.dilation
    return dy.new_zeros(total, *dy.shape[1:]).index_add(0, rows, dy.index_select(0, ids))


def _windows_of(geometry: Geometry, out_total: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each window (T',) where its sequence starts, the step of its first tap, and the length."""
    offsets, out_offsets, windows, _ = geometry
    ids = torch.repeat_interleave(out_offsets.diff(), output_size=out_total)
    steps = torch.arange(out_total, device=offsets.device) - out_offsets[:-1].index_select(0, ids)
    starts, lengths = offsets[:-1].index_select(0, ids), offsets.diff().index_select(0, ids)
    return starts, steps * windows.stride - windows.left, lengths


def _taps_before(step: Tensor | int, first: Tensor, windows: Windows) -> Tensor:
    """Return how many taps (T',) of each window come before a step."""
    return (
        (step - first + windows.dilation - 1)
        .div(windows.dilation, rounding_mode="floor")
        .clamp(0, windows.size)
    )
