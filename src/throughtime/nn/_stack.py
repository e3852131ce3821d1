"""Run all layers and directions of a recurrent module on rows of tokens."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from throughtime.nn._weights import checked_weights
from throughtime.ops.recurrent import recurrent_layer
from throughtime.ops.steps import Cell, Steps, Weights


class LayerResult(NamedTuple):
    """What one layer read and made; see `throughtime.ops.recurrent`."""

    x: Tensor
    h0: Tensor | None
    y: Tensor
    c: Tensor
    gates: Tensor


class StackResult(NamedTuple):
    """Output of the last layer, final states of all (layers x directions, B, size), and each layer's own."""

    y: Tensor
    h_n: Tensor
    c_n: Tensor
    layers: list[LayerResult]


def run_stack(
    module: nn.RNNBase,
    x: Tensor,
    steps: Steps,
    h0: Tensor | None,
    c0: Tensor | None,
    *,
    save: bool = False,
) -> StackResult:
    """Run the module's layers one on top of the other, in the dtype of ``x``."""
    cell: Cell = module.mode  # type: ignore[assignment]
    count = 2 if module.bidirectional else 1
    layers, finals = [], []
    y = x
    for layer in range(module.num_layers):
        x = dropout(y, module.dropout, module.training) if layer and module.dropout else y
        own = slice(layer * count, (layer + 1) * count)
        h, c = (None if part is None else part[own] for part in (h0, c0))
        directions = tuple(weights_of(module, layer, direction, x.dtype) for direction in range(count))
        y, h_n, c_n, c_all, gates = recurrent_layer(x, steps, cell, h, c, directions, save=save)
        layers.append(LayerResult(x, h, y, c_all, gates))
        finals.append((h_n, c_n))
    if len(finals) == 1:
        return StackResult(y, *finals[0], layers)
    h_n, c_n = (torch.cat(parts) for parts in zip(*finals, strict=True))
    return StackResult(y, h_n, c_n, layers)


def weights_of(module: nn.RNNBase, layer: int, direction: int, dtype: torch.dtype) -> Weights:
    """Return the parameters of one layer and direction, whatever has put them in their place."""
    names = module._all_weights[layer * (2 if module.bidirectional else 1) + direction]  # noqa: SLF001
    own = module._parameters  # noqa: SLF001 - where they mostly are; torch's own look-up is slow
    parts: list[Any] = [own[name] if name in own else getattr(module, name) for name in names]
    ih, hh, *rest = parts
    bias_ih, bias_hh = rest[:2] if module.bias else (None, None)
    weights = Weights(ih, hh, bias_ih, bias_hh, rest[-1] if module.proj_size else None)
    size = module.proj_size or module.hidden_size
    features = size * (2 if module.bidirectional else 1) if layer else module.input_size
    return checked_weights(
        weights, module.mode, features, module.hidden_size, module.proj_size, dtype, type(module).__name__
    )
