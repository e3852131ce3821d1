"""`StreamStates`: the states of streams in one layer, a row for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class StreamStates:
    """The detached state of each stream in one layer; an instance and its tensors are never changed.

    Parameters
    ----------
    rows : dict of int to int
        The row of each stream.
    parts : tuple of Tensor
        The leaves of the state, (N, …) each.
    """

    rows: dict[int, int]
    parts: tuple[Tensor, ...]

    @classmethod
    def of(cls, ids: Iterable[int], parts: Sequence[Tensor]) -> "StreamStates":
        """Return the states of streams in the order of the rows."""
        return cls({i: row for row, i in enumerate(ids)}, tuple(parts))

    def begin(self, ids: Sequence[int], initial: Sequence[Tensor]) -> list[Tensor]:
        """Return the states (B, …) of streams, ``initial`` of those that are new."""
        old = torch.tensor([i in self.rows for i in ids], dtype=torch.bool)
        index = torch.tensor([self.rows.get(i, 0) for i in ids], dtype=torch.int64)
        return [
            _chosen(old, part.index_select(0, index.to(part.device)), start)
            for part, start in zip(self.parts, initial, strict=True)
        ]

    def with_states(self, other: "StreamStates") -> "StreamStates":
        """Return these states with those of other streams, which replace older ones."""
        left = self.without(other.rows)
        # Those of a saved state are on the CPU.
        parts = [torch.cat([old.to(new), new]) for old, new in zip(left.parts, other.parts, strict=True)]
        return StreamStates.of([*left.rows, *other.rows], parts)

    def without(self, ids: Iterable[int]) -> "StreamStates":
        """Return the states of the other streams."""
        removed = set(ids)
        return self.selected([i for i in self.rows if i not in removed])

    def selected(self, ids: Sequence[int]) -> "StreamStates":
        """Return the states of some of the streams, in this order."""
        index = torch.tensor([self.rows[i] for i in ids], dtype=torch.int64)
        return StreamStates.of(ids, [part.index_select(0, index.to(part.device)) for part in self.parts])


def _chosen(old: Tensor, stored: Tensor, start: Tensor) -> Tensor:
    mask = old.to(start.device).view(-1, *(1,) * (start.dim() - 1))
    return torch.where(mask, stored.to(start.device, start.dtype), start)
