"""Recurrent layers that are written as a step in PyTorch: loops over what the step calls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError, NotCausalError
from throughtime.export._batch import Batch, Steps, Value, features_of, steps_of
from throughtime.export._conv import add_conv, add_conv_chunk
from throughtime.export._function import ROWS, add_function
from throughtime.export._function_of_tokens import add_function_of_tokens, add_recorded_steps
from throughtime.export._linear import add_product
from throughtime.export._model_graph import ModelGraph
from throughtime.export._place import Place
from throughtime.export._stream import Stream
from throughtime.nn.description import OfTokens, Operator, Windows
from throughtime.ops.scan.gates import BLOCKS, coefficients

OneDirection = Callable[[Batch, Steps, Place], Steps]


def add_recurrence(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime.nn.Recurrence: its transition and its read-out at every step.

    Raises
    ------
    InputTypeError
        If an operator of its functions has no form here.
    """
    return _recurrence(batch, operator.arguments["layer"], steps_of(value, place.name), place)


def add_cell_layer(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime.nn.CellLayer: a recurrence for each layer and direction.

    Raises
    ------
    InputTypeError
        As `add_recurrence`.
    NotCausalError
        If it is to stream, and also reads from the end.
    """
    layer = operator.arguments["layer"]

    def of(suffix: str) -> OneDirection:
        recurrence = layer.recurrences[suffix]
        inner = _inner(place, f"recurrences.{suffix}")
        return lambda batch, steps, _place: _recurrence(batch, recurrence, steps, inner)

    return _stacked(batch, layer, steps_of(value, place.name, layer.input_size), place, of)


def add_scan_layer(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime.nn.ScanLayer: h_t = a_t ⊙ h_{t−1} + b_t of pre-activations of all steps.

    Raises
    ------
    NotCausalError
        If it is to stream, and also reads from the end.
    """
    layer = operator.arguments["layer"]

    def of(suffix: str) -> OneDirection:
        return lambda batch, steps, place: _scanned(batch, layer, suffix, steps, place)

    return _stacked(batch, layer, steps_of(value, place.name, layer.input_size), place, of)


def _inner(place: Place, name: str) -> Place:
    return replace(place, path=place.weight(name))


def _stacked(
    batch: Batch, layer: Any, steps: Steps, place: Place, of: Callable[[str], OneDirection]
) -> Steps:
    """Add the layers on top of each other, the directions of each side by side."""
    if layer.bidirectional and isinstance(batch, Stream):
        raise NotCausalError(
            f"{place.described} is bidirectional: it also reads from the end, which a stream does not have "
            "yet; use bidirectional=False"
        )
    for number in range(layer.num_layers):
        outputs = [of(f"l{number}")(batch, steps, place)]
        if layer.bidirectional:
            backward = of(f"l{number}_reverse")(batch, _reversed(batch, steps), place)
            outputs.append(_reversed(batch, backward))
        steps = outputs[0]
        if len(outputs) == 2:
            joined = batch.graph.add("Concat", *(output.name for output in outputs), axis=2)
            steps = Steps(joined, sum(output.features or 0 for output in outputs))
    return steps


def _reversed(batch: Batch, steps: Steps) -> Steps:
    name = batch.graph.add("ReverseSequence", steps.name, batch.lengths, batch_axis=1, time_axis=0)
    return replace(steps, name=name)


def _recurrence(batch: Batch, recurrence: Any, steps: Steps, place: Place) -> Steps:
    if recurrence.prepare is not None:
        prepared = OfTokens(recurrence.prepare)
        steps = steps_of(add_function_of_tokens(batch, prepared, steps, place), place.name)
    leaves, structure = pytree.tree_flatten(recurrence.initial_state)
    read_out = recurrence.g if recurrence.g is not None else lambda state: state
    sizes: list[int] = []

    def step(x_t: Tensor, *states: Tensor) -> list[Tensor]:
        after = recurrence.transition(pytree.tree_unflatten(list(states), structure), x_t)
        output = read_out(after)
        if not isinstance(output, Tensor):
            raise InputTypeError(f"{place.name} returns several tensors for a step, which is not exported")
        sizes[:] = [output.shape[1]]
        return [*pytree.tree_leaves(after), output]

    names = getattr(recurrence.f, "state_names", [f"state_{number}" for number in range(len(leaves))])
    weights = dict(recurrence.f.named_parameters()) if isinstance(recurrence.f, torch.nn.Module) else {}
    name = _loop(_Loop(batch, place, steps, leaves, names), step, weights)
    return Steps(name, sizes[0])


@dataclass(frozen=True)
class _Loop:
    """What a loop reads: steps, and the states of one sequence before the first step, by their names."""

    batch: Batch
    place: Place
    steps: Steps
    leaves: Sequence[Tensor]
    names: Sequence[str]

    @property
    def graph(self) -> ModelGraph:
        """The graph: `torch.onnx.export` has no such loops."""
        return cast("ModelGraph", self.batch.graph)


def _loop(loop: _Loop, step: Callable[..., list[Tensor]], weights: Mapping[str, Tensor]) -> str:
    """Return the last value that a step returns, behind its states, for all steps (L, B, …)."""
    graph, count = loop.graph, len(loop.leaves)
    width = features_of(loop.steps, loop.place.name)
    examples = [torch.zeros(ROWS, width), *(leaf.detach().expand(ROWS, *leaf.shape) for leaf in loop.leaves)]
    constants = {loop.place.weight(name): value for name, value in weights.items()}

    def body(states: Sequence[str], x_t: str) -> tuple[Sequence[str], Sequence[str]]:
        operands = list(zip([example.clone() for example in examples], [x_t, *states], strict=True))
        results = add_function(graph, step, operands, constants, loop.place.name)
        return results[:count], results[count:]

    before = list(_begun(loop))
    after, (output,) = graph.scan(body, [value for value, _ in before], loop.steps.name)
    for (_, state), value in zip(before, after, strict=True):
        if state is not None:
            cast("Stream", loop.batch).keep(state, value)
    return output


def _begun(loop: _Loop) -> Iterator[tuple[str, Any]]:
    """Yield the states (B, …) before the first step, and those of streams."""
    graph, batch = loop.graph, loop.batch
    for name, leaf in zip(loop.names, loop.leaves, strict=True):
        constant = graph.constant(leaf, loop.place.weight(f"initial_{name}"))
        shape = graph.add("Concat", batch.size, graph.constant(list(leaf.shape)), axis=0)
        initial = graph.add("Expand", constant, shape)
        if isinstance(batch, Stream):
            state = batch.state(loop.place, name, ("batch", *leaf.shape), f"State {name}.")
            yield (
                (graph.add("Where", batch.is_first, initial, state.before) if leaf.any() else state.before),
                state,
            )
        else:
            yield initial, None


def _scanned(batch: Batch, layer: Any, suffix: str, steps: Steps, place: Place) -> Steps:
    """Add one direction of a layer that scans."""
    graph, hidden = cast("ModelGraph", batch.graph), layer.hidden_size
    weight = getattr(layer, f"weight_ih_{suffix}")
    bias = getattr(layer, f"bias_ih_{suffix}") if layer.bias else None
    products = _products(batch, weight, bias, steps, _inner(place, suffix))
    gates, rows = BLOCKS[layer.gates] * hidden, len(weight)
    rest: list[Steps] = []
    pre = products
    if rows > gates:
        sizes = graph.constant([gates, rows - gates])
        first, second = graph.add_all("Split", products.name, sizes, outputs=2, axis=2)
        pre, rest = Steps(first, gates), [Steps(second, rows - gates)]

    def step(u: Tensor, h: Tensor) -> list[Tensor]:
        a, b = coefficients(u, layer.gates, layer.candidate)
        after = a * h + b
        return [after, after + 0]

    zeros = weight.new_zeros(hidden)
    states = Steps(
        _loop(_Loop(batch, _inner(place, suffix), pre, [zeros], [layer.state_name]), step, {}), hidden
    )
    return add_recorded_steps(batch, layer.read_out, [states, steps, *rest], place)


def _products(batch: Batch, weight: Tensor, bias: Tensor | None, steps: Steps, place: Place) -> Steps:
    """Return the pre-activations of all steps, of a layer with windows those of the last steps."""
    if weight.dim() == 2:
        return Steps(add_product(batch.graph, steps.name, weight, bias, place.path), len(weight))
    windows = Windows(weight.shape[2], left=weight.shape[2] - 1)
    arguments = {"weight": weight, "bias": bias, "windows": windows, "groups": 1, "padding_mode": "zeros"}
    add = add_conv_chunk if isinstance(batch, Stream) else add_conv
    return add(cast("Stream", batch), Operator("throughtime::conv1d", arguments), steps, place)
