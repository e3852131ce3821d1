"""The gates of a recurrent layer before activation, computed again from its states."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from throughtime.nn.trace.reading import Reading
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.weights import Weights


def pre_activations_of(
    spec: CellSpec,
    x: Tensor,
    start: Sequence[Tensor | None],
    states: Mapping[str, Tensor],
    gates: Mapping[str, Tensor],
    weights: Weights,
    read: Reading,
) -> dict[str, Tensor]:
    """Return the pre-activations of every token, (T, H) each, from what the layer read and made.

    ``start`` holds the initial h and c of the direction, (B, ·) or None.
    """
    nothing = x.new_zeros(x.shape[0], 0)
    before = State(
        read.before(states["h"], start[0]), read.before(states["c"], start[1]) if spec.has_c else nothing
    )
    after = State(states["h"], states.get("c", nothing))
    with torch.autocast(x.device.type, enabled=False):
        context = weights.context
        if context is not None:
            context = context.index_select(0, read.layout.sequence_ids)
        from_x = spec.from_token(x, weights, context)
        return spec.pre_activations(from_x, before, after, {**states, **gates}, weights)
