"""Our own layer, as a user calls it: a dense tensor for equal lengths, `Ragged` for others."""

from typing import Any

import torch
from torch import Tensor, nn

from throughtime import nn as our_nn
from throughtime.bench._case import Case, Mode
from throughtime.bench.peers._contender import Prepared
from throughtime.bench.peers._torch import from_time_major, time_major
from throughtime.ragged import Ragged


def layer_of(case: Case) -> nn.Module:
    """Return our layer with the case's weights."""
    shape = case.shape
    layer: nn.Module = getattr(our_nn, case.cell)(shape.inputs, shape.hidden)
    layer.load_state_dict(case.layer.state_dict())
    return layer


def input_of(case: Case, values: Tensor) -> Any:
    """Return the tokens as the layer is given them."""
    return time_major(values, case) if case.kind == "equal" else Ragged.from_lengths(values, case.lengths)


def plain(y: Any, case: Case) -> Tensor:
    """Return the tokens of an output, end to end."""
    return from_time_major(y, case) if case.kind == "equal" else y.values


def prepare(case: Case, mode: Mode) -> Prepared:
    """Return the case ready to run."""
    layer = layer_of(case)
    if mode == "inference":
        x = input_of(case, case.values)

        def infer() -> Any:
            with torch.no_grad():
                return layer(x).output

        return Prepared(infer, lambda y: (plain(y, case),))
    leaf = time_major(case.values, case) if case.kind == "equal" else case.values.clone()
    leaf.requires_grad_()
    x = leaf if case.kind == "equal" else Ragged.from_lengths(leaf, case.lengths)
    gradient = time_major(case.gradient, case) if case.kind == "equal" else case.gradient
    parameters = list(layer.parameters())

    def train() -> Any:
        y = layer(x).output
        return torch.autograd.grad(y if case.kind == "equal" else y.values, [leaf, *parameters], gradient)

    return Prepared(train, lambda found: (plain_gradient(found[0], case), *found[1:3]))


def plain_gradient(dx: Tensor, case: Case) -> Tensor:
    """Return the gradient of the tokens, end to end."""
    return from_time_major(dx, case) if case.kind == "equal" else dx
