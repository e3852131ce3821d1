"""Batches behind layers that change the lengths of sequences."""

from dataclasses import replace
from typing import Any

import torch

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps
from throughtime.export._graph import Graph
from throughtime.export._place import Place
from throughtime.nn.description import Spread, Windowed

_PROBED = 256


def resized(batch: Batch, steps: Steps, description: Windowed | Spread, place: Place) -> Steps:
    """Return the steps that a layer makes of a batch, with the lengths that it gives the sequences.

    They are as long as the longest sequence, and 1 at least.

    Parameters
    ----------
    batch
        The batch that the layer reads.
    steps
        At least as many steps as any sequence has.
    description
        What the layer states about its lengths.
    """
    graph = batch.graph
    lengths = _lengths(graph, batch.lengths, description)
    longest = graph.add("ReduceMax", lengths, graph.constant([0]), keepdims=1)
    longest = graph.add("Max", longest, graph.constant([1]))
    first = graph.constant([0])
    cut = graph.add("Slice", steps.name, first, longest, first)
    changes = (*batch.changes, description)
    after = replace(batch, lengths=lengths, steps=longest, changes=changes, length=_name_of(place))
    return replace(steps, name=cut, batch=after)


def check_same_lengths(batches: list[Batch], place: Place) -> None:
    """Check that parts side by side give their sequences the same lengths.

    Raises
    ------
    ShapeError
        If they do not.
    """
    lengths = torch.arange(_PROBED)
    found = [_after(batch, lengths) for batch in batches]
    for other in found[1:]:
        if not torch.equal(found[0], other):
            length = int((found[0] != other).nonzero()[0])
            raise ShapeError(
                f"{place.name}: parts side by side make {int(found[0][length])} and {int(other[length])} "
                f"steps of {length}; give them the same stride and padding"
            )


def _after(batch: Batch, lengths: torch.Tensor) -> torch.Tensor:
    for change in batch.changes:
        lengths = change.output_lengths(lengths)
    return lengths


def _name_of(place: Place) -> str:
    return f"length of {place.path}" if place.path else "length of the output"


def _lengths(graph: Graph, lengths: str, description: Windowed | Spread) -> str:
    """(B,) int64: the lengths behind the layer; 0 of an empty sequence."""
    number = _windows_in if isinstance(description, Windowed) else _spread_of
    some = graph.add("Min", lengths, graph.constant([1]))
    return graph.add("Mul", number(graph, lengths, description), some)


def _windows_in(graph: Graph, lengths: str, description: Any) -> str:
    """Return as `throughtime.ops.windows.Windows.output_lengths` does, of lengths above 0."""
    windows = description.windows
    stride, zero = graph.constant([windows.stride]), graph.constant([0])
    further = 2 * windows.stride - 1 if description.ceil_mode else windows.stride
    room = graph.add(
        "Add", lengths, _constant(graph, windows.left + windows.right - windows.reach - 1 + further)
    )
    count = graph.add("Div", graph.add("Max", room, zero), stride)
    if not description.ceil_mode:
        return count
    # The last window has to begin before the end of the sequence.
    begins = graph.add("Add", lengths, _constant(graph, windows.left + windows.stride - 1))
    return graph.add("Min", count, graph.add("Div", begins, stride))


def _spread_of(graph: Graph, lengths: str, description: Any) -> str:
    """Return as `Spread.output_lengths` does, of lengths above 0."""
    windows = description.windows
    further = windows.reach + 1 + description.output_padding - windows.left - windows.right - windows.stride
    spread = graph.add("Mul", lengths, graph.constant([windows.stride]))
    return graph.add("Max", graph.add("Add", spread, _constant(graph, further)), graph.constant([0]))


def _constant(graph: Graph, number: int) -> str:
    return graph.constant([number])
