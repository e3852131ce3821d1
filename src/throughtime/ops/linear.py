"""The linear map of tokens, each row's bits its own: y = x Wᵀ + b.

Torch's matrix product may sum a row in another order when other rows come with it, or with another number of
threads. The product that convolution and recurrent layers share sums each result in one order.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime import _native
from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops._batch import called, one_segment
from throughtime.ops.conv.autograd import correlate_gradients
from throughtime.ops.conv.gradients import Gradients
from throughtime.ops.plain import FULL, differentiable, is_batched, on_plain_cpu, unobserved, watched
from throughtime.ops.windows import Geometry, Windows

# Dimensions that native code reads.
_MOST_DIMENSIONS = 4


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Return x Wᵀ + b, in which a row's bits depend on no other row and on no number of threads.

    So in float32 and float64 on a CPU. Half precision, autocast, other devices, function transforms and
    torch.compile run `torch.nn.functional.linear`, which promises no such thing.

    Parameters
    ----------
    x : Tensor
        (\*, D).
    weight : Tensor
        (O, D).
    bias : Tensor, optional
        (O,).

    Returns
    -------
    Tensor
        (\*, O).

    Raises
    ------
    ShapeError, InputTypeError
        If sizes or dtypes do not fit; where torch's product runs, the errors are torch's.

    Examples
    --------
    >>> import torch
    >>> x, weight = torch.randn(100, 30), torch.randn(7, 30)
    >>> torch.equal(linear(x, weight)[3:4], linear(x[3:4], weight))
    True
    """
    if unobserved() and not is_batched(x) and not differentiable(x, weight, bias):
        y = _native.linear_forward(x, weight, bias, threads=torch.get_num_threads(), in_order=False)
        if y is not None:
            return y
    if not _is_native(x, weight, bias):
        return F.linear(x, weight, bias)
    _check(x, weight, bias)
    if x.dim() > _MOST_DIMENSIONS:
        return linear(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], weight.shape[0])
    if not differentiable(x, weight, bias):
        return _forward(x, weight, bias)
    y = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return cast("Tensor", y)


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y: Tensor = called(_native.linear_forward, (x, weight, bias))
    return y


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        (dy,) = gradients
        x, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad
        # With gradients enabled somebody will differentiate the result, too.
        if torch.is_grad_enabled() or not on_plain_cpu(dy):
            return _as_convolution(dy, x, weight, needs)
        dx = dweight = dbias = None
        if needs[0]:
            dx = called(_native.linear_input_gradient, (dy, weight))
        if needs[1]:
            dweight, dbias = called(_native.linear_weight_gradient, (x, dy), bias=needs[2])
        elif needs[2]:
            dbias = dy.flatten(0, -2).sum(0) if dy.dim() > 1 else dy
        return dx, dweight, dbias


def _as_convolution(dy: Tensor, x: Tensor, weight: Tensor, needs: Sequence[bool]) -> Gradients:
    """Return gradients that can be differentiated in turn, by windows of one token."""
    rows = x.reshape(-1, x.shape[-1])
    dx, dweight, dbias = correlate_gradients(
        dy.reshape(-1, weight.shape[0]), rows, weight.unsqueeze(-1), _rows(len(rows)), needs
    )
    return (
        None if dx is None else dx.view(x.shape),
        None if dweight is None else dweight.squeeze(-1),
        dbias,
    )


def _is_native(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    return (
        x.dtype in FULL
        and on_plain_cpu(x)
        and x.dim() > 0
        and 0 not in weight.shape
        and not watched(weight, bias)
        and not torch.is_autocast_enabled("cpu")
    )


def _check(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if weight.dim() != 2 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"a linear map by a weight of shape {tuple(weight.shape)} takes (*, {weight.shape[-1]}), got "
            f"{tuple(x.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"the bias of a linear map to {weight.shape[0]} features has shape ({weight.shape[0]},), got "
            f"{tuple(bias.shape)}"
        )
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and (tensor.dtype != x.dtype or tensor.device != x.device):
            raise InputTypeError(
                f"the input is {x.dtype} on {x.device}, the {name} {tensor.dtype} on {tensor.device}; "
                "convert one of them with .to(...)"
            )


@lru_cache(maxsize=64)
def _rows(count: int) -> Geometry:
    """Return the geometry of a convolution whose windows are single tokens."""
    segment = one_segment(count)
    return Geometry(segment, segment, Windows(1))
