"""The states of many sequences, one row of preallocated tensors for each."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from throughtime.errors import UnsupportedError
from throughtime.nn.streaming.stream import run_pooled
from throughtime.ragged import Ragged

_LEAST_ROWS = 64


class Template(NamedTuple):
    """The state of a sequence that begins.

    Parameters
    ----------
    leaves : list of Tensor
        The tensors of the state of one sequence.
    dims : list of int
        The dimension of each in which sequences lie.
    structure : TreeSpec
        How the tensors form a state.
    """

    leaves: list[Tensor]
    dims: list[int]
    structure: Any

    @classmethod
    def of(cls, model: nn.Module, empty: Tensor) -> "Template":
        """Return the state after no steps, (0, …) as the model reads them.

        Raises
        ------
        UnsupportedError
            If a part of the state is not a tensor with a dimension for sequences.
        """
        leaves, structure = pytree.tree_flatten(_initial_state(model, empty, 1))
        others = pytree.tree_leaves(_initial_state(model, empty, 2))
        dims = [_dim_of_sequences(leaf, other) for leaf, other in zip(leaves, others, strict=True)]
        return cls(leaves, dims, structure)


class Slots:
    """Rows for the states of sequences, which are taken and released in constant time."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self._leaves = [_repeated(leaf, dim, 0) for leaf, dim in self._each]
        self._size, self._released = 0, list[int]()

    @property
    def _each(self) -> list[tuple[Tensor, int]]:
        return list(zip(self.template.leaves, self.template.dims, strict=True))

    def take(self, count: int) -> list[int]:
        """Return rows that hold the state of sequences that begin."""
        reused = [self._released.pop() for _ in range(min(count, len(self._released)))]
        fresh = list(range(self._size, self._size + count - len(reused)))
        self._size += len(fresh)
        self._grow()
        self._reset(reused)
        return reused + fresh

    def release(self, row: int) -> None:
        """Give a row back."""
        self._released.append(row)

    def read(self, rows: Sequence[int]) -> Any:
        """Return the states in these rows, as the model reads them."""
        return pytree.tree_unflatten(self.leaves(rows), self.template.structure)

    def leaves(self, rows: Sequence[int]) -> list[Tensor]:
        """Return the tensors of the states in these rows."""
        index = torch.tensor(rows, dtype=torch.int64)
        dims = self.template.dims
        return [
            leaf.index_select(dim, index.to(leaf.device))
            for leaf, dim in zip(self._leaves, dims, strict=True)
        ]

    def write(self, rows: Sequence[int], state: Any) -> None:
        """Store the states of these rows."""
        index = torch.tensor(rows, dtype=torch.int64)
        after = pytree.tree_leaves(state)
        for leaf, dim, new in zip(self._leaves, self.template.dims, after, strict=True):
            leaf.index_copy_(dim, index.to(leaf.device), new)

    def _grow(self) -> None:
        capacity = self._leaves[0].shape[self.template.dims[0]] if self._leaves else self._size
        if self._size <= capacity:
            return
        more = max(self._size, 2 * capacity, _LEAST_ROWS) - capacity
        self._leaves = [
            torch.cat([leaf, _repeated(initial, dim, more)], dim)
            for leaf, (initial, dim) in zip(self._leaves, self._each, strict=True)
        ]

    def _reset(self, rows: Sequence[int]) -> None:
        if rows:
            begun = [_repeated(leaf, dim, len(rows)) for leaf, dim in self._each]
            self.write(rows, begun)


def _initial_state(model: nn.Module, empty: Tensor, sequences: int) -> Any:
    with torch.no_grad():
        return run_pooled(model, Ragged.from_lengths(empty, [0] * sequences), None)[1]


def _dim_of_sequences(one: Any, two: Any) -> int:
    shapes = [tuple(leaf.shape) if isinstance(leaf, Tensor) else () for leaf in (one, two)]
    different = [dim for dim, sizes in enumerate(zip(*shapes, strict=True)) if sizes == (1, 2)]
    if len(different) != 1:
        kind = f"a tensor {shapes[0]}" if isinstance(one, Tensor) else f"a {type(one).__name__}"
        raise UnsupportedError(
            f"Stream: the state of the model contains {kind} without a dimension for sequences; keep only "
            "tensors (…, B, …) in it"
        )
    return different[0]


def _repeated(leaf: Tensor, dim: int, count: int) -> Tensor:
    sizes = list(leaf.shape)
    sizes[dim] = count
    return leaf.expand(sizes).clone(memory_format=torch.contiguous_format)
