"""The activations of a recurrent cell, as their definitions say them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from throughtime.ops.cell import Activation


def activated(activation: Activation, x: Tensor, clip: float = math.inf) -> Tensor:
    """Return the activation of ``x``, which is first bounded by −clip and clip."""
    if clip < math.inf:
        x = x.clamp(-clip, clip)
    return _FUNCTIONS[activation.name](x, activation.alpha, activation.beta)


_FUNCTIONS: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "affine": lambda x, alpha, beta: alpha * x + beta,
    "elu": lambda x, alpha, _: functional.elu(x, alpha),
    "hard_sigmoid": lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
    "leaky_relu": lambda x, alpha, _: functional.leaky_relu(x, alpha),
    "relu": lambda x, *_: torch.relu(x),
    "scaled_tanh": lambda x, alpha, beta: alpha * torch.tanh(beta * x),
    "sigmoid": lambda x, *_: torch.sigmoid(x),
    "softplus": lambda x, *_: functional.softplus(x, threshold=1e9),
    "softsign": lambda x, *_: functional.softsign(x),
    "tanh": lambda x, *_: torch.tanh(x),
    "thresholded_relu": lambda x, alpha, _: torch.where(x <= alpha, torch.zeros_like(x), x),
}
