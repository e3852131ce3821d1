"""Refuses a sequence of which a layer would leave nothing."""

from collections.abc import Callable

import torch

from throughtime.errors import ShapeError
from throughtime.ops.window_layouts import first_too_short
from throughtime.ragged import Layout


def refuse_too_short(layout: Layout, out: Layout, layer: str, why: Callable[[], str]) -> None:
    """Raise for the first sequence that has tokens but no output; an empty one stays empty.

    Not under torch.compile, whose graphs do not look at lengths: there such a sequence becomes empty.

    Raises
    ------
    ShapeError
        With the sequence's place in the batch and its length.
    """
    if torch.compiler.is_compiling() or out is layout:
        return
    if first_too_short(layout, out) == -1:
        return
    gone = (out.lengths == 0) & (layout.lengths > 0)
    if gone.any():
        first, count = int(gone.nonzero()[0, 0]), int(gone.sum())
        others = f" (and {count - 1} more of this batch)" if count > 1 else ""
        steps = int(layout.lengths[first])
        raise ShapeError(f"{layer}: sequence {first}{others} has {steps} step{'s' * (steps != 1)}, {why()}")
