"""A recurrent layer as a loop over its steps, with every state and gate, which ONNX's operators hide."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from torch import Tensor

from throughtime.export._batch import Batch, Steps
from throughtime.export._function import ROWS, add_function
from throughtime.export._graph import Graph
from throughtime.export._model_graph import ModelGraph
from throughtime.nn import GRU, LSTM, RNN
from throughtime.nn.recurrent.weights import Place as Parameters
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.weights import Weights


class Direction(NamedTuple):
    """One layer of a module in one direction: its weights, their names, and where it stands."""

    spec: CellSpec
    weights: Weights
    parameters: Parameters
    prefix: str
    suffix: str
    reverse: bool


def directions_of(layer: RNN | LSTM | GRU, prefix: str) -> list[list[Direction]]:
    """Return the layers of a module, each with its directions."""
    plan = layer.weight_plan
    alone = layer.num_layers == 1 and not layer.bidirectional
    return [
        [
            Direction(
                layer.spec,
                weights,
                parameters,
                prefix,
                "" if alone else f"_l{number}" + ("_reverse" if d else ""),
                reverse=d == 1,
            )
            for d, (weights, parameters) in enumerate(zip(row, names, strict=True))
        ]
        for number, (row, names) in enumerate(zip(plan.parameters(layer), plan.layers, strict=True))
    ]


def add_direction(
    batch: Batch, direction: Direction, x: Steps, initial: Sequence[str], context: str
) -> tuple[Steps, list[str]]:
    """Add a loop; return h of all steps, and the states after each sequence's last one, (B, ·) each.

    The states and gates of all steps become intermediates, by the names of `throughtime.nn.Trace`.

    Parameters
    ----------
    x
        (L, B, I).
    initial
        The states before the first step, (B, ·) each, "" for zeros.
    context
        (B, C), or "".
    """
    graph, sizes = cast("ModelGraph", batch.graph), _state_sizes(direction)
    before = [state or _zeros(batch, size) for state, size in zip(initial, sizes.values(), strict=True)]
    added = _added_by_context(batch, direction, context)

    def step(states: Sequence[str], x_t: str) -> tuple[Sequence[str], Sequence[str]]:
        results = _add_step(graph, direction, x, [x_t, *states], added)
        return results[: len(sizes)], results if batch.intermediates is not None else results[: len(sizes)]

    after, values = graph.scan(step, before, _in_order(batch, x.name, direction))
    values = [_in_order(batch, value, direction) for value in values]
    states = {name: Steps(value, size) for (name, size), value in zip(sizes.items(), values, strict=False)}
    _observe(batch, direction, states, values[len(sizes) :])
    if not batch.full:
        after = [_at_end(batch, steps, direction) for steps in states.values()]
    return states["h"], after


def _observe(batch: Batch, direction: Direction, states: Mapping[str, Steps], kept: Sequence[str]) -> None:
    """Collect the states of all steps, and the values (L, B, S, H) that are kept of them."""
    if batch.intermediates is None:
        return
    # A layer by itself has no path, and an LSTM's output gate is not the output of the model.
    prefix = direction.prefix or f"{direction.spec.kind.lower()}."
    for name, steps in states.items():
        words = f"State {name} after every step."
        batch.intermediates.add(f"{prefix}{name}{direction.suffix}", batch.holding(steps), words)
    for values in kept:
        for name, steps in _kept(batch.graph, direction, values).items():
            words = f"Value of {name} at every step."
            batch.intermediates.add(f"{prefix}{name}{direction.suffix}", batch.holding(steps), words)


def _kept(graph: Graph, direction: Direction, values: str) -> dict[str, Steps]:
    """Return the gates and the parts of pre-activations that are kept of all steps, by their names."""
    spec, axis = direction.spec, graph.constant([2])
    parts = graph.add_all("Split", values, outputs=spec.saved, axis=2, num_outputs=spec.saved)
    names, hidden = (*spec.gate_names, *spec.linear_names), direction.weights.hh.shape[0] // spec.gates
    return {
        name: Steps(graph.add("Squeeze", part, axis), hidden) for name, part in zip(names, parts, strict=True)
    }


def _state_sizes(direction: Direction) -> dict[str, int]:
    hh, spec = direction.weights.hh, direction.spec
    return {state: hh.shape[1] if state == "h" else hh.shape[0] // spec.gates for state in spec.states}


def _add_step(
    graph: ModelGraph, direction: Direction, x: Steps, values: Sequence[str], added: str
) -> list[str]:
    """Add the equations of the cell; return the states, and the values that are kept of the step."""
    spec, weights = direction.spec, direction.weights
    sizes = [x.features or 0, *_state_sizes(direction).values()]
    tensors = [weights.ih.new_zeros(ROWS, size) for size in sizes]
    context = weights.ih.new_zeros(ROWS, weights.ih.shape[0]) if added else None
    operands = list(zip(tensors, values, strict=True))
    if context is not None:
        operands.append((context, added))

    def step(x_t: Tensor, h: Tensor, *others: Tensor) -> list[Tensor]:
        c = others[0] if spec.has_c else h.new_zeros(ROWS, 0)
        after, kept = spec.step(x_t, State(h, c), weights, context)
        return [*after[: len(spec.states)], *([kept] if spec.saved else [])]

    named = direction.parameters.named(weights._replace(own=None, context=None))
    constants = {f"{direction.prefix}{name}": value for name, value in named.items()}
    return add_function(graph, step, operands, constants, direction.prefix.removesuffix(".") or spec.kind)


def _added_by_context(batch: Batch, direction: Direction, context: str) -> str:
    """(B, G·H): what the context adds to the gates of every step."""
    if not context or direction.weights.context is None or direction.parameters.context is None:
        return ""
    name = f"{direction.prefix}{direction.parameters.context}"
    return batch.graph.add("MatMul", context, batch.graph.constant(direction.weights.context.t(), name))


def _zeros(batch: Batch, size: int) -> str:
    shape = batch.graph.add("Concat", batch.size, batch.graph.constant([size]), axis=0)
    return batch.graph.add("Expand", batch.graph.number(0.0), shape)


def _in_order(batch: Batch, value: str, direction: Direction) -> str:
    """Return the steps of each sequence in the order in which a direction reads them, or back."""
    if not direction.reverse:
        return value
    return batch.graph.add("ReverseSequence", value, batch.lengths, batch_axis=1, time_axis=0)


def _at_end(batch: Batch, steps: Steps, direction: Direction) -> str:
    """(B, D): the value of the step that a direction reads last."""
    mask = batch.first if direction.reverse else batch.last
    return batch.graph.sum_over(batch.masked(steps, mask).name, [0])
