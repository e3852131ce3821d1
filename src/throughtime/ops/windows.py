"""Geometry of windows that slide over sequences: of convolution and of pooling."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

# What a sum over a window is divided by: 1, its taps in the sequence, or those and the taps in the borders.
Divisor = Literal["one", "real", "border"]


class Windows(NamedTuple):
    """Windows in time, in steps.

    ``left`` and ``right`` are how far they reach beyond a sequence; there lie zeros or, with ``replicate``,
    copies of its first and last token.
    """

    size: int
    stride: int = 1
    dilation: int = 1
    left: int = 0
    right: int = 0
    replicate: bool = False

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Windows":
        """Return windows out of what `numbers` gives."""
        size, stride, dilation, left, right, replicate = numbers
        return cls(size, stride, dilation, left, right, replicate=bool(replicate))

    def numbers(self) -> list[int]:
        """Return the fields as integers, as operators of torch take them."""
        return [int(field) for field in self]

    @property
    def reach(self) -> int:
        """Steps from the first to the last tap of a window."""
        return self.dilation * (self.size - 1)

    @property
    def keeps_lengths(self) -> bool:
        """Whether every sequence has as many windows as tokens."""
        return self.stride == 1 and self.left + self.right == self.reach

    def output_lengths(self, lengths: Tensor, *, ceil_mode: bool = False) -> Tensor:
        """Return how many windows fit each length, as torch counts them; 0 where none does.

        An empty sequence has no windows, however wide its borders (torch refuses it). With ``ceil_mode`` a
        last window may reach beyond the end of the sequence, but has to begin before it.
        """
        room = lengths + (self.left + self.right - self.reach - 1)
        if not ceil_mode:
            count = room.div(self.stride, rounding_mode="floor") + 1
            return torch.where((room < 0) | (lengths == 0), 0, count)
        count = (room + self.stride - 1).div(self.stride, rounding_mode="floor") + 1
        count = torch.where((count - 1) * self.stride >= lengths + self.left, count - 1, count)
        return torch.where(lengths == 0, 0, count.clamp(min=0))


class Geometry(NamedTuple):
    """Which windows of which sequences: offsets (B + 1,) of the tokens and of the windows, int64."""

    offsets: Tensor
    out_offsets: Tensor
    windows: Windows
    groups: int = 1
