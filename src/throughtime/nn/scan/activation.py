"""The activation φ of candidates, as an argument of layers."""

from typing import get_args

from throughtime.errors import ShapeError
from throughtime.ops.scan.gates import Candidate


def checked_activation(activation: str, layer: str) -> Candidate:
    """Return the activation if there is one of that name."""
    for known in get_args(Candidate):
        if activation == known:
            return known  # type: ignore[no-any-return]
    names = ", ".join(map(repr, get_args(Candidate)))
    raise ShapeError(f"{layer}: activation is one of {names}, got {activation!r}")
