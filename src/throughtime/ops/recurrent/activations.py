"""The activations of recurrent cells: definitions, and the numbers α and β that they take."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from throughtime.errors import ShapeError

ActivationLike = str | tuple[str, float] | tuple[str, float, float]
"""A name of `throughtime.nn.Activation`, or a tuple of it, α and β."""


class Activation(NamedTuple):
    r"""A function of the ONNX operators, by name, with its two numbers where it has them.

    ================  ==========================  ==============
    name              value                       α, β (default)
    ================  ==========================  ==============
    affine            α x + β                     1, 0
    elu               x; below 0: α (exp(x) − 1)  1
    hard_sigmoid      α x + β, within 0 and 1     0.2, 0.5
    leaky_relu        x; below 0: α x             0.01
    relu              max(x, 0)
    scaled_tanh       α tanh(β x)                 1.7159, 2/3
    sigmoid           1 / (1 + exp(−x))
    softplus          log(1 + exp(x))
    softsign          x / (1 + abs(x))
    tanh              tanh(x)
    thresholded_relu  x; up to α: 0               1
    ================  ==========================  ==============
    """

    name: str
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class ActivationKind:
    """What is known of the activations of one name.

    Parameters
    ----------
    function
        Its value for a tensor, α and β.
    defaults
        Default parameters α and β, as many as the activation has.
    condition
        What α has to satisfy, in words, and whether a number does.
    """

    function: Callable[[Tensor, float, float], Tensor]
    defaults: tuple[float, ...] = ()
    condition: tuple[str, Callable[[float], bool]] | None = None

    @property
    def alpha_and_beta(self) -> tuple[float, float]:
        """The defaults, 0 for a number that it does not take."""
        alpha, beta = (*self.defaults, 0.0, 0.0)[:2]
        return alpha, beta


_POSITIVE = ("α > 0", lambda alpha: alpha > 0)
_NOT_NEGATIVE = ("α >= 0", lambda alpha: alpha >= 0)
_NOT_ZERO = ("α ≠ 0", lambda alpha: alpha != 0)

ACTIVATIONS: dict[str, ActivationKind] = {
    "affine": ActivationKind(lambda x, alpha, beta: alpha * x + beta, (1.0, 0.0)),
    "elu": ActivationKind(lambda x, alpha, _: functional.elu(x, alpha), (1.0,), _POSITIVE),
    "hard_sigmoid": ActivationKind(lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1), (0.2, 0.5)),
    "leaky_relu": ActivationKind(lambda x, alpha, _: functional.leaky_relu(x, alpha), (0.01,), _NOT_NEGATIVE),
    "relu": ActivationKind(lambda x, *_: torch.relu(x)),
    "scaled_tanh": ActivationKind(
        lambda x, alpha, beta: alpha * torch.tanh(beta * x), (1.7159, 2 / 3), _NOT_ZERO
    ),
    "sigmoid": ActivationKind(lambda x, *_: torch.sigmoid(x)),
    "softplus": ActivationKind(lambda x, *_: functional.softplus(x, threshold=1e9)),
    "softsign": ActivationKind(lambda x, *_: functional.softsign(x)),
    "tanh": ActivationKind(lambda x, *_: torch.tanh(x)),
    "thresholded_relu": ActivationKind(
        lambda x, alpha, _: torch.where(x <= alpha, torch.zeros_like(x), x), (1.0,), _NOT_NEGATIVE
    ),
}

SIGMOID, TANH, RELU = Activation("sigmoid"), Activation("tanh"), Activation("relu")


def activated(activation: Activation, x: Tensor, clip: float = math.inf) -> Tensor:
    """Return the activation of ``x``, which is first bounded by −clip and clip."""
    if clip < math.inf:
        x = x.clamp(-clip, clip)
    return ACTIVATIONS[activation.name].function(x, activation.alpha, activation.beta)


def activations_of(
    given: Sequence[ActivationLike], roles: tuple[str, ...], layer: str
) -> tuple[Activation, ...]:
    """Return one activation for each role.

    Raises
    ------
    ShapeError
        If there are more or fewer, a name is unknown, or a number cannot be had.
    """
    if isinstance(given, str) or len(given) != len(roles):
        raise ShapeError(f"{layer}: activations are {len(roles)}, of {', of '.join(roles)}; got {given!r}")
    return tuple(_activation(activation, layer) for activation in given)


def as_argument(activation: Activation) -> ActivationLike:
    """Return what `activations_of` makes this activation of: its name, with the numbers that it takes."""
    count = len(ACTIVATIONS[activation.name].defaults)
    return (activation.name, *activation[1 : 1 + count]) if count else activation.name  # type: ignore[return-value]


def _activation(given: ActivationLike, layer: str) -> Activation:
    name, *numbers = (given,) if isinstance(given, str) else given
    kind = ACTIVATIONS.get(name)
    if kind is None:
        raise ShapeError(f"{layer}: unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
    count = len(kind.defaults)
    if len(numbers) > count:
        raise ShapeError(f"{layer}: {name} takes {count} numbers (α, β), got {tuple(numbers)}")
    alpha, beta = (*numbers, *kind.alpha_and_beta[len(numbers) :])
    words, allows = kind.condition or ("", lambda _: True)
    if not (math.isfinite(alpha) and math.isfinite(beta) and allows(alpha)):
        raise ShapeError(
            f"{layer}: {name} needs finite numbers{words and ' with ' + words}, got α = {alpha}, β = {beta}"
        )
    return Activation(name, float(alpha), float(beta))
