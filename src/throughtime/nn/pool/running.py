r"""Pooling of streams: the value over all steps so far, given the next steps of every sequence and a state.

Every function takes a `Ragged` with the next steps (T, \*D) of B sequences and the state after the steps
before, None at the beginning, and returns the pooled value (B, \*D) and the state after these steps, tensors
(B, …). Maximum, sum, mean, last and top-k are those of the whole sequences, bit for bit; deviation and
attention, which whole sequences compute in two passes, are equal to them up to rounding.
"""

from typing import Any

import torch
from torch import Tensor

from throughtime.ops.plain import HALF
from throughtime.ops.pool.layer import (
    last_over_time,
    max_over_time,
    mean_over_time,
    sum_over_time,
    top_k_over_time,
)
from throughtime.ops.pool.reference import root
from throughtime.ragged import Layout, Ragged

# `sum_of` in native/kernels/pool/sum.h sums so many steps by themselves, and so many of these sums.
_RUN = 64


def running_last(x: Ragged, state: Any) -> tuple[Tensor, Tensor]:
    """Return the last step so far; the state is the same."""
    last = last_over_time(x.values, x.layout)
    if state is not None:
        last = torch.where(_wide(_counts(x) > 0, last), last, state)
    return last, last


def running_max(x: Ragged, state: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the maximum so far; the state is it, and the number of steps."""
    largest, count = max_over_time(x.values, x.layout), _counts(x)
    if state is not None:
        before, count_before = state
        # Of equal values the first, and NaN above all numbers, as in `max_over_time`.
        larger = (largest > before) | (largest.isnan() & ~before.isnan())
        here = (larger | _wide(count_before == 0, larger)) & _wide(count > 0, larger)
        largest, count = torch.where(here, largest, before), count_before + count
    return largest, (largest, count)


def running_sum(x: Ragged, state: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the sum so far.

    The state is what the kernel keeps while it sums a sequence: the sum of whole groups of runs, of whole
    runs of the last group, of the steps of the last run, and the number of steps.
    """
    zeros = x.values.new_zeros(x.layout.num_sequences, *x.shape[1:])
    total, group, run, count = (zeros, zeros, zeros, _counts(x) * 0) if state is None else state
    runs, run = _sums(x, run, count % _RUN)
    if runs.layout.total:
        groups, group = _sums(runs, group, count // _RUN % _RUN)
        total = _added(total, groups) if groups.layout.total else total
    return total + (group + run), (total, group, run, count + _counts(x))


def running_mean(x: Ragged, state: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the mean so far; the state is that of `running_sum`."""
    total, state = running_sum(x, state)
    return total / _wide(state[-1].clamp(min=1), total).to(total.dtype), state


def running_std(x: Ragged, state: Any) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return the standard deviation so far; the state is mean, squared deviations and number of steps.

    Two parts with n and m values, means a and b and squared deviations A and B have together
    A + B + (b − a)² n m / (n + m) (T. F. Chan, G. H. Golub and R. J. LeVeque, 1979).
    """
    if x.dtype in HALF:
        deviation, state = running_std(x.float(), state)
        return deviation.to(x.dtype), state
    here = mean_over_time(x.values, x.layout)
    apart = x.values - here.index_select(0, x.layout.sequence_ids)
    squares, count = sum_over_time(apart.square(), x.layout), _counts(x)
    if state is not None:
        mean, squares_before, count_before = state
        moved = here - mean
        m, both = _wide(count, here).to(here.dtype), _wide(count + count_before, here).to(here.dtype)
        share = m / both.clamp(min=1)
        squares = squares + squares_before + moved.square() * share * (both - m)
        here, count = mean + moved * share, count + count_before
    return root(squares / _wide(count.clamp(min=1), squares).to(squares.dtype)), (here, squares, count)


def running_top_k(x: Ragged, state: Any, k: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the k largest values so far; the state is them, and how many they are."""
    count = _counts(x)
    if state is not None:
        largest, count_before = state
        x = Ragged.cat_time([_first_of_each(largest, count_before), x])
        count = count + count_before
    kept = top_k_over_time(x.values, x.layout, k)
    return kept, (kept, count.clamp(max=k))


def running_attention(x: Ragged, scores: Tensor, state: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return Σ exp(s_t) x_t / Σ exp(s_t) so far, of the scores s (T,) of the steps.

    The state is the maximum of the scores (with the number of steps), and both sums, divided by its
    exponential (M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax",
    arXiv:1805.02867, 2018).
    """
    before = None if state is None else state[:2]
    highest, (_, count) = running_max(x.with_values(scores), before)
    raised = (scores - highest.index_select(0, x.layout.sequence_ids)).exp()
    sums = sum_over_time(raised[:, None] * x.values, x.layout), sum_over_time(raised, x.layout)
    if state is not None:
        shrunk = torch.where(state[1] > 0, (state[0] - highest).exp(), 0)
        sums = sums[0] + state[2] * shrunk[:, None], sums[1] + state[3] * shrunk
    weights = torch.where(count > 0, sums[1], 1)
    return sums[0] / weights[:, None], (highest, count, *sums)


def _sums(items: Ragged, partial: Tensor, filled: Tensor) -> tuple[Ragged, Tensor]:
    r"""Return the sums of the runs that became whole, one after the other, and of the steps behind them.

    Parameters
    ----------
    items : Ragged
        Further steps, (T, \*D).
    partial : Tensor
        Sum of the steps so far of the current run of each sequence, (B, \*D).
    filled : Tensor
        How many they are, (B,) int64, less than 64.
    """
    begun, after = (filled > 0).long(), filled + _counts(items)
    whole, rest = after // _RUN, after % _RUN
    pieces = whole + (rest > 0)
    ends = pieces.cumsum(0)
    sizes = torch.full((int(pieces.sum()),), _RUN, device=filled.device)
    sizes[ends[rest > 0] - 1] = rest[rest > 0]
    sizes[(ends - pieces)[begun > 0]] += (begun - filled)[begun > 0]  # of which the sum is one item
    joined = Ragged.cat_time([_first_of_each(partial[:, None], begun), items])
    sums = sum_over_time(joined.values, Layout.from_lengths(sizes.cpu(), items.device))
    partial = torch.zeros_like(partial).index_copy(0, (rest > 0).nonzero()[:, 0], sums[ends[rest > 0] - 1])
    is_whole = torch.ones(len(sizes), dtype=torch.bool, device=filled.device)
    is_whole[ends[rest > 0] - 1] = False
    return Ragged.from_lengths(sums[is_whole], whole.cpu()), partial


def _added(total: Tensor, groups: Ragged) -> Tensor:
    """Return totals (B, *D) to which each sequence's groups are added one after the other."""
    for place in range(groups.longest):
        has = _counts(groups) > place
        total = total.index_add(0, has.nonzero()[:, 0], groups.values[groups.offsets[:-1][has] + place])
    return total


def _first_of_each(rows: Tensor, counts: Tensor) -> Ragged:
    """Return the first ``counts`` of the rows (B, N, *D) of each sequence."""
    real = torch.arange(rows.shape[1], device=rows.device) < counts[:, None]
    return Ragged.from_lengths(rows[real], counts.cpu())


def _counts(x: Ragged) -> Tensor:
    """Return the number of steps of each sequence, on its device."""
    return x.offsets.diff()


def _wide(per_sequence: Tensor, values: Tensor) -> Tensor:
    return per_sequence.view(-1, *(1,) * (values.dim() - 1))
