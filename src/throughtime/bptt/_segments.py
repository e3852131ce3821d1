"""`Segments`: the tokens of a batch in segments of S steps, and in which order they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.ragged import Layout, Ragged

# Segments of 4·√T steps: each has a fixed cost of some tenths of a millisecond, and needs little memory.
_FACTOR = 4


@dataclass(frozen=True)
class Segments:
    """The segments of a batch; each has all B sequences, of which some have no steps in it.

    Parameters
    ----------
    order : Tensor, optional
        (T,): the tokens of all segments, one segment after the other; None if that is the order of the batch.
    layouts : sequence of Layout
        Of each segment.
    """

    order: Tensor | None
    layouts: Sequence[Layout]

    @classmethod
    def of(cls, layout: Layout, steps: int) -> "Segments":
        """Return the segments of so many steps."""
        lengths, offsets = layout.lengths, layout.host_offsets
        count = max(1, -(-int(lengths.max()) // steps)) if len(lengths) else 1
        cut = (lengths[None] - steps * torch.arange(count)[:, None]).clamp(0, steps)
        layouts = [Layout.from_lengths(row, layout.offsets.device) for row in cut]
        if len(lengths) == 1 or count == 1:
            return cls(None, layouts)
        starts = (offsets[:-1][None] + steps * torch.arange(count)[:, None]).flatten()
        sizes = cut.flatten()
        first = torch.cumsum(sizes, 0) - sizes
        order = torch.arange(int(sizes.sum())) + torch.repeat_interleave(starts - first, sizes)
        return cls(order.to(layout.offsets.device), layouts)

    def split(self, values: Tensor) -> list[Ragged]:
        """Return the segments of tokens (T, …)."""
        if self.order is not None:
            values = values.index_select(0, self.order)
        # `split` makes no copy, and its backward pass concatenates the segments once.
        parts = values.split([layout.total for layout in self.layouts])
        return [
            Ragged(part, layout.offsets, layout=layout)
            for part, layout in zip(parts, self.layouts, strict=True)
        ]

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return values of the segments (·, …) in the order of the batch."""
        values = torch.cat(list(parts))
        return values if self.order is None else values.index_select(0, torch.argsort(self.order))


def steps_of_segment(segment: int | None, longest: int) -> int:
    """Return the number of steps of a segment; by default four times the square root of the longest length.

    Raises
    ------
    ShapeError
        If it is below 1.
    """
    if segment is None:
        return _FACTOR * (math.isqrt(max(0, longest - 1)) + 1)
    if segment < 1:
        raise ShapeError(f"segment must be at least 1, got {segment}")
    return segment
