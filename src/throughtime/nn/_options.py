"""The options of recurrent layers, from what a user writes to a `CellSpec`."""

import math
from collections.abc import Sequence

from throughtime.errors import ShapeError
from throughtime.ops.cell import ACTIVATIONS, Activation

ActivationLike = str | tuple[str, float] | tuple[str, float, float]
"""A name of `throughtime.nn.Activation`, or a tuple of it, α and β."""


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
    return tuple(_activation(one, layer) for one in given)


def _activation(given: ActivationLike, layer: str) -> Activation:
    name, *numbers = (given,) if isinstance(given, str) else given
    if name not in ACTIVATIONS:
        raise ShapeError(f"{layer}: no activation is called {name!r}; there are {', '.join(ACTIVATIONS)}")
    defaults = ACTIVATIONS[name]
    takes = {
        "affine": 2,
        "hard_sigmoid": 2,
        "scaled_tanh": 2,
        "elu": 1,
        "leaky_relu": 1,
        "thresholded_relu": 1,
    }
    if len(numbers) > takes.get(name, 0):
        raise ShapeError(f"{layer}: {name} takes {takes.get(name, 0)} numbers (α, β), got {tuple(numbers)}")
    alpha, beta = (*numbers, *defaults[len(numbers) :])
    lowest = {"elu": "α > 0", "leaky_relu": "α >= 0", "thresholded_relu": "α >= 0", "scaled_tanh": "α ≠ 0"}
    allowed = {
        "elu": alpha > 0,
        "leaky_relu": alpha >= 0,
        "thresholded_relu": alpha >= 0,
        "scaled_tanh": alpha != 0,
    }
    if not (math.isfinite(alpha) and math.isfinite(beta) and allowed.get(name, True)):
        raise ShapeError(
            f"{layer}: {name} needs finite numbers{' with ' + lowest[name] if name in lowest else ''}, "
            f"got α = {alpha}, β = {beta}"
        )
    return Activation(name, float(alpha), float(beta))


def bound_of(value: float | None, name: str, layer: str) -> float:
    """Return a bound, infinity for None.

    Raises
    ------
    ShapeError
        If it is not above zero.
    """
    if value is None:
        return math.inf
    if not value > 0:
        raise ShapeError(f"{layer}: {name} is a bound above 0, or None for no bound; got {value}")
    return float(value)
