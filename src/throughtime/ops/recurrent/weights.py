"""The weights of one recurrent layer in one direction: their names, order and shapes."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

Results = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""What a layer makes: y, h_n, c_n, c and gates, see `recurrent_layer_reference`."""


class Weights(NamedTuple):
    """What acts on the tokens of one layer in one direction, named and laid out as in torch.nn.

    ih (G·H, I), hh (G·H, P), biases (G·H,) or None, hr (P, H) or None; P is H where there is no hr. The
    peephole (3·H,) of i f o, or (2·H,) of i o, and the context (B, G·H), what every step of a sequence adds
    to W_ih x + b_ih, or None.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    hr: Tensor | None
    peephole: Tensor | None = None
    context: Tensor | None = None


PARTS = len(Weights._fields)


def flat(directions: tuple[Weights, ...]) -> tuple[Tensor | None, ...]:
    """Return the fields of both directions, or of one, side by side."""
    return directions[0] if len(directions) == 1 else (*directions[0], *directions[1])


def directions_of(weights: tuple[Tensor | None, ...]) -> tuple[Weights, ...]:
    """Undo `flat`; a second direction of None alone is none."""
    found = (weights[first : first + PARTS] for first in range(0, len(weights), PARTS))
    return tuple(Weights(*parts) for parts in found if parts[0] is not None)  # type: ignore[arg-type]


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole", "weight_context")
"""The parameter of a layer that each comes from, without its suffix such as ``_l0_reverse``."""


def weight_shapes(
    gates: int,
    own_blocks: Mapping[str, int],
    features: int,
    hidden: int,
    *,
    projection: int = 0,
    context: int = 0,
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each field of `Weights`; of the context that of its weights (G·H, C).

    Parameters
    ----------
    gates
        G, see `CellSpec.gates`.
    own_blocks
        See `CellSpec.own_blocks`.
    projection, context
        P and C, 0 for none.
    """
    rows = gates * hidden
    return {
        "ih": (rows, features),
        "hh": (rows, projection or hidden),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
        "hr": (projection, hidden),
        **{name: (blocks * hidden,) for name, blocks in own_blocks.items()},
        "context": (rows, context),
    }
