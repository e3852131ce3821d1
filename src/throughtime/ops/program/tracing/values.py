"""Values of a step as strided views of rows: what relabels numbers without moving them costs nothing."""

from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import NamedTuple

from torch import fx

from throughtime.ops.program.builder import Value as Row
from throughtime.ops.program.tracing.errors import UntraceableError


class Axis(NamedTuple):
    """A dimension of a row: its size, and how far apart its entries lie; 0 if all are the same one."""

    size: int
    stride: int


class Hoisted(NamedTuple):
    """The result of a node of the traced graph that is computed before the loop."""

    node: fx.Node


Base = Row | float | Hoisted
"""What a value is a view of: a row of the step's graph, a number, or what is computed before the loop."""


@dataclass(frozen=True)
class Value:
    """A tensor of f, of which each sequence has a row of numbers.

    Parameters
    ----------
    base : Row, float or Hoisted
        Where the numbers are.
    axes : tuple of Axis or None
        Its dimensions; None is that of the sequences, which a constant does not have.
    offset : int
        Where the view begins in the row.
    merged : bool
        Whether the dimension of the sequences and the one after it are one, as in ``h.view(n * 4, 8)``.
    """

    base: Base
    axes: tuple[Axis | None, ...]
    offset: int = 0
    merged: bool = False

    @property
    def batch(self) -> int | None:
        """Position of the dimension of the sequences among the axes."""
        return self.axes.index(None) if None in self.axes else None

    @property
    def features(self) -> tuple[Axis, ...]:
        """All axes but that of the sequences."""
        return tuple(axis for axis in self.axes if axis is not None)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the features."""
        return tuple(axis.size for axis in self.features)

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return prod(self.sizes)

    @property
    def rank(self) -> int:
        """Dimensions of the tensor."""
        return len(self.axes) - self.merged

    def positions(self, dim: int) -> tuple[int, ...]:
        """Return which axes a dimension of the tensor is."""
        dim = dim % self.rank if self.rank else 0
        if not self.merged or self.batch is None or dim < self.batch:
            return (dim,)
        return (dim, dim + 1) if dim == self.batch else (dim + 1,)

    def dim(self, dim: int) -> int:
        """Return the axis of a dimension of the tensor, which is not that of the sequences."""
        position = self.positions(dim)[0]
        if self.axes[position] is None:
            raise UntraceableError("it mixes sequences")
        return position

    def axis(self, dim: int) -> Axis:
        """Return the axis of a dimension of features."""
        axis = self.axes[self.dim(dim)]
        assert axis is not None  # noqa: S101 - for mypy: dim() has refused it
        return axis

    def with_axes(self, *axes: Axis | None, offset: int | None = None) -> "Value":
        """Return another view of the same numbers."""
        return replace(self, axes=axes, offset=self.offset if offset is None else offset)


def contiguous(base: Base, sizes: tuple[int | None, ...], *, merged: bool = False) -> Value:
    """Return the value whose numbers lie in order; None stands for the sequences."""
    strides = _strides(tuple(1 if size is None else size for size in sizes))
    axes = (None if size is None else Axis(size, stride) for size, stride in zip(sizes, strides, strict=True))
    return Value(base, tuple(axes), 0, merged)


def number(value: float, sizes: tuple[int | None, ...]) -> Value:
    """Return a number as a tensor of these sizes."""
    axes = (None if size is None else Axis(size, 0) for size in sizes)
    return Value(float(value), tuple(axes))


def simplified(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Join axes that can be walked as one, and leave out those of size 1."""
    joined: list[Axis] = []
    for axis in axes:
        if axis.size == 1:
            continue
        if joined and joined[-1].stride == axis.size * axis.stride:
            joined[-1] = Axis(joined[-1].size * axis.size, axis.stride)
        else:
            joined.append(axis)
    return tuple(joined)


def regrouped(axes: tuple[Axis, ...], sizes: tuple[int, ...]) -> tuple[Axis, ...] | None:
    """Return axes of other sizes over the same numbers in the same order, or None if that needs a copy."""
    if prod(axis.size for axis in axes) == 0:
        return tuple(Axis(size, 1) for size in sizes)
    left = list(simplified(axes))
    result: list[Axis] = []
    for size in reversed(sizes):
        if size == 1:
            result.append(Axis(1, 1))
            continue
        last = left.pop()
        if last.size % size:
            return None
        result.append(Axis(size, last.stride))
        if last.size > size:
            left.append(Axis(last.size // size, last.stride * size))
    return tuple(reversed(result))


def is_in_order(axes: tuple[Axis, ...]) -> bool:
    """Tell whether the numbers lie one after the other."""
    joined = simplified(axes)
    return not joined or (len(joined) == 1 and joined[0].stride == 1)


def _strides(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(sizes[position + 1 :]) for position in range(len(sizes)))


def order_of_strides(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    """Return the axes' positions in the order in which the numbers lie."""
    keys = [(-axis.stride if axis.size > 1 else 0) for axis in axes]
    order = sorted(range(len(axes)), key=lambda position: keys[position])
    return tuple(range(len(axes))) if all(a <= b for a, b in pairwise(keys)) else tuple(order)
