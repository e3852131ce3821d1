"""Run all layers and directions of a recurrent module on rows of tokens."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from throughtime.errors import ShapeError
from throughtime.nn.recurrent.weights import checked_weights
from throughtime.nn.trace.layer_result import LayerResult
from throughtime.ops.linear import linear
from throughtime.ops.recurrent.layer import recurrent_layer
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import Weights


class Stack(Protocol):
    """What is asked of a module here: torch's `RNNBase`, and the options beyond it."""

    spec: CellSpec
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
    _all_weights: list[list[str]]
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
    for layer in range(module.num_layers):
        x = dropout(y, module.dropout, module.training) if layer and module.dropout else y
        own = slice(layer * count, (layer + 1) * count)
        h, c = (None if part is None else part[own] for part in (h0, c0))
        directions = tuple(
            weights_of(module, layer, direction, x.dtype, context) for direction in range(count)
        )
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


def weights_of(
    module: Stack, layer: int, direction: int, dtype: torch.dtype, context: Tensor | None
) -> Weights:
    """Return what acts on the tokens of one layer and direction, whatever has put it in its place."""
    names = module._all_weights[layer * (2 if module.bidirectional else 1) + direction]  # noqa: SLF001
    own = module._parameters  # noqa: SLF001 - where they mostly are; torch's own look-up is slow
    parts: list[Any] = [own[name] if name in own else getattr(module, name) for name in names]
    ih, hh, *rest = parts
    bias_ih, bias_hh = rest[:2] if module.bias else (None, None)
    hr = rest[-1] if module.proj_size else None
    suffix = names[0].removeprefix("weight_ih")
    peephole = getattr(module, "weight_peephole" + suffix) if module.spec.own_blocks else None
    size = module.proj_size or module.hidden_size
    features = size * (2 if module.bidirectional else 1) if layer else module.input_size
    weights = checked_weights(
        Weights(ih, hh, bias_ih, bias_hh, hr, peephole),
        module.spec,
        features,
        module.hidden_size,
        module.proj_size,
        dtype,
        type(module).__name__,
    )
    if context is None:
        return weights
    from_context = getattr(module, "weight_context" + suffix)
    rows = (ih.shape[0], module.context_size)
    if from_context.shape != rows:
        raise ShapeError(
            f"{type(module).__name__}: weight_context{suffix} has shape {tuple(from_context.shape)}, "
            f"expected {rows}"
        )
    with torch.autocast(context.device.type, enabled=False):
        return weights._replace(context=linear(context, from_context.to(dtype)))
