"""Sequence lengths and modes of the benchmarks."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Lengths = Literal["equal", "ragged"]
Mode = Literal["inference", "training"]


def lengths_of(kind: Lengths, batch: int, steps: int, generator: torch.Generator) -> Tensor:
    """Return lengths that all are T, or are evenly spaced from T/4 to T in random order."""
    if kind == "equal":
        return torch.full((batch,), steps)
    spread = torch.linspace(steps, max(steps // 4, 1), batch).long()
    return spread[torch.randperm(batch, generator=generator)]


def kinds_of(batch: int, wanted: Sequence[Lengths]) -> list[Lengths]:
    """Return the kinds of lengths for a batch size; a single sequence has equal lengths only."""
    return [kind for kind in wanted if kind == "equal" or batch > 1]
