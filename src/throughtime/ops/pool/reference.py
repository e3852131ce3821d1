r"""Pooling in plain PyTorch: windows in time, whole sequences, and what the kernels' gradients are.

The kernels are tested against it; other devices, compilers and torch's function transforms run it. Values are
(T, \*D), results (T', \*D), with the two offsets of a `Geometry`. See `throughtime.ops.pool.layer` for
what equal values, NaN and empty sequences give.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from throughtime.ops._empty import known_empty, with_a_row, zeros_of
from throughtime.ops.windows import Divisor, Geometry, Windows
from throughtime.ragged import Layout

# --------------------------------------------------------------------------------------- whole sequences


def max_over_time_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D), see `throughtime.ops.pool.layer.max_over_time`."""
    if known_empty(values):
        return zeros_of((layout.num_sequences, *values.shape[1:]), values)
    return values_at(values, max_rows_reference(values.detach(), layout))


def max_rows_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the row of the first largest value of each sequence and feature, (B, \*D); −1 if empty."""
    ids = layout.sequence_ids
    size = (layout.num_sequences, *values.shape[1:])
    index = _wide(ids, values).expand_as(values)
    highest = values.new_zeros(size).scatter_reduce(0, index, values, "amax", include_self=False)
    is_highest = (values == highest.index_select(0, ids)) | values.isnan()
    here = _wide(torch.arange(values.shape[0], device=values.device), values)
    rows = torch.where(is_highest, here, values.shape[0])
    none = rows.new_full(size, -1)
    return none.scatter_reduce(0, index, rows, "amin", include_self=False)


def mean_over_time_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D), see `throughtime.ops.pool.layer.mean_over_time`."""
    lengths = layout.offsets.diff().clamp(min=1).to(values.dtype)
    return sum_over_time_reference(values, layout) / _wide(lengths, values)


def std_over_time_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D), see `throughtime.ops.pool.layer.std_over_time`."""
    return root(centred(values, layout, mean_over_time_reference)[1])


def centred(
    values: Tensor, layout: Layout, mean: Callable[[Tensor, Layout], Tensor]
) -> tuple[Tensor, Tensor]:
    r"""Return distances (T, \*D) to the mean of the sequence, and their mean squares (B, \*D)."""
    distances = values - mean(values, layout).index_select(0, layout.sequence_ids)
    return distances, mean(distances.square(), layout)


def root(variance: Tensor) -> Tensor:
    """Return square roots whose gradient is 0 where they are."""
    differs = variance != 0  # also where it is NaN
    return torch.where(differs, torch.where(differs, variance, 1).sqrt(), 0)


def sum_over_time_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D), see `throughtime.ops.pool.layer.sum_over_time`."""
    total = values.new_zeros(layout.num_sequences, *values.shape[1:])
    return total.index_add(0, layout.sequence_ids, values)


