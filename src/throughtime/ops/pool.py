r"""Pooling of whole sequences: segment reductions over ragged batches.

All take ``values`` (T, \*D) and their layout. An empty sequence has nothing to pool: its result is zeros.
Windows in time are in `throughtime.ops.pool_windows`.
"""

import torch
from torch import Tensor

from throughtime.ops._empty import zeros_of
from throughtime.ragged import Layout


def max_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the largest value of each feature over each sequence, (B, \*D); zeros if empty.

    Of equal values the first has the gradient; NaN is larger than all numbers, as in `torch.max`.
    """
    if layout.total == 0:
        return zeros_of((len(layout), *values.shape[1:]), values)
    rows = _first_largest(values.detach(), layout)
    return _zeros_where_empty(values.gather(0, rows), layout)


def mean_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the mean of each feature over each sequence, (B, \*D); zeros if empty."""
    lengths = layout.offsets.diff().clamp(min=1).to(values.dtype)
    return sum_over_time(values, layout) / _per_sequence(lengths, values)


def sum_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the sum of each feature over each sequence, (B, \*D); zeros if empty."""
    total = values.new_zeros(len(layout), *values.shape[1:])
    return total.index_add(0, layout.sequence_ids, values)


def last_step(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the last token of each sequence, (B, \*D); zeros if empty."""
    if layout.total == 0:
        return zeros_of((len(layout), *values.shape[1:]), values)
    last = (layout.offsets[1:] - 1).clamp(min=0)
    return _zeros_where_empty(values.index_select(0, last), layout)


def top_k_over_time(values: Tensor, layout: Layout, k: int) -> Tensor:
    r"""Return the k largest values of each feature, in the order in which they came: (B, k, \*D).

    A shorter sequence gives all its values, and zeros after them. Of equal values the first are taken.
    """
    if layout.total == 0:
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
    if layout.total == 0:
        return scores
    ids = layout.sequence_ids
    highest = max_over_time(scores.detach(), layout).index_select(0, ids)
    raised = (scores - highest).exp()
    return raised / sum_over_time(raised, layout).index_select(0, ids)


def _first_largest(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the row of the first largest value of each sequence and feature, (B, \*D); 0 if empty."""
    ids = layout.sequence_ids
    size = (len(layout), *values.shape[1:])
    index = ids.view(-1, *(1,) * (values.dim() - 1)).expand_as(values)
    highest = values.new_zeros(size).scatter_reduce(0, index, values, "amax", include_self=False)
    is_highest = (values == highest.index_select(0, ids)) | values.isnan()
    here = torch.arange(len(values), device=values.device).view(-1, *(1,) * (values.dim() - 1))
    rows = torch.where(is_highest, here, len(values))
    first = rows.new_zeros(size).scatter_reduce(0, index, rows, "amin", include_self=False)
    return first.clamp(max=len(values) - 1)


def _by_size(values: Tensor, layout: Layout) -> Tensor:
    """Return the rows of each feature, sequence by sequence, within one from large to small."""
    order = values.sort(dim=0, descending=True, stable=True).indices
    owner = layout.sequence_ids[order]
    return order.gather(0, owner.sort(dim=0, stable=True).indices)


def _per_sequence(one_each: Tensor, values: Tensor) -> Tensor:
    return one_each.view(-1, *(1,) * (values.dim() - 1))


def _zeros_where_empty(pooled: Tensor, layout: Layout) -> Tensor:
    if layout.lengths.all():
        return pooled
    return pooled.masked_fill(_per_sequence(layout.offsets.diff() == 0, pooled), 0)
