"""Means of numbers per token, by distance from the marked operator."""

import torch
from torch import Tensor

from throughtime.demo.operators.sites import Sites
from throughtime.ragged import Ragged

REACH = 20
"""Distance, in tokens, up to which figures show what is before and after the operator."""
OFFSETS = tuple(range(-REACH, REACH + 1))


def places_of(sites: Sites) -> Tensor:
    """Return (B,) int64: the step of each window at which its operator is."""
    return sites.places - sites.tokens.offsets[:-1]


def means_around(values: Ragged, places: Tensor, *, absent: float | None = None) -> list[float | None]:
    """Return the mean over sequences at each offset of `OFFSETS` from a place.

    Parameters
    ----------
    values : Ragged
        (T,) one number per token.
    places : Tensor
        (B,) int64 step of each sequence that has offset 0.
    absent
        Value of a sequence without a step at an offset; by default such a sequence is left out of the mean.

    Examples
    --------
    >>> values = Ragged.from_list([torch.tensor([1.0, 2.0, 3.0]), torch.tensor([6.0])])
    >>> means_around(values, torch.tensor([1, 0]))[REACH - 2 : REACH + 3]
    [None, 1.0, 4.0, 3.0, None]
    >>> means_around(values, torch.tensor([1, 0]), absent=0.0)[REACH - 2 : REACH + 3]
    [0.0, 0.5, 4.0, 1.5, 0.0]
    """
    layout = values.layout
    offset = layout.positions - places.index_select(0, layout.sequence_ids) + REACH
    near = (offset >= 0) & (offset < len(OFFSETS))
    total = torch.bincount(offset[near], values.values[near].double(), len(OFFSETS))
    count = torch.bincount(offset[near], minlength=len(OFFSETS))
    if absent is not None:
        means: list[float | None] = ((total + absent * (len(values) - count)) / len(values)).tolist()
        return means
    return [t / c if c else None for t, c in zip(total.tolist(), count.tolist(), strict=True)]
