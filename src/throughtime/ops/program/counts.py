"""The tensors of a call as one flat sequence, as autograd takes them."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Counts(NamedTuple):
    """How many tensors of each kind a call has, in the order in which they are passed."""

    tokens: int
    sequences: int
    vectors: int
    matrices: int
    states: int

    def divided(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """Return the items of each kind."""
        parts, begin = [], 0
        for count in self:
            parts.append(items[begin : begin + count])
            begin += count
        return parts
