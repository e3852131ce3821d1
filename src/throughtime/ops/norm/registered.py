"""Normalization of sequences as an operator of torch, for torch.compile, export, subclasses and modes.

Batch normalization needs none: graphs hold torch's own, or its parts where torch would fix the batch's size.
"""

from typing import Any

import torch
from torch import Tensor

from throughtime.ops._registering import register
from throughtime.ops.norm import native
from throughtime.ops.norm.gradients import Gradients, input_gradients, vjp_of_gradients
from throughtime.ops.norm.native import Norm
from throughtime.ops.norm.reference import normalize_sequences_reference, sequence_statistics_reference
from throughtime.ops.plain import FULL
from throughtime.ragged import Layout

Rows = tuple[Tensor, Tensor, Tensor]


def takes(values: Tensor, *rows: Tensor | None) -> bool:
    """Tell whether the operator may have these values and parameters."""
    return values.dim() == 2 and all(row is None or row.dtype == values.dtype for row in rows)


def normalize_sequences(
    values: Tensor, layout: Layout, groups: int, eps: float, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    """Call the operator, see `throughtime.ops.norm.layer.normalize_sequences`."""
    y: Tensor
    y, _, _ = _NORMALIZE(values, layout.offsets, weight, bias, groups, eps)
    return y


def _composition(offsets: Tensor, groups: int, eps: float) -> Any:
    def normalized(values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        layout = Layout(offsets, total=values.shape[0])
        return normalize_sequences_reference(values, layout, groups, eps, weight, bias)

    return normalized


def _normalize_elsewhere(
    x: Tensor, offsets: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float
) -> Rows:
    layout = Layout(offsets, total=x.shape[0])
    mean, scale = sequence_statistics_reference(x, layout, groups, eps)
    return normalize_sequences_reference(x, layout, groups, eps, weight, bias).contiguous(), mean, scale


def _normalize_on_cpu(
    x: Tensor, offsets: Tensor, weight: Tensor | None, bias: Tensor | None, groups: int, eps: float
) -> Rows:
    if x.dtype not in FULL:
        return _normalize_elsewhere(x, offsets, weight, bias, groups, eps)
    return native.saved_forward(x, weight, bias, Norm(offsets, groups, eps))


def _normalize_fake(
    x: Tensor,
    offsets: Tensor,
    weight: Tensor | None,  # noqa: ARG001
    bias: Tensor | None,  # noqa: ARG001
    groups: int,
    eps: float,  # noqa: ARG001
) -> Rows:
    statistics = x.new_empty(offsets.shape[0] - 1, groups)
    return x.new_empty(x.shape), statistics, torch.empty_like(statistics)


def _gradient_elsewhere(dy: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    x, offsets, weight, bias, _, _, groups, eps, needs = rest
    computed = input_gradients(_composition(offsets, groups, eps), dy, (x, weight, bias), needs)
    return _filled(x, computed)


def _gradient_on_cpu(dy: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    x, offsets, weight, bias, mean, scale, groups, eps, needs = rest
    if x.dtype not in FULL:
        return _gradient_elsewhere(dy, *rest)
    norm = Norm(offsets, groups, eps)
    return _filled(x, native.backward(dy, x, weight, bias, (mean, scale), norm, tuple(needs)))


def _filled(x: Tensor, gradients: Gradients) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(0) if part is None else part.contiguous() for part in gradients)


def _gradient_fake(dy: Tensor, *rest: Any) -> tuple[Tensor, ...]:  # noqa: ARG001
    x, _, weight, bias, *_, needs = rest
    return tuple(
        x.new_empty(part.shape if need and part is not None else 0)
        for part, need in zip((x, weight, bias), needs, strict=True)
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: Rows) -> None:
    x, offsets, weight, bias, ctx.groups, ctx.eps = inputs
    _, mean, scale = output
    ctx.mark_non_differentiable(mean, scale)
    ctx.save_for_backward(x, offsets, weight, bias, mean, scale)


def _first_gradient(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Any, ...]:
    needed = ctx.needs_input_grad
    needs = [needed[0], needed[2], needed[3]]
    computed = _GRADIENT(dy, *ctx.saved_tensors, ctx.groups, ctx.eps, needs)
    dx, dweight, dbias = (part if need else None for part, need in zip(computed, needs, strict=True))
    return dx, None, dweight, dbias, None, None


def _save_gradient(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    ctx.set_materialize_grads(False)
    dy, x, offsets, weight, bias, _, _, ctx.groups, ctx.eps, ctx.needs = inputs
    ctx.save_for_backward(dy, x, offsets, weight, bias)


def _second_gradient(ctx: Any, *cotangents: Tensor | None) -> tuple[Any, ...]:
    dy, x, offsets, weight, bias = ctx.saved_tensors
    composition = _composition(offsets, ctx.groups, ctx.eps)
    ddy, dx, dweight, dbias = vjp_of_gradients(composition, cotangents, dy, (x, weight, bias), ctx.needs)
    # Mean and scale are functions of x, whose derivative holds their part.
    return ddy, dx, None, dweight, dbias, *[None] * 5


_NORMALIZE = register(
    "normalize_sequences(Tensor values, Tensor offsets, Tensor? weight, Tensor? bias, int groups, float eps) "
    "-> (Tensor, Tensor, Tensor)",
    cpu=_normalize_on_cpu,
    elsewhere=_normalize_elsewhere,
    fake=_normalize_fake,
    save=_save,
    gradient=_first_gradient,
)
_GRADIENT = register(
    "normalize_sequences_gradient(Tensor dy, Tensor values, Tensor offsets, Tensor? weight, Tensor? bias, "
    "Tensor mean, Tensor scale, int groups, float eps, bool[] needs) -> (Tensor, Tensor, Tensor)",
    cpu=_gradient_on_cpu,
    elsewhere=_gradient_elsewhere,
    fake=_gradient_fake,
    save=_save_gradient,
    gradient=_second_gradient,
)
