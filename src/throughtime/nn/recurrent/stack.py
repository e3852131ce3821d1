"""Run all layers and directions of a recurrent module on rows of tokens."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from throughtime.nn.recurrent.weights import WeightPlan
from throughtime.nn.trace.layer_result import LayerResult
from throughtime.ops.recurrent.layer import recurrent_layer
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps


class Stack(Protocol):
    """What is asked of a module here: torch's `RNNBase`, and the options beyond it."""

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
    x: Tensor,
    steps: Steps,
    h0: Tensor | None,
    c0: Tensor | None,
    context: Tensor | None,
    *,
    save: bool = False,
    records: list[StepGradients] | None = None,
) -> StackResult:
    """Run the module's layers one on top of the other, in the dtype of ``x``."""
    count = 2 if module.bidirectional else 1
    layers, finals = [], []
    y = x
    for layer, directions in enumerate(module.weight_plan.weights(module, x.dtype, context)):
        x = dropout(y, module.dropout, module.training) if layer and module.dropout else y
        own = slice(layer * count, (layer + 1) * count)
        h, c = (None if part is None else part[own] for part in (h0, c0))
        y, h_n, c_n, c_all, gates = recurrent_layer(
            x,
            steps,
            module.spec,
            h,
            c,
            directions,
            save=save,
            record=None if records is None else records[layer],
        )
        layers.append(LayerResult(x, h, c, directions, y, c_all, gates))
        finals.append((h_n, c_n))
    if len(finals) == 1:
        return StackResult(y, *finals[0], layers)
    h_n, c_n = (torch.cat(parts) for parts in zip(*finals, strict=True))
    return StackResult(y, h_n, c_n, layers)
