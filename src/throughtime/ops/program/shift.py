"""The state before each step, as a matrix with a row for each token."""

import torch
from torch import Tensor

from throughtime.ops.recurrent.steps import BATCH_FIRST, TIME_MAJOR, Steps, host_lengths, rows


def states_before(after: Tensor, initial: Tensor | None, steps: Steps, *, from_end: bool) -> Tensor:
    """Return the state that each step began with, differentiable.

    Parameters
    ----------
    after : Tensor
        (T, width): the state after each step.
    initial : Tensor, optional
        (B, width): the state before the first step of each sequence; None is zeros.
    from_end
        Whether each sequence was read from its last token to its first.
    """
    width = after.shape[-1]
    if initial is None:
        initial = after.new_zeros(steps.batch, width)
    if steps.order in {TIME_MAJOR, BATCH_FIRST} and steps.length:
        time = 0 if steps.order == TIME_MAJOR else 1
        shape = (steps.length, steps.batch) if time == 0 else (steps.batch, steps.length)
        others = after.view(*shape, width).narrow(time, int(from_end), steps.length - 1)
        first = initial.unsqueeze(time)
        return torch.cat([others, first] if from_end else [first, others], time).view(-1, width)
    places = _places_before(steps, len(after), from_end=from_end).to(after.device)
    return torch.cat([after, initial]).index_select(0, places)


def _places_before(steps: Steps, total: int, *, from_end: bool) -> Tensor:
    """Return for each row the one of the step before; ``total`` + b for the first step of sequence b."""
    lengths = host_lengths(steps)
    sequence = torch.repeat_interleave(torch.arange(steps.batch), lengths)
    ends = lengths.cumsum(0)
    step = torch.arange(len(sequence)) - (ends - lengths)[sequence]
    last = lengths[sequence] - 1
    before = step + 1 if from_end else step - 1
    is_first = step == (last if from_end else torch.zeros_like(last))
    places = torch.where(is_first, total + sequence, rows(steps, sequence, before.clamp(min=0).minimum(last)))
    in_order = torch.empty_like(places)
    in_order[rows(steps, sequence, step)] = places
    return in_order
