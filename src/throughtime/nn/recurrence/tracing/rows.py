"""Strided views as nodes of a graph: slices, repetitions, and pieces put together."""

from math import prod

from throughtime.nn.recurrence.tracing.errors import UntraceableError
from throughtime.nn.recurrence.tracing.graph_builder import GraphBuilder
from throughtime.nn.recurrence.tracing.values import Axis, simplified

MOST_PIECES = 256
"""A row is put together of at most so many pieces."""


def pieces(axes: tuple[Axis, ...]) -> int:
    """Return how many runs of numbers a row of this view is put together of."""
    axes = simplified(axes)
    if not axes or axes == (Axis(axes[0].size, 1),):
        return 1
    if axes[0].stride == 0:
        return pieces(axes[1:])
    if axes[-1].stride == 0:
        return pieces(axes[:-1])
    return axes[0].size * pieces(axes[1:])


def row(builder: GraphBuilder, node: int, axes: tuple[Axis, ...], offset: int) -> int:
    """Return the node whose row has the numbers of a view of another node's row, in order."""
    if pieces(axes) > MOST_PIECES:
        raise UntraceableError(f"it reorders features in {pieces(axes)} pieces, of which {MOST_PIECES} are possible")
    return _row(builder, node, simplified(axes), offset)


def _row(builder: GraphBuilder, node: int, axes: tuple[Axis, ...], offset: int) -> int:
    if not axes or axes == (Axis(axes[0].size, 1),):
        return builder.slice(node, offset, prod(axis.size for axis in axes))
    first, last = axes[0], axes[-1]
    width = prod(axis.size for axis in axes)
    if first.stride == 0:
        return builder.tile(_row(builder, node, axes[1:], offset), width)
    if last.stride == 0:
        return builder.repeat(_row(builder, node, axes[:-1], offset), width)
    places = range(offset, offset + first.size * first.stride, first.stride)
    return builder.concat([_row(builder, node, axes[1:], place) for place in places])
