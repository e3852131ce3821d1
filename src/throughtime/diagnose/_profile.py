"""`Profile`: per-step numbers as a function of the distance from an end of the sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.nn.trace.reading import Reading
from throughtime.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Profile:
    """Means and quantiles over sequences, by distance in steps.

    Parameters
    ----------
    distance : Tensor
        (N,) int64, from 0 to one less than the longest length.
    count : Tensor
        (N,) number of sequences with a step at that distance.
    mean : Tensor
        (N,) mean over these sequences.
    quantiles : dict of float to Tensor
        (N,) for each level.
    """

    distance: Tensor
    count: Tensor
    mean: Tensor
    quantiles: dict[float, Tensor]


def profile_of(
    values: Ragged, read: Reading, origin: Literal["end", "start"], quantiles: Sequence[float]
) -> Profile:
    """Return the profile of one number per token, on the CPU."""
    if not all(0 <= q <= 1 for q in quantiles):
        raise ShapeError(f"quantiles must be between 0 and 1, got {tuple(quantiles)}")
    distance = distances(read, origin).cpu()
    longest = int(distance.max()) + 1 if len(distance) else 0
    numbers = values.values.detach().cpu()
    count = torch.bincount(distance, minlength=longest)
    mean = torch.bincount(distance, numbers.double(), longest) / count
    levels = _quantiles(numbers, distance, count, quantiles) if quantiles else {}
    return Profile(torch.arange(longest), count, mean, levels)


def distances(read: Reading, origin: Literal["end", "start"]) -> Tensor:
    """Return (T,) int64: the number of steps from each token to where reading starts or ends."""
    if origin not in {"end", "start"}:
        raise ShapeError(f"origin must be 'end' or 'start', got {origin!r}")
    layout = read.layout
    if (origin == "end") == read.reverse:
        return layout.positions
    return layout.offsets.diff().index_select(0, layout.sequence_ids) - 1 - layout.positions


def _quantiles(
    numbers: Tensor, distance: Tensor, count: Tensor, quantiles: Sequence[float]
) -> dict[float, Tensor]:
    # Sort by distance, then by value: the quantiles of each distance are at known positions.
    order = torch.argsort(numbers)
    order = order[torch.argsort(distance[order], stable=True)]
    ranked = numbers[order].double()
    first = count.cumsum(0) - count
    levels = {}
    for q in quantiles:
        place = q * (count - 1).double()
        low = place.floor().long()
        high = torch.minimum(low + 1, count - 1)
        share = place - low
        levels[float(q)] = ranked[first + low] * (1 - share) + ranked[first + high] * share
    return levels
