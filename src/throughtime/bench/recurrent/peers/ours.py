"""Our own layer, as a user calls it: a dense tensor for equal lengths, `Ragged` for others."""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime import nn as our_nn
from throughtime.bench._lengths import Mode
from throughtime.bench.recurrent.case import Case
from throughtime.bench.recurrent.peers._contender import Prepared
from throughtime.bench.recurrent.peers.torch import from_time_major, time_major
from throughtime.ragged import Ragged


def layer_of(case: Case) -> nn.Module:
    """Return our layer with the case's weights."""
    shape = case.shape
    layer: nn.Module = getattr(our_nn, case.cell)(shape.inputs, shape.hidden)
    layer.load_state_dict(case.layer.state_dict())
    return layer


def prepare(case: Case, mode: Mode, *, layer: nn.Module | None = None, traced: bool = False) -> Prepared:
    """Return the case ready to run; ``traced`` calls ``layer.trace`` in place of the layer.

    ``layer`` replaces the built-in one; its parameters come in the same order.
    """
    layer = layer_of(case) if layer is None else layer

    def call(x: Any) -> Any:
        # Only the output of a trace is used, so that the rest is its overhead.
        return layer.trace(x).result.output if traced else layer(x).output  # type: ignore[operator]

    dense = case.kind == "equal"
    if mode == "inference":
        x = time_major(case.values, case) if dense else Ragged.from_lengths(case.values, case.lengths)

        def infer() -> Any:
            with torch.no_grad():
                return call(x)

        return Prepared(infer, lambda y: (_tokens(y if dense else y.values, case),))
    leaf = time_major(case.values, case) if dense else case.values.clone()
    leaf.requires_grad_()
    given = leaf if dense else Ragged.from_lengths(leaf, case.lengths)
    gradient = time_major(case.gradient, case) if dense else case.gradient
    parameters = list(layer.parameters())

    def train() -> Any:
        y = call(given)
        return torch.autograd.grad(y if dense else y.values, [leaf, *parameters], gradient)

    return Prepared(train, lambda found: (_tokens(found[0], case), *found[1:]))


def _tokens(values: Tensor, case: Case) -> Tensor:
    """Return the tokens end to end."""
    return from_time_major(values, case) if case.kind == "equal" else values
