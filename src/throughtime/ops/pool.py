r"""Pooling of whole sequences: segment reductions over ragged batches.

All take ``values`` (T, \*D) and their layout. An empty sequence has nothing to pool: its result is zeros.
Maxima, means and sums of plain tensors on the CPU are native.
Windows in time are in `throughtime.ops.pool_windows`.
"""

from torch import Tensor

from throughtime.ops import _pool_eager
from throughtime.ops._empty import known_empty, with_a_row, zeros_of
from throughtime.ops.reference.pool import (
    max_over_time_reference,
    mean_over_time_reference,
    sum_over_time_reference,
    zeros_where_empty,
)
from throughtime.ragged import Layout


def max_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the largest value of each feature over each sequence, (B, \*D); zeros if empty.

    Of equal values the first has the gradient; NaN is larger than all numbers, as in `torch.max`.
    """
    if _pool_eager.takes(values):
        return _pool_eager.largest(values, _pool_eager.whole(layout), len(layout), 0.0)
    return max_over_time_reference(values, layout)


def mean_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the mean of each feature over each sequence, (B, \*D); zeros if empty."""
    if _pool_eager.takes(values):
        return _pool_eager.summed(values, _pool_eager.whole(layout), len(layout), "real")
    return mean_over_time_reference(values, layout)


def sum_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the sum of each feature over each sequence, (B, \*D); zeros if empty."""
    if _pool_eager.takes(values):
        return _pool_eager.summed(values, _pool_eager.whole(layout), len(layout), "one")
    return sum_over_time_reference(values, layout)


def last_step(values: Tensor, layout: Layout) -> Tensor:
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
