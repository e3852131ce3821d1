"""The weights of one recurrent layer in one direction: their names, order and shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

Results = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""What a layer makes: y, h_n, c_n, c and gates, see `recurrent_layer_reference`."""


class Weights(NamedTuple):
    """What acts on the tokens of one layer in one direction, named and laid out as in torch.nn.

    ih (G·H, I), hh (G·H, P), biases (G·H,) or None, hr (P, H) or None; P is H where there is no hr. The
    cell's own parameters (R·H,), one below the other as `CellSpec.own_parameters` lists them, and the context
    (B, G·H), what every step of a sequence adds to W_ih x + b_ih, or None.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    hr: Tensor | None
    own: Tensor | None = None
    context: Tensor | None = None


PARTS = len(Weights._fields)


def flat(directions: tuple[Weights, ...]) -> tuple[Tensor | None, ...]:
    """Return the fields of both directions, or of one, side by side."""
    return directions[0] if len(directions) == 1 else (*directions[0], *directions[1])


def directions_of(weights: tuple[Tensor | None, ...]) -> tuple[Weights, ...]:
    """Undo `flat`; a second direction of None alone is none."""
    found = (weights[first : first + PARTS] for first in range(0, len(weights), PARTS))
    return tuple(Weights(*parts) for parts in found if parts[0] is not None)  # type: ignore[arg-type]


@dataclass(frozen=True)
class OwnParameter:
    """A parameter that only one kind of cell has, such as its peepholes: vectors of H, one below the other.

    Parameters
    ----------
    rows
        How many vectors.
    initial
        The value of every entry of a new layer; None for torch's, uniform within 1/√H.
    """

    rows: int
    initial: float | None = None


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""The parameters that torch's layers have, without a suffix such as ``_l0_reverse``, as `Weights` begins."""

CONTEXT = "weight_context"
"""That of the weights of a context, (G·H, C)."""


def weight_shapes(
    gates: int,
    own_parameters: Mapping[str, OwnParameter],
    features: int,
    hidden: int,
    *,
    projection: int = 0,
    context: int = 0,
) -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter that a layer may have, by its name without a suffix.

    Parameters
    ----------
    gates
        G, see `CellSpec.gates`.
    own_parameters
        See `CellSpec.own_parameters`.
    projection, context
        P and C, 0 for none.
    """
    rows = gates * hidden
    return {
        "weight_ih": (rows, features),
        "weight_hh": (rows, projection or hidden),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
        "weight_hr": (projection, hidden),
        **{name: (own.rows * hidden,) for name, own in own_parameters.items()},
        CONTEXT: (rows, context),
    }
