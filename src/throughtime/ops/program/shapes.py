"""Which shapes the tensors of a call must have."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.recurrent.steps import Steps

_SHAPES = "_shapes"


def check_shapes(graph: Graph, inputs: Inputs, states: Sequence[Tensor | None], steps: Steps) -> None:
    """Check that tensors are there and have the shapes that the graph and the batch ask for.

    Raises
    ------
    ShapeError
        Naming the first that has not.
    """
    if len(states) != len(graph.states):
        raise ShapeError(f"this recurrence has {len(graph.states)} states, got {len(states)}")
    shapes = graph.__dict__.get(_SHAPES)
    if shapes is None:
        shapes = graph.__dict__[_SHAPES] = _expected(graph)
    total = inputs.tokens[0].shape[0] if inputs.tokens else None
    groups = {
        "tokens": (inputs.tokens, total),
        "sequences": (inputs.sequences, steps.batch),
        "states": (states, steps.batch),
    }
    for name, (tensors, rows) in groups.items():
        for index, width in shapes[name].items():
            _check(name, tensors, index, (rows, width))
    for name, others in (("vectors", inputs.vectors), ("matrices", inputs.matrices)):
        for index, shape in shapes[name].items():
            _check(name, others, index, shape)


def _check(name: str, tensors: Sequence[Tensor | None], index: int, shape: tuple[Any, ...]) -> None:
    if index >= len(tensors):
        raise ShapeError(f"this recurrence reads {name}[{index}] of shape {shape}, got {len(tensors)} {name}")
    tensor = tensors[index]
    if tensor is not None and tensor.shape != shape:
        raise ShapeError(f"{name}[{index}] of a recurrence has shape {tuple(tensor.shape)}, expected {shape}")


def _expected(graph: Graph) -> dict[str, dict[int, Any]]:
    """Return for each kind of tensor, by number, the width of a row or the whole shape."""
    shapes: dict[str, dict[int, Any]] = {
        "tokens": {},
        "sequences": {},
        "vectors": {},
        "matrices": {},
        "states": {k: graph.nodes[position].width for k, position in enumerate(graph.states)},
    }
    for node in graph.nodes:
        if node.operator == "token":
            shapes["tokens"][node.index] = node.width
        elif node.operator == "sequence":
            shapes["sequences"][node.index] = node.width
        elif node.operator == "vector":
            shapes["vectors"][node.index] = (node.width,)
        elif node.operator == "product":
            shapes["matrices"][node.index] = (node.width, graph.nodes[node.inputs[0]].width)
        elif node.operator == "product_transposed":
            shapes["matrices"][node.index] = (graph.nodes[node.inputs[0]].width, node.width)
    return shapes
