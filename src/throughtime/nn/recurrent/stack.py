"""Run all layers and directions of a recurrent module on rows of tokens."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from throughtime.nn.recurrent.weights import WeightPlan
from throughtime.nn.trace.layer_result import LayerResult
from throughtime.ops.dropout.layer import dropout
from throughtime.ops.recurrent.layer import recurrent_layer
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.recorded import recorded_layer
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import Weights

_Layer = TypeVar("_Layer")


class Stack(Protocol):
    """Protocol of a recurrent module: `torch.nn.RNNBase` with additional options."""

    spec: CellSpec
    weight_plan: WeightPlan
    context_size: int
    learn_initial_state: bool
    input_size: int
    hidden_size: int
    proj_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    bidirectional: bool
    dropout: float
    training: bool
    _watchers: Any
    _carriers: Any
    _parameters: dict[str, nn.Parameter | None]


class StackResult(NamedTuple):
    """Output of the last layer, final states of all (layers x directions, B, size), and each layer's own."""

    y: Tensor
    h_n: Tensor
    c_n: Tensor
    layers: list[LayerResult]


def run_stack(
    module: Stack,
    spec: CellSpec,
    x: Tensor,
    steps: Steps,
    h0: Tensor | None,
    c0: Tensor | None,
    context: Tensor | None,
    *,
    save: bool = False,
    records: list[StepGradients] | None = None,
) -> StackResult:
    """Run the module's layers one on top of the other, in the dtype of ``x``; ``spec`` is its cell."""
    layers: list[LayerResult] = []

    def run(
        directions: tuple[Weights, ...], x: Tensor, h: Tensor | None, c: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        arguments = (x, steps, spec, h, c, directions)
        if records is None:
            y, h_n, c_n, c_all, gates = recurrent_layer(*arguments, save=save)
        else:
            y, h_n, c_n, c_all, gates = recorded_layer(*arguments, save=save, record=records[len(layers)])
        layers.append(LayerResult(x, h, c, directions, y, c_all, gates))
        return y, h_n, c_n

    def dropped(y: Tensor) -> Tensor:
        return dropout(y, module.dropout, module.training) if module.dropout else y

    weights = module.weight_plan.weights(module, x.dtype, context)
    return StackResult(*over_layers(weights, x, h0, c0, run, dropped), layers)


def over_layers(
    layers: Sequence[_Layer],
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    run: Callable[[_Layer, Tensor, Tensor | None, Tensor | None], tuple[Tensor, Tensor, Any]],
    between: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor, Any]:
    """Run layers on what the one below made: the only loop over them, of calls with and without gradients.

    Parameters
    ----------
    layers
        The weights of each, as ``run`` takes them.
    h0, c0
        (layers · directions, …) or None.
    run
        Runs a layer, given its weights, x, h0 and c0, and returns y, h_n and c_n.
    between
        What the output of a layer goes through before the next reads it.

    Returns
    -------
    tuple
        y of the last layer, h_n and c_n of all; c_n is None where ``run`` returns None.
    """
    if len(layers) == 1:
        return run(layers[0], x, h0, c0)
    count = len(layers)
    h_starts, c_starts = [[None] * count if part is None else part.chunk(count) for part in (h0, c0)]
    h_ends: list[Tensor] = []
    c_ends: list[Any] = []
    for layer, h, c in zip(layers, h_starts, c_starts, strict=True):
        x, h_n, c_n = run(layer, x if between is None or not h_ends else between(x), h, c)
        h_ends.append(h_n)
        c_ends.append(c_n)
    return x, torch.cat(h_ends), None if c_n is None else torch.cat(c_ends)
