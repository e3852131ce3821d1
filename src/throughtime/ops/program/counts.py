"""The tensors of a call as one flat sequence, as autograd takes them."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar, cast

from torch import Tensor

from throughtime.ops.program.inputs import Inputs

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


def counts_of(inputs: Inputs, states: Sequence[Tensor | None]) -> Counts:
    """Return the counts of a call."""
    tokens, sequences, vectors, matrices = map(len, inputs)
    return Counts(tokens, sequences, vectors, matrices, len(states))


def rebuilt(counts: Counts, tensors: Sequence[Tensor | None]) -> tuple[Inputs, Sequence[Tensor | None]]:
    """Return inputs and states of a flat sequence; only states may be None."""
    *parts, states = counts.divided(tensors)
    return Inputs(*(cast("tuple[Tensor, ...]", tuple(part)) for part in parts)), states
