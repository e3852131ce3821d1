"""Gradients of a linear recurrence by linear recurrences, so that they can be differentiated in turn."""

from collections.abc import Callable

from torch import Tensor

from throughtime.ops.scan.reference import before
from throughtime.ragged import Layout

# (a, b, h_0 or None, layout, reverse) to h and its last step.
Scan = Callable[[Tensor, Tensor, Tensor | None, Layout, bool], tuple[Tensor, Tensor]]


def scan_gradients(
    scan: Scan,
    a: Tensor,
    h0: Tensor | None,
    h: Tensor,
    dh: Tensor,
    dlast: Tensor | None,
    layout: Layout,
    *,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and h_0.

    The part of ∂L/∂h_{t−1} that comes through step t is r_t = a_t ⊙ (∂L/∂h_t + r_{t+1}): a linear recurrence
    against time, with the gradient of the last step as its initial state and that of h_0 as its last.
    """
    through, dh0 = scan(a, a * dh, dlast, layout, not reverse)
    db = dh + before(through, dlast, layout, reverse=not reverse)
    return db * before(h, h0, layout, reverse=reverse), db, dh0
