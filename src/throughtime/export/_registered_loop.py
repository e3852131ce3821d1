"""The registered operator of a recurrent layer as a loop over its cell, where ONNX has no operator for it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from throughtime.export._batch import Batch, Steps
from throughtime.export._recorded_graph import RecordedGraph
from throughtime.export._steps_of_layer import add_direction, directions_of
from throughtime.ops.recurrent.weights import Weights


def add_loops(
    batch: Batch,
    make: Callable[[], Any],
    steps: Steps,
    weights: Sequence[Weights],
    initial: Sequence[str],
) -> tuple[Steps, list[str]]:
    """Add a loop for each direction; return the output (L, B, D·H), and the final states (D, B, ·) each.

    Parameters
    ----------
    make
        Makes a recurrent layer of the same options and sizes.
    weights
        Those of each direction, as values of the exporter's.
    initial
        h, and c if there is one, (D, B, ·) each; "" for zeros.

    Raises
    ------
    InputTypeError
        If the equations of the cell compute something of weights alone, other than some of their rows.
    """
    graph: Any = batch.graph
    layer, axis = make(), graph.constant([0])
    outputs, finals = [], []
    for number, (direction, values) in enumerate(zip(directions_of(layer, "")[0], weights, strict=True)):
        _stand_in(graph, direction.weights, values)
        began = [
            state and graph.add("Squeeze", graph.sliced(state, number, number + 1), axis) for state in initial
        ]
        output, ends = add_direction(batch, direction, steps, began, "")
        outputs.append(output)
        finals.append([_final(batch, end, start) for end, start in zip(ends, began, strict=True)])
    names = [output.name for output in outputs]
    joined = names[0] if len(names) == 1 else graph.add("Concat", *names, axis=2)
    states = [
        graph.add("Concat", *(graph.add("Unsqueeze", part, axis) for part in parts), axis=0)
        for parts in zip(*finals, strict=True)
    ]
    return Steps(joined, sum(output.features or 0 for output in outputs)), states


def _stand_in(graph: RecordedGraph, tensors: Weights, values: Weights) -> None:
    """Let the exporter's values stand for the weights of a layer, which become NaN."""
    for tensor, value in zip(tensors, values, strict=True):
        if tensor is not None and value is not None:
            with torch.no_grad():
                tensor.fill_(torch.nan)
            graph.placeholder(tensor, value)


def _final(batch: Batch, end: str, began: str) -> str:
    """Return the final state, of a sequence without steps the one that it began with."""
    return end if not began else batch.graph.add("Where", batch.empty, began, end)
