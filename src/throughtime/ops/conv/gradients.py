"""Derivatives of the convolution and its two gradients, each of which is expressed by the other two.

So derivatives of any order run on the same three kernels. Eager autograd and the registered operators share
these rules, and pass different `Functions`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.ops.windows import Geometry

Gradients = tuple[Tensor | None, ...]


class Functions(NamedTuple):
    """The three functions, with the signatures of their references."""

    correlate: Callable[[Tensor, Tensor, Tensor | None, Geometry, int], Tensor]
    input_gradient: Callable[[Tensor, Tensor, Tensor | None, Geometry, int], Tensor]
    weight_gradient: Callable[[Tensor, Tensor, Geometry, bool], tuple[Tensor, Tensor]]


def of_correlate(
    functions: Functions,
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    rectified: Tensor | None,
    geometry: Geometry,
    needs: Sequence[bool],
) -> Gradients:
    """Return the gradients of x, weight and bias; ``rectified`` is y if it is the output of a ReLU."""
    if rectified is not None:
        dy = torch.ops.aten.threshold_backward(dy, rectified, 0)
    dx = functions.input_gradient(dy, weight, None, geometry, x.shape[0]) if needs[0] else None
    dw = db = None
    if needs[1]:
        dw, db = functions.weight_gradient(x, dy, geometry, needs[2])
    elif needs[2]:
        db = dy.sum(0)
    return dx, dw, db if needs[2] else None


def of_input_gradient(
    functions: Functions, ddx: Tensor, dy: Tensor, weight: Tensor, geometry: Geometry, needs: Sequence[bool]
) -> Gradients:
    """Return the gradients of dy, weight and start."""
    to_dy = functions.correlate(ddx, weight, None, geometry, dy.shape[0]) if needs[0] else None
    to_weight = functions.weight_gradient(ddx, dy, geometry, False)[0] if needs[1] else None  # noqa: FBT003
    return to_dy, to_weight, ddx.sum(0) if needs[2] else None


def of_weight_gradient(
    functions: Functions,
    ddw: Tensor | None,
    ddb: Tensor | None,
    x: Tensor,
    dy: Tensor,
    geometry: Geometry,
    needs: Sequence[bool],
) -> Gradients:
    """Return the gradients of x and dy; ``ddb`` may be missing."""
    if ddw is None:
        return None, None if ddb is None else ddb.expand_as(dy)
    to_x = functions.input_gradient(dy, ddw, None, geometry, x.shape[0]) if needs[0] else None
    to_dy = functions.correlate(x, ddw, ddb, geometry, dy.shape[0]) if needs[1] else None
    return to_x, to_dy
