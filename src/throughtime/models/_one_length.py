"""Sequences of one length as a tensor with a dimension for time, also in graphs of torch.compile."""

import torch
from torch import Tensor

from throughtime.ragged import Ragged


def first_steps(x: Ragged, length: int, filler: float = 0) -> Tensor:
    r"""Return the first steps of each sequence, (B, length, \*D), with ``filler`` behind the end of one."""
    places = x.offsets[:-1, None] + torch.arange(length, device=x.device)
    filled = torch.cat([x.values, x.values.new_full((1, *x.shape[1:]), filler)])
    return filled[torch.where(places < x.offsets[1:, None], places, x.values.shape[0])]


def of_one_length(sequences: Tensor) -> Ragged:
    r"""Return the B sequences of (B, L, \*D), all of their steps."""
    count, length = sequences.shape[:2]
    return Ragged(sequences.flatten(0, 1), torch.arange(count + 1, device=sequences.device) * length)
