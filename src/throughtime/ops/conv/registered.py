"""The registered convolution operators, for torch.compile, export, subclasses and dispatch modes."""

from typing import Any

from torch import Tensor

from throughtime.ops._registering import register
from throughtime.ops.conv import native
from throughtime.ops.conv.gradients import (
    Functions,
    Gradients,
    of_correlate,
    of_input_gradient,
    of_weight_gradient,
)
from throughtime.ops.conv.reference import (
    correlate_reference,
    input_gradient_reference,
    weight_gradient_reference,
)
from throughtime.ops.windows import Geometry, Windows

_GEOMETRY = "Tensor offsets, Tensor out_offsets, int[] windows, int groups"
Plain = tuple[Tensor, Tensor, list[int], int]


def _flat(geometry: Geometry) -> Plain:
    return geometry.offsets, geometry.out_offsets, geometry.windows.numbers(), geometry.groups


def _geometry(offsets: Tensor, out_offsets: Tensor, windows: list[int], groups: int) -> Geometry:
    return Geometry(offsets, out_offsets, Windows.of(windows), groups)


def correlate(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, total: int, *, relu: bool = False
) -> Tensor:
    """Call the operator, see `correlate_reference`."""
    y: Tensor = _CONV1D(x, weight, bias, *_flat(geometry), total, relu)
    return y


def input_gradient(
    dy: Tensor, weight: Tensor, start: Tensor | None, geometry: Geometry, total: int
) -> Tensor:
    """Call the operator, see `input_gradient_reference`."""
    dx: Tensor = _INPUT_GRADIENT(dy, weight, start, *_flat(geometry), total)
    return dx


def _weight_gradient(x: Tensor, dy: Tensor, geometry: Geometry, bias: bool) -> tuple[Tensor, Tensor]:  # noqa: FBT001
    dw_db: tuple[Tensor, Tensor] = _WEIGHT_GRADIENT(x, dy, *_flat(geometry), bias)
    return dw_db


REGISTERED = Functions(correlate, input_gradient, _weight_gradient)


# ------------------------------------------------------------------------------------------ what they run


def _correlate_on_cpu(x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    *plain, total, relu = rest
    return native.forward(x, weight, bias, _geometry(*plain), total, relu=relu)


def _correlate_elsewhere(x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    *plain, total, relu = rest
    return correlate_reference(x, weight, bias, _geometry(*plain), total, relu=relu)


def _correlate_fake(x: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:  # noqa: ARG001
    return x.new_empty(rest[-2], weight.shape[0])


def _input_gradient_on_cpu(dy: Tensor, weight: Tensor, start: Tensor | None, *rest: Any) -> Tensor:
    *plain, total = rest
    return native.input_gradient(dy, weight, start, _geometry(*plain), total)


def _input_gradient_elsewhere(dy: Tensor, weight: Tensor, start: Tensor | None, *rest: Any) -> Tensor:
    *plain, total = rest
    # A copy: the rows of a longer tensor are not laid out as the fake's.
    return input_gradient_reference(dy, weight, start, _geometry(*plain), total).clone()


def _input_gradient_fake(dy: Tensor, weight: Tensor, start: Tensor | None, *rest: Any) -> Tensor:  # noqa: ARG001
    *_, groups, total = rest
    return dy.new_empty(total, weight.shape[1] * groups)


def _weight_gradient_on_cpu(x: Tensor, dy: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *plain, bias = rest
    return native.weight_gradient(x, dy, _geometry(*plain), bias=bias)


def _weight_gradient_elsewhere(x: Tensor, dy: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *plain, bias = rest
    return weight_gradient_reference(x, dy, _geometry(*plain), bias=bias)


def _weight_gradient_fake(x: Tensor, dy: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    _, _, windows, groups, bias = rest
    outputs = dy.shape[1]
    return x.new_empty(outputs, x.shape[1] // groups, windows[0]), x.new_empty(outputs if bias else 0)


# ---------------------------------------------------------------------------------------------- gradients


def _save_correlate(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, offsets, out_offsets, windows, groups, _, relu = inputs
    ctx.windows, ctx.groups = windows, groups
    ctx.save_for_backward(x, weight, output if relu else None, offsets, out_offsets)


def _save_input_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    dy, weight, _, offsets, out_offsets, windows, groups, _ = inputs
    ctx.windows, ctx.groups = windows, groups
    ctx.save_for_backward(dy, weight, offsets, out_offsets)


def _save_weight_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG001
    ctx.set_materialize_grads(False)
    x, dy, offsets, out_offsets, windows, groups, bias = inputs
    ctx.windows, ctx.groups, ctx.bias = windows, groups, bias
    ctx.save_for_backward(x, dy, offsets, out_offsets)


def _saved(ctx: Any) -> tuple[list[Any], Geometry]:
    *tensors, offsets, out_offsets = ctx.saved_tensors
    return tensors, _geometry(offsets, out_offsets, ctx.windows, ctx.groups)


def _correlate_gradient(ctx: Any, dy: Tensor) -> Gradients:
    (x, weight, rectified), geometry = _saved(ctx)
    input_grads = of_correlate(REGISTERED, dy, x, weight, rectified, geometry, ctx.needs_input_grad[:3])
    return (*input_grads, *[None] * 6)


def _gradient_of_input_gradient(ctx: Any, ddx: Tensor) -> Gradients:
    (dy, weight), geometry = _saved(ctx)
    input_grads = of_input_gradient(REGISTERED, ddx, dy, weight, geometry, ctx.needs_input_grad[:3])
    return (*input_grads, *[None] * 5)


def _gradient_of_weight_gradient(ctx: Any, ddw: Tensor | None, ddb: Tensor | None) -> Gradients:
    (x, dy), geometry = _saved(ctx)
    ddb = ddb if ctx.bias else None
    input_grads = of_weight_gradient(REGISTERED, ddw, ddb, x, dy, geometry, ctx.needs_input_grad[:2])
    return (*input_grads, *[None] * 5)


_CONV1D = register(
    f"conv1d(Tensor x, Tensor weight, Tensor? bias, {_GEOMETRY}, SymInt total, bool relu) -> Tensor",
    cpu=_correlate_on_cpu,
    elsewhere=_correlate_elsewhere,
    fake=_correlate_fake,
    save=_save_correlate,
    gradient=_correlate_gradient,
)
_INPUT_GRADIENT = register(
    f"conv1d_input_gradient(Tensor dy, Tensor weight, Tensor? start, {_GEOMETRY}, SymInt total) -> Tensor",
    cpu=_input_gradient_on_cpu,
    elsewhere=_input_gradient_elsewhere,
    fake=_input_gradient_fake,
    save=_save_input_gradient,
    gradient=_gradient_of_input_gradient,
)
_WEIGHT_GRADIENT = register(
    f"conv1d_weight_gradient(Tensor x, Tensor dy, {_GEOMETRY}, bool bias) -> (Tensor, Tensor)",
    cpu=_weight_gradient_on_cpu,
    elsewhere=_weight_gradient_elsewhere,
    fake=_weight_gradient_fake,
    save=_save_weight_gradient,
    gradient=_gradient_of_weight_gradient,
)
