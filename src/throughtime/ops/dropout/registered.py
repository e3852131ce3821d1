"""Dropout as an operator of torch, for torch.compile, export, subclasses and dispatch modes.

The seed is a tensor, so that each call of a compiled or exported program draws another.
"""

from typing import Any

from torch import Tensor

from throughtime.ops._registering import register
from throughtime.ops.dropout import native
from throughtime.ops.dropout.reference import dropout_reference
from throughtime.ops.plain import FULL


def masked(x: Tensor, seed: Tensor, p: float) -> Tensor:
    """Call the operator, see `dropout_reference`."""
    y: Tensor = _DROPOUT(x, seed, p)
    return y


def _on_cpu(x: Tensor, seed: Tensor, p: float) -> Tensor:
    return native.masked(x, int(seed), p) if x.dtype in FULL else _elsewhere(x, seed, p)


def _elsewhere(x: Tensor, seed: Tensor, p: float) -> Tensor:
    return dropout_reference(x, seed, p).contiguous()


def _fake(x: Tensor, seed: Tensor, p: float) -> Tensor:  # noqa: ARG001
    return x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    _, seed, ctx.p = inputs
    ctx.save_for_backward(seed)


def _gradient(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    (seed,) = ctx.saved_tensors
    return masked(dy, seed, ctx.p), None, None


_DROPOUT = register(
    "dropout(Tensor values, Tensor seed, float p) -> Tensor",
    cpu=_on_cpu,
    elsewhere=_elsewhere,
    fake=_fake,
    save=_save,
    gradient=_gradient,
)
