r"""Pooling of whole sequences and of windows in time, and which code runs it.

All functions take ``values`` (T, \*D) and their layout. An empty sequence has nothing to pool: its result is
zeros. Windows in time end with their sequence; one in which no window fits becomes empty. Plain tensors on
the CPU are pooled natively.
"""

import math

from torch import Tensor

from throughtime.ops._empty import known_empty, with_a_row, zeros_of
from throughtime.ops.pool import autograd
from throughtime.ops.pool.reference import (
    max_over_time_reference,
    max_over_windows_reference,
    mean_over_time_reference,
    mean_over_windows_reference,
    sum_over_time_reference,
    zeros_where_empty,
)
from throughtime.ops.window_layouts import windows_laid_out
from throughtime.ops.windows import Geometry, Windows
from throughtime.ragged import Layout


def max_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the largest value of each feature over each sequence, (B, \*D); zeros if empty.

    Of equal values the first has the gradient; NaN is larger than all numbers, as in `torch.max`.
    """
    if autograd.takes(values):
        return autograd.largest(values, autograd.whole(layout), len(layout), 0.0)
    return max_over_time_reference(values, layout)


def mean_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the mean of each feature over each sequence, (B, \*D); zeros if empty."""
    if autograd.takes(values):
        return autograd.summed(values, autograd.whole(layout), len(layout), "real")
    return mean_over_time_reference(values, layout)


def sum_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the sum of each feature over each sequence, (B, \*D); zeros if empty."""
    if autograd.takes(values):
        return autograd.summed(values, autograd.whole(layout), len(layout), "one")
    return sum_over_time_reference(values, layout)


def last_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the last token of each sequence, (B, \*D); zeros if empty."""
    if known_empty(values):
        return zeros_of((len(layout), *values.shape[1:]), values)
    last = (layout.offsets[1:] - 1).clamp(min=0)
    return zeros_where_empty(with_a_row(values).index_select(0, last), layout)


def top_k_over_time(values: Tensor, layout: Layout, k: int) -> Tensor:
    r"""Return the k largest values of each feature, in the order in which they came: (B, k, \*D).

    A shorter sequence gives all its values, and zeros after them. Of equal values the first are taken.
    """
    if known_empty(values):
        return zeros_of((len(layout), k, *values.shape[1:]), values)
    kept = Layout.from_lengths(layout.lengths.clamp(max=k), values.device)
    first = layout.offsets[:-1].index_select(0, kept.sequence_ids)
    best = _by_size(values.detach(), layout).index_select(0, first + kept.positions)
    # Sequences lie one after the other, so that sorting all rows sorts each sequence's own.
    found = values.gather(0, best.sort(0).values)
    rows = values.new_zeros(len(layout) * k, *values.shape[1:])
    rows = rows.index_copy(0, kept.sequence_ids * k + kept.positions, found)
    return rows.view(len(layout), k, *values.shape[1:])


def softmax_over_time(scores: Tensor, layout: Layout) -> Tensor:
    r"""Return exp(s_t) / Σ_u exp(s_u), the sum over the steps of a token's own sequence: (T, \*D)."""
    if known_empty(scores):
        return scores
    ids = layout.sequence_ids
    highest = max_over_time(scores.detach(), layout).index_select(0, ids)
    raised = (scores - highest).exp()
    return raised / sum_over_time(raised, layout).index_select(0, ids)


def _by_size(values: Tensor, layout: Layout) -> Tensor:
    """Return the rows of each feature, sequence by sequence, within one from large to small."""
    order = values.sort(dim=0, descending=True, stable=True).indices
    owner = layout.sequence_ids[order]
    return order.gather(0, owner.sort(dim=0, stable=True).indices)


def max_over_windows(
    values: Tensor, layout: Layout, windows: Windows, *, ceil_mode: bool = False
) -> tuple[Tensor, Layout]:
    """Return the largest value of each feature over each window, steps beyond the sequence left out.

    Of equal values the first has the gradient; NaN is larger than all numbers.
    """
    if autograd.takes(values):
        out = windows_laid_out(layout, windows, ceil_mode=ceil_mode)
        geometry = Geometry(layout.offsets, out.offsets, windows)
        return autograd.largest(values, geometry, out.total, -math.inf), out
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
    if autograd.takes(values):
        out = windows_laid_out(layout, windows, ceil_mode=ceil_mode)
        geometry = Geometry(layout.offsets, out.offsets, windows)
        return autograd.summed(values, geometry, out.total, "border" if count_padding else "real"), out
    out = _laid_out(layout, windows, ceil_mode=ceil_mode)
    return mean_over_windows_reference(values, layout, out, windows, count_padding=count_padding), out


def _laid_out(layout: Layout, windows: Windows, *, ceil_mode: bool) -> Layout:
    lengths = windows.output_lengths(layout.lengths, ceil_mode=ceil_mode)
    return Layout.from_lengths(lengths, layout.offsets.device)
