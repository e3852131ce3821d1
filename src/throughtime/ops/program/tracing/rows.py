"""Strided views as nodes of a graph: slices, repetitions and concatenations."""

from math import prod

from throughtime.ops.program.builder import Value as Row
from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.values import Axis, simplified

MOST_PIECES = 256
"""Maximum number of pieces that a row is concatenated from."""


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


def view(row: Row, axes: tuple[Axis, ...], offset: int) -> Row:
    """Return a row that has the numbers of a view of another one, in order."""
    if pieces(axes) > MOST_PIECES:
        raise UntraceableError(f"it reorders features in {pieces(axes)} pieces; the maximum is {MOST_PIECES}")
    return _view(row, simplified(axes), offset)


def _view(row: Row, axes: tuple[Axis, ...], offset: int) -> Row:
    if not axes or axes == (Axis(axes[0].size, 1),):
        return row.slice(offset, prod(axis.size for axis in axes))
    first, last = axes[0], axes[-1]
    width = prod(axis.size for axis in axes)
    if first.stride == 0:
        return _view(row, axes[1:], offset).tile(width)
    if last.stride == 0:
        return _view(row, axes[:-1], offset).repeat(width)
    places = range(offset, offset + first.size * first.stride, first.stride)
    return row.builder.concat([_view(row, axes[1:], place) for place in places])
