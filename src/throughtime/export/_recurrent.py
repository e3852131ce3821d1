"""Recurrent layers as ONNX's own operators, one for each layer of the stack, or as loops over their steps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
    """The output of the last layer, and final states (layers · directions, B, H), c_n "" but for LSTM."""

    steps: Steps
    h_n: str
    c_n: str = ""


def add_recurrent(
    batch: Batch,
    layer: RNN | LSTM | GRU,
    steps: Steps,
    name: str = "",
    optional: OptionalInputs | None = None,
) -> Result:
    """Add a layer; its weights are called after ``name``, the layer's own in the model.

    Raises
    ------
    ShapeError
        If ONNX does not have one of its options, or it needs a context and gets none.
    """
    optional = optional or OptionalInputs()
    if layer.context_size and not optional.context:
        raise ShapeError(
            f"{name or type(layer).__name__} needs a context, which inside a model nothing gives; "
            "export the layer by itself"
        )
    if batch.intermediates is not None:
        return _add_loops(batch, layer, steps, f"{name}." if name else "", optional)
    graph, operators = batch.graph, _operators(layer, name)
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
        outputs = [f"{prefix}{part}_l{k}" for part in ("Y", *(f"Y_{state}" for state in layer.spec.states))]
        steps, ends = add_operator(batch, operator, x, constants, initial, outputs)
        finals.append(ends)
    h_n, *c_n = (_joined(graph, parts) for parts in zip(*finals, strict=True))
    return Result(steps, h_n, *c_n)


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
    steps, sizes = steps_of(value, place.name, layer.input_size), _state_sizes(layer)
    states = [
        stream.state(place, name, (layer.num_layers, "batch", size), f"State {name} of each layer.")
        for name, size in sizes.items()
    ]
    before = [
        _begun(stream, state.before, getattr(layer, f"initial_{name}", None), place.weight(f"initial_{name}"))
        for name, state in zip(sizes, states, strict=True)
    ]
    result = add_recurrent(stream, layer, steps, place.path, OptionalInputs(*before))
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
    graph, names = batch.graph, layer.spec.states
    given = [_split(graph, state, number_of_states(layer)) for state in (optional.h_0, optional.c_0)]
    finals: list[list[str]] = []
    for row in directions_of(layer, prefix):
        outputs = []
        for direction in row:
            place = len(finals)
            initial = [
                graph.add("Squeeze", states[place], graph.constant([0]))
                if states[place]
                else _learned(batch, layer, name, place, prefix)
                for states, name in zip(given, names, strict=False)
            ]
            output, final = add_direction(batch, direction, steps, initial, optional.context)
            outputs.append(output)
            finals.append([_final(batch, end, began) for end, began in zip(final, initial, strict=True)])
        joined = [output.name for output in outputs]
        width = sum(output.features or 0 for output in outputs)
        steps = Steps(joined[0] if len(joined) == 1 else graph.add("Concat", *joined, axis=2), width)
    axis = graph.constant([0])
    h_n, *c_n = (
        _joined(graph, [graph.add("Unsqueeze", part, axis) for part in parts])
        for parts in zip(*finals, strict=True)
    )
    return Result(steps, h_n, *c_n)


def _learned(batch: Batch, layer: RNN | LSTM | GRU, name: str, place: int, prefix: str) -> str:
    """Return the learned initial state (B, H) of one layer and direction, "" if there is none."""
    if not layer.learn_initial_state:
        return ""
    graph = batch.graph
    value = getattr(layer, f"initial_{name}")[place]
    shape = graph.add("Concat", batch.size, graph.constant([len(value)]), axis=0)
    return graph.add("Expand", graph.constant(value, f"{prefix}initial_{name}_{place}"), shape)


def add_operator(
    batch: Batch,
    operator: OnnxOperator,
    x: str,
    weights: Mapping[str, str],
    initial: Sequence[str],
    outputs: Sequence[str],
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
    outputs
        Names of Y and of each final state.
    """
    graph = batch.graph
    own = [initial[1], weights.get("P", "")] if operator.kind == "LSTM" else []
    y = graph.add(
        operator.kind,
        x,
        *(weights.get(part, "") for part in ("W", "R", "B")),
        batch.sequence_lens,
        initial[0],
        *own,
        outputs=outputs,
        **operator.attributes,
    )
    steps = Steps(_side_by_side(graph, y, operator), _width(operator))
    return steps, [_final(batch, end, began) for end, began in zip(outputs[1:], initial, strict=False)]


def _operators(layer: RNN | LSTM | GRU, name: str) -> tuple[OnnxOperator, ...]:
    try:
        return to_onnx(layer)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error}" if name else str(error)) from error


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


def _state_sizes(layer: RNN | LSTM | GRU) -> dict[str, int]:
    return {name: (layer.proj_size if name == "h" else 0) or layer.hidden_size for name in layer.spec.states}


def number_of_states(layer: torch.nn.RNNBase) -> int:
    """Return layers · directions."""
    return int(layer.num_layers) * (2 if layer.bidirectional else 1)