def zeros_where_empty(pooled: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D) with zeros for each sequence without tokens."""
    if not torch.compiler.is_compiling() and layout.lengths.all():
        return pooled
    return pooled.masked_fill(_wide(layout.offsets.diff() == 0, pooled), 0)


def last_over_time_reference(values: Tensor, layout: Layout) -> Tensor:
    r"""Return (B, \*D), see `throughtime.ops.pool.layer.last_over_time`."""
    if known_empty(values):
        return zeros_of((layout.num_sequences, *values.shape[1:]), values)
    last = (layout.offsets[1:] - 1).clamp(min=0)
    return zeros_where_empty(with_a_row(values).index_select(0, last), layout)


def top_k_over_time_reference(values: Tensor, layout: Layout, k: int) -> Tensor:
    r"""Return (B, k, \*D), see `throughtime.ops.pool.layer.top_k_over_time`."""
    if known_empty(values):
        return zeros_of((layout.num_sequences, k, *values.shape[1:]), values)
    rows = top_k_rows_reference(values.detach(), layout, k)
    return values_at(values, rows.flatten(0, 1)).view(rows.shape)


def top_k_rows_reference(values: Tensor, layout: Layout, k: int) -> Tensor:
    r"""Return the rows (B, k, \*D) of the k largest values, in the order of time; −1 if there are fewer."""
    kept = Layout.from_lengths(layout.lengths.clamp(max=k), values.device)
    ids = kept.sequence_ids
    first = layout.offsets[:-1].index_select(0, ids)
    largest = _by_size(values, layout).index_select(0, first + kept.positions)
    rows = largest.new_full((layout.num_sequences * k, *values.shape[1:]), -1)
    # Sequences lie one after the other, so that sorting all rows sorts each sequence's own.
    rows = rows.index_copy(0, ids * k + kept.positions, largest.sort(0).values)
    return rows.view(layout.num_sequences, k, *values.shape[1:])


def _by_size(values: Tensor, layout: Layout) -> Tensor:
    """Return the rows of each feature, sequence by sequence, within one from large to small."""
    order = values.sort(dim=0, descending=True, stable=True).indices
    owner = layout.sequence_ids[order]
    return order.gather(0, owner.sort(dim=0, stable=True).indices)


def softmax_over_time_reference(scores: Tensor, layout: Layout) -> Tensor:
    r"""Return (T, \*D), see `throughtime.ops.pool.layer.softmax_over_time`."""
    ids = layout.sequence_ids
    highest = max_over_time_reference(scores.detach(), layout).index_select(0, ids)
    raised = (scores - highest).exp()
    return raised / sum_over_time_reference(raised, layout).index_select(0, ids)


def values_at(values: Tensor, rows: Tensor) -> Tensor:
    r"""Return the values (N, \*D) in these rows (N, \*D) of each feature; zeros for row −1."""
    return with_a_row(values).gather(0, rows.clamp(min=0)).masked_fill(rows < 0, 0)


def added_at(updates: Tensor, rows: Tensor, total: int) -> Tensor:
    r"""Return (total, \*D), the sum of all updates (N, \*D) at each row; those of row −1 are left out."""
    sums = updates.new_zeros(total + 1, *updates.shape[1:])
    return sums.scatter_add(0, torch.where(rows < 0, total, rows), updates).narrow(0, 0, total)


# ----------------------------------------------------------------------------------------------- windows


def max_over_windows_reference(values: Tensor, layout: Layout, out: Layout, windows: Windows) -> Tensor:
    r"""Return (T', \*D), see `throughtime.ops.pool.layer.max_over_windows`."""
    taps = max_taps_reference(values.detach(), layout, out, windows)
    largest = at_largest_reference(values, taps, Geometry(layout.offsets, out.offsets, windows))
    # With dilation, a window may have all its taps in the borders.
    return largest.masked_fill(taps < 0, -torch.inf)


def max_taps_reference(values: Tensor, layout: Layout, out: Layout, windows: Windows) -> Tensor:
    r"""Return the tap of the first largest value of each window, (T', \*D); −1 if all are in the borders."""
    largest = values.new_full((out.total, *values.shape[1:]), -torch.inf)
    taps = torch.full_like(largest, -1, dtype=torch.int64)
    for tap, (row, real) in enumerate(_taps(layout, out, _first_steps(out, windows), windows)):
        seen = values.index_select(0, row)
        larger = (seen > largest) | (seen.isnan() & ~largest.isnan()) | (taps < 0)
        larger = larger & _wide(real, seen)
        largest = torch.where(larger, seen, largest)
        taps = torch.where(larger, tap, taps)
    return taps


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
    if known_empty(ddx):
        return zeros_of(index.shape, ddx)
    none = index < 0
    rows = rows_of_largest(index, geometry).masked_fill(none, 0)
    return ddx.gather(0, rows).masked_fill(none, 0)


def mean_gradient_reference(dy: Tensor, geometry: Geometry, total: int, divisor: Divisor) -> Tensor:
    r"""Return dx (T, \*D) of sums over 1, over the taps in the sequence, or over those and the borders'."""
    if divisor != "one":
        counts = taps_counted(geometry, dy.shape[0], border=divisor == "border")
        dy = dy / _wide(counts.to(dy.dtype), dy)
    return sum_gradient_reference(dy, geometry, total)


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
