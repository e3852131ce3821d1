"""Recurrent layers as ONNX's own operators, one for each layer of the stack, or else as loops over steps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from throughtime.convert import OnnxOperator, to_onnx
from throughtime.errors import NotCausalError, ShapeError
from throughtime.export._batch import Batch, Steps, Value, steps_of
from throughtime.export._graph import Graph
from throughtime.export._place import Place
from throughtime.export._steps_of_layer import add_direction, directions_of
from throughtime.export._stream import Stream
from throughtime.nn import GRU, LSTM, RNN
from throughtime.nn.description import Operator


class OptionalInputs(NamedTuple):
    """Inputs of the layer beside x, by name in the graph; "" for one that is left out.

    The states are (layers · directions, B, H), the context (B, C).
    """

    h_0: str = ""
    c_0: str = ""
    context: str = ""


class Result(NamedTuple):
    """The output of the last layer, and final states (layers · directions, B, H), c_n "" but for LSTM.

    ``zeros_behind`` tells whether the output is 0 behind the end of a sequence, as of ONNX's operators.
    """

    steps: Steps
    h_n: str
    c_n: str = ""
    zeros_behind: bool = True


def add_recurrent(
    batch: Batch,
    layer: RNN | LSTM | GRU,
    steps: Steps,
    name: str = "",
    optional: OptionalInputs | None = None,
) -> Result:
    """Add a layer; its weights are called after ``name``, the layer's own in the model.

    Intermediates, and cells and options that ONNX's operators do not have, need a loop.

    Raises
    ------
    ShapeError
        If it needs a context and gets none.
    InputTypeError
        If its cell calls an operator that has no form here.
    """
    optional = optional or OptionalInputs()
    if layer.context_size and not optional.context:
        raise ShapeError(
            f"{name or type(layer).__name__} needs a context, which inside a model nothing gives; "
            "export the layer by itself"
        )
    operators = _operators(layer) if batch.intermediates is None else None
    if operators is None:
        return _add_loops(batch, layer, steps, f"{name}." if name else "", optional)
    graph = batch.graph
    context = _context(batch, optional.context)
    h_0, c_0 = (_split(graph, state, len(operators)) for state in (optional.h_0, optional.c_0))
    finals: list[list[str]] = []
    for k, operator in enumerate(operators):
        prefix = f"{name}." if name else ""
        learned = {"initial_h", "initial_c"} if not optional.h_0 else set()
        constants = {
            part: graph.constant(array, f"{prefix}{part}_l{k}")
            for part, array in operator.inputs.items()
            if part in learned | {"W", "R", "B", "P"}
        }
        initial = [
            state[k] or _expanded(batch, constants.get(part, ""))
            for part, state in (("initial_h", h_0), ("initial_c", c_0))
        ]
        x = steps.name if not context else graph.add("Concat", steps.name, context, axis=2)
        steps, ends = add_operator(batch, operator, x, constants, initial)
        finals.append(ends)
    return Result(steps, *_final_states(graph, finals))


def add_recurrent_chunk(stream: Stream, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime::recurrent_layer on streams: its states come from the chunk before.

    Raises
    ------
    NotCausalError
        If it also reads from the end.
    ShapeError
        As of `add_recurrent`.
    """
    layer: RNN | LSTM | GRU = operator.arguments["layer"]
    if layer.bidirectional:
        raise NotCausalError(
            f"{place.described} is bidirectional: it also reads from the end, which a stream does not have "
            "yet; use bidirectional=False"
        )
    steps, sizes = steps_of(value, place.name, layer.input_size), state_sizes(layer)
    states = [
        stream.state(place, name, (layer.num_layers, "batch", size), f"State {name} of each layer.")
        for name, size in sizes.items()
    ]
    before = [
        _begun(stream, state.before, getattr(layer, f"initial_{name}", None), place.weight(f"initial_{name}"))
        for name, state in zip(sizes, states, strict=True)
    ]
    optional = OptionalInputs(**{f"{name}_0": value for name, value in zip(sizes, before, strict=True)})
    if layer.context_size and not place.path:  # inside a model nothing gives it
        words = "Context of each sequence, the same for all its chunks."
        dims = ("batch", layer.context_size)
        optional = optional._replace(context=stream.graph.input("context", np.float32, dims, words))
    result = add_recurrent(stream, layer, steps, place.path, optional)
    for state, after in zip(states, (result.h_n, result.c_n), strict=False):
        stream.keep(state, after)
    return result.steps


def _begun(stream: Stream, state: str, learned: Tensor | None, name: str) -> str:
    """Return a state (layers, B, H), where a sequence begins the learned one (layers, H)."""
    if learned is None:
        return state
    initial = stream.graph.constant(learned.unsqueeze(1), name)
    return stream.graph.add("Where", stream.is_first, initial, state)


def _add_loops(
    batch: Batch, layer: RNN | LSTM | GRU, steps: Steps, prefix: str, optional: OptionalInputs
) -> Result:
    """Add a loop for each layer and direction."""
    initial = _initial_states(batch, layer, prefix, optional)
    finals: list[list[str]] = []
    for row in directions_of(layer, prefix):
        outputs = []
        for direction in row:
            began = initial[len(finals)]
            output, ends = add_direction(batch, direction, steps, began, optional.context)
            outputs.append(output)
            finals.append([_final(batch, end, start) for end, start in zip(ends, began, strict=True)])
        steps = _concatenated(batch.graph, outputs)
    axis = batch.graph.constant([0])
    stacked = [[batch.graph.add("Unsqueeze", part, axis) for part in parts] for parts in finals]
    return Result(steps, *_final_states(batch.graph, stacked), zeros_behind=batch.full)


