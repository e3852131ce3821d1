"""States of all layers and directions before and after the pieces into which reset flags cut sequences."""

import torch
from torch import Tensor

from throughtime.nn.inputs.resets import Pieces


def begun_states(
    pieces: Pieces, given: Tensor | None, initial: Tensor | None, *, bidirectional: bool
) -> Tensor | None:
    """Return the states (layers · directions, N, ·) before each piece, of those (…, B, ·) that are given.

    ``initial`` is (…, N, ·), the state where none is given; None, here and for ``given``, is zeros.
    """
    if given is None:
        return None
    if not bidirectional:
        return pieces.begun(given, initial, dim=1)
    return _by_direction(
        [
            pieces.begun(given[d::2], None if initial is None else initial[d::2], dim=1, reverse=d == 1)
            for d in range(2)
        ]
    )


def ended_states(pieces: Pieces, final: Tensor, *, bidirectional: bool) -> Tensor:
    """Return the states (layers · directions, B, ·) after each sequence; a cell without c has none."""
    if final.dim() < 2 or not bidirectional:
        return pieces.ended(final, dim=1) if final.dim() > 1 else final
    return _by_direction([pieces.ended(final[d::2], dim=1, reverse=d == 1) for d in range(2)])


def _by_direction(states: list[Tensor]) -> Tensor:
    return torch.stack(states, 1).flatten(0, 1)