def _concatenated(graph: Graph, outputs: Sequence[Steps]) -> Steps:
    """Put the features of both directions side by side."""
    if len(outputs) == 1:
        return outputs[0]
    joined = graph.add("Concat", *(output.name for output in outputs), axis=2)
    return Steps(joined, sum(output.features or 0 for output in outputs))


def _initial_states(
    batch: Batch, layer: RNN | LSTM | GRU, prefix: str, optional: OptionalInputs
) -> list[list[str]]:
    """Return the states (B, ·) that each layer and direction begins with, "" for zeros."""
    graph, count, axis = batch.graph, number_of_states(layer), batch.graph.constant([0])
    states = []
    for name, value in zip(layer.spec.states, (optional.h_0, optional.c_0), strict=False):
        if value:
            parts = [graph.add("Squeeze", part, axis) for part in _split(graph, value, count)]
        elif layer.learn_initial_state:
            parts = [_learned(batch, layer, name, place, prefix) for place in range(count)]
        else:
            parts = [""] * count
        states.append(parts)
    return [list(parts) for parts in zip(*states, strict=True)]


def _learned(batch: Batch, layer: RNN | LSTM | GRU, name: str, place: int, prefix: str) -> str:
    """Return the learned initial state (B, ·) of one layer and direction."""
    graph = batch.graph
    value = getattr(layer, f"initial_{name}")[place]
    shape = graph.add("Concat", batch.size, graph.constant([len(value)]), axis=0)
    return graph.add("Expand", graph.constant(value, f"{prefix}initial_{name}_{place}"), shape)


def _final_states(graph: Graph, finals: Sequence[Sequence[str]]) -> tuple[str, str]:
    """Return h_n and c_n of the states of each layer, c_n "" of cells without c."""
    h_n, *others = (_joined(graph, parts) for parts in zip(*finals, strict=True))
    return h_n, others[0] if others else ""


def add_operator(
    batch: Batch,
    operator: OnnxOperator,
    x: str,
    weights: Mapping[str, str],
    initial: Sequence[str],
) -> tuple[Steps, list[str]]:
    """Add one operator; return its output (L, B, D·H), and its final states (D, B, H).

    Parameters
    ----------
    operator
        Its attributes are read, and the shape of "R".
    x
        (L, B, I).
    weights
        W, R, and B and P where the operator has them.
    initial
        h and c (D, B, H), "" for zeros.
    """
    graph = batch.graph
    own = [initial[1], weights.get("P", "")] if operator.kind == "LSTM" else []
    y, *ends = graph.add_all(
        operator.kind,
        x,
        *(weights.get(part, "") for part in ("W", "R", "B")),
        batch.sequence_lens,
        initial[0],
        *own,
        outputs=3 if operator.kind == "LSTM" else 2,
        **operator.attributes,
    )
    steps = Steps(_side_by_side(graph, y, operator), _width(operator))
    return steps, [_final(batch, end, began) for end, began in zip(ends, initial, strict=False)]


def _operators(layer: RNN | LSTM | GRU) -> tuple[OnnxOperator, ...] | None:
    """Return ONNX's operators, None for a cell or an option that they do not have."""
    try:
        return to_onnx(layer)
    except ShapeError:
        return None


def _directions(operator: OnnxOperator) -> int:
    return int(operator.inputs["R"].shape[0])


def _width(operator: OnnxOperator) -> int:
    return _directions(operator) * int(operator.attributes["hidden_size"])


def _side_by_side(graph: Graph, y: str, operator: OnnxOperator) -> str:
    """(L, D, B, H) to (L, B, D·H)."""
    if _directions(operator) == 1:
        return graph.add("Squeeze", y, graph.constant([1]))
    swapped = graph.add("Transpose", y, perm=[0, 2, 1, 3])
    return graph.add("Reshape", swapped, graph.constant([0, 0, _width(operator)]))


def _context(batch: Batch, context: str) -> str:
    """(B, C) at every step, (L, B, C)."""
    if not context:
        return ""
    graph = batch.graph
    one = graph.constant([1])
    shape = graph.add("Concat", batch.steps, one, one, axis=0)
    return graph.add("Expand", graph.add("Unsqueeze", context, graph.constant([0])), shape)


def _split(graph: Graph, state: str, layers: int) -> list[str]:
    """Return the part of each layer of (layers · D, B, H)."""
    if not state or layers == 1:
        return [state] * layers
    names = [f"{state}_l{k}" for k in range(layers)]
    graph.add("Split", state, outputs=names, axis=0, num_outputs=layers)
    return names


def _joined(graph: Graph, parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=0)


def _expanded(batch: Batch, initial: str) -> str:
    """(D, 1, H), learned by the layer, to (D, B, H)."""
    if not initial:
        return ""
    one = batch.graph.constant([1])
    shape = batch.graph.add("Concat", one, batch.size, one, axis=0)
    return batch.graph.add("Expand", initial, shape)


def _final(batch: Batch, end: str, began: str) -> str:
    """Return the final state: of a sequence without steps where it began, which the operator leaves open."""
    return end if batch.full or not began else batch.graph.add("Where", batch.empty, began, end)


def state_sizes(layer: RNN | LSTM | GRU) -> dict[str, int]:
    """Return the features of each state, by its name."""
    return {name: (layer.proj_size if name == "h" else 0) or layer.hidden_size for name in layer.spec.states}


def number_of_states(layer: torch.nn.RNNBase) -> int:
    """Return layers · directions."""
    return int(layer.num_layers) * (2 if layer.bidirectional else 1)
