"""The operator ``throughtime::recurrent_layer``, for torch.compile, export, subclasses and dispatch modes."""

from typing import Any

import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.ops.recurrent import native
from throughtime.ops.recurrent.bounds import no_second_derivative
from throughtime.ops.recurrent.gradients import input_gradients, vjp_of_gradients
from throughtime.ops.recurrent.reference import recurrent_layer_reference
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import PARTS, Results, Weights, directions_of, flat


def registered_layer(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
) -> Results:
    """Run a layer as torch's operator; see `recurrent_layer_reference` for arguments and results."""
    second = directions[1] if len(directions) == 2 else (None,) * PARTS
    results: Results = torch.ops.throughtime.recurrent_layer(
        x,
        steps.index,
        steps.reset,
        steps.order,
        steps.batch,
        steps.length,
        spec.name,
        h0,
        c0,
        *directions[0],
        *second,
    )
    return results


_WEIGHTS = [name + suffix for suffix in ("", "_reverse") for name in Weights._fields]
_GIVEN = 9 + len(_WEIGHTS)  # inputs of the layer's operator
_FLAT = 3 + len(_WEIGHTS)  # those with a gradient
_INPUTS = (
    "Tensor x, Tensor? index, Tensor? reset, int order, SymInt batch, SymInt length, str cell, "
    "Tensor? h0, Tensor? c0, Tensor ih, Tensor hh" + "".join(f", Tensor? {name}" for name in _WEIGHTS[2:])
)
_OUTPUTS = "Tensor y, Tensor h_n, Tensor c_n, Tensor c, Tensor gates"
_OUTPUT_GRADIENTS = "Tensor? dy, Tensor? dh_n, Tensor? dc_n, Tensor? dc, Tensor? dgates"
_INPUT_GRADIENTS = ", ".join(f"Tensor d{name}" for name in ("x", "h0", "c0", *_WEIGHTS))
_COTANGENTS = ", ".join(f"Tensor? v{name}" for name in ("x", "h0", "c0", *_WEIGHTS))

_SECOND = ", ".join(["Tensor"] * (5 + _FLAT))

_LIBRARY = torch.library.Library("throughtime", "FRAGMENT")
_LIBRARY.define(f"recurrent_layer({_INPUTS}) -> ({_OUTPUTS})")
_LIBRARY.define(
    f"recurrent_layer_backward({_OUTPUT_GRADIENTS}, {_INPUTS}, Tensor y, Tensor c, Tensor gates, "
    f"bool need_x, bool need_state, bool need_weights) -> ({_INPUT_GRADIENTS})"
)
_LIBRARY.define(
    f"recurrent_layer_double_backward({_COTANGENTS}, {_OUTPUT_GRADIENTS}, {_INPUTS}) -> ({_SECOND})"
)


def _unflattened(
    x: Tensor,
    index: Tensor | None,
    reset: Tensor | None,
    order: int,
    batch: int,
    length: int,
    cell: str,
    h0: Tensor | None,
    c0: Tensor | None,
    *weights: Tensor | None,
) -> tuple[Tensor, Steps, CellSpec, Tensor | None, Tensor | None, tuple[Weights, ...]]:
    """Put an operator's flat arguments back into the form that functions take."""
    return x, Steps(order, batch, length, index, reset), CellSpec.parse(cell), h0, c0, directions_of(weights)


def _differentiable(inputs: tuple[Any, ...]) -> list[Tensor | None]:
    """Return x, h0, c0 and the weights out of an operator's inputs."""
    return [inputs[0], *inputs[7:]]


def _forward_on_cpu(*inputs: Any) -> Results:
    x, steps, spec, h0, c0, directions = _unflattened(*inputs)
    if steps.index is None and steps.batch * steps.length != len(x):
        raise ShapeError(
            f"recurrent_layer: {steps.batch} sequences of {steps.length} steps have "
            f"{steps.batch * steps.length} tokens, got {len(x)}"
        )
    if not spec.is_native:
        return _forward_elsewhere(*inputs)
    return native.forward(x, steps, spec, h0, c0, directions, save=True)


def _forward_elsewhere(*inputs: Any) -> Results:
    with torch.no_grad(), torch.autocast(inputs[0].device.type, enabled=False):
        return recurrent_layer_reference(*_unflattened(*inputs))


def _forward_fake(*inputs: Any) -> Results:
    x, steps, spec, _, _, directions = _unflattened(*inputs)
    tokens, count, size = x.shape[0], len(directions), directions[0].hh.shape[1]
    hidden = directions[0].hh.shape[0] // spec.gates
    return (
        x.new_empty(tokens, count * size),
        x.new_empty(count, steps.batch, size),
        x.new_empty((count, steps.batch, hidden) if spec.has_c else 0),
        x.new_empty((count, tokens, hidden) if spec.has_c else 0),
        x.new_empty(count, tokens, spec.saved, hidden),
    )


def _needed(need_x: bool, need_state: bool, need_weights: bool) -> list[bool]:  # noqa: FBT001
    return [need_x, need_state, need_state, *[need_weights] * len(_WEIGHTS)]


def _backward_on_cpu(*arguments: Any) -> tuple[Tensor, ...]:
    x, steps, spec, h0, c0, directions = _unflattened(*arguments[5 : 5 + _GIVEN])
    if not spec.is_native:
        return _backward_elsewhere(*arguments)
    gradients, made, needed = arguments[:5], arguments[5 + _GIVEN : -3], arguments[-3:]
    weights = flat(directions)
    computed = native.layer_backward(gradients, x, steps, spec, h0, c0, weights, made, needed)
    missing = [None] * (_FLAT - len(computed))
    return tuple(x.new_empty(0) if part is None else part for part in (*computed, *missing))


def _backward_elsewhere(*arguments: Any) -> tuple[Tensor, ...]:
    inputs = arguments[5 : 5 + _GIVEN]
    x, steps, spec, *_ = _unflattened(*inputs)
    computed = input_gradients(
        arguments[:5], _differentiable(inputs), steps, spec, _needed(*arguments[8 + _GIVEN :])
    )
    return tuple(x.new_zeros(0) if gradient is None else gradient for gradient in computed)


def _backward_fake(*arguments: Any) -> tuple[Tensor, ...]:
    inputs = _differentiable(arguments[5 : 5 + _GIVEN])
    return tuple(
        arguments[5].new_empty(part.shape if need and part is not None else 0)
        for part, need in zip(inputs, _needed(*arguments[8 + _GIVEN :]), strict=True)
    )


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
    ctx.set_materialize_grads(False)  # an output that nobody uses costs nothing in the backward pass
    x, index, reset, order, batch, length, cell, h0, c0 = inputs[:9]
    ctx.plain = (order, batch, length, cell)
    y, _, _, c, gates = output
    ctx.save_for_backward(x, index, reset, h0, c0, *inputs[9:], y, c, gates)


def _first_gradient(ctx: Any, *output_gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad
    inputs = (*needs[:1], *needs[7:])
    if all(gradient is None for gradient in output_gradients):
        return (None,) * _GIVEN
    x, index, reset, h0, c0, *rest = ctx.saved_tensors
    computed = torch.ops.throughtime.recurrent_layer_backward(
        *output_gradients,
        x,
        index,
        reset,
        *ctx.plain,
        h0,
        c0,
        *rest,
        needs[0],
        any(needs[7:9]),
        any(needs[9:]),
    )
    dx, *others = (gradient if need else None for gradient, need in zip(computed, inputs, strict=True))
    return (dx, *[None] * 6, *others)


def _keep_for_double_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ARG001
    ctx.set_materialize_grads(False)
    ctx.plain = inputs[8:12]
    ctx.save_for_backward(*inputs[:5], *inputs[6:8], *_differentiable(inputs[5 : 5 + _GIVEN]))


def _second_gradient(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    output_gradients, inputs = ctx.saved_tensors[:5], ctx.saved_tensors[7:]
    index, reset = ctx.saved_tensors[5:7]
    order, batch, length, cell = ctx.plain
    spec = CellSpec.parse(cell)
    if spec.bounds_gradients:
        raise no_second_derivative()
    if torch.is_grad_enabled():
        steps = Steps(order, batch, length, index, reset)
        computed = vjp_of_gradients(cotangents, output_gradients, inputs, steps, spec)
    else:
        # The same as one operator: a tracer could not follow the loop, whose length is in a tensor.
        x, *others = inputs
        computed = torch.ops.throughtime.recurrent_layer_double_backward(
            *cotangents, *output_gradients, x, index, reset, order, batch, length, cell, *others
        )
        sources = (*output_gradients, *inputs)
        computed = tuple(
            None if part is None else gradient for part, gradient in zip(sources, computed, strict=True)
        )
    # y, c and gates are functions of the inputs, whose derivative holds their part.
    return (*computed[:6], *[None] * 6, *computed[6:], *[None] * 6)


def _double_backward(*arguments: Any) -> tuple[Tensor, ...]:
    cotangents, output_gradients, inputs = (
        arguments[:_FLAT],
        arguments[_FLAT : _FLAT + 5],
        arguments[_FLAT + 5 :],
    )
    x, steps, spec, *_ = _unflattened(*inputs)
    sources = (*output_gradients, *_differentiable(inputs))
    with torch.no_grad():
        computed = vjp_of_gradients(cotangents, output_gradients, sources[5:], steps, spec)
    return tuple(
        gradient if gradient is not None else x.new_zeros(0 if part is None else part.shape)
        for part, gradient in zip(sources, computed, strict=True)
    )


def _double_backward_fake(*arguments: Any) -> tuple[Tensor, ...]:
    sources = (*arguments[_FLAT : _FLAT + 5], *_differentiable(arguments[_FLAT + 5 :]))
    return tuple(arguments[_FLAT + 5].new_empty(0 if part is None else part.shape) for part in sources)


torch.library.register_fake("throughtime::recurrent_layer", _forward_fake, lib=_LIBRARY)
torch.library.register_fake("throughtime::recurrent_layer_backward", _backward_fake, lib=_LIBRARY)
torch.library.register_fake(
    "throughtime::recurrent_layer_double_backward", _double_backward_fake, lib=_LIBRARY
)
_LIBRARY.impl("recurrent_layer", _forward_on_cpu, "CPU")
_LIBRARY.impl("recurrent_layer", _forward_elsewhere, "CompositeExplicitAutograd")
_LIBRARY.impl("recurrent_layer_backward", _backward_on_cpu, "CPU")
_LIBRARY.impl("recurrent_layer_backward", _backward_elsewhere, "CompositeExplicitAutograd")
_LIBRARY.impl("recurrent_layer_double_backward", _double_backward, "CompositeExplicitAutograd")
torch.library.register_autograd(
    "throughtime::recurrent_layer", _first_gradient, setup_context=_keep_for_backward, lib=_LIBRARY
)
torch.library.register_autograd(
    "throughtime::recurrent_layer_backward",
    _second_gradient,
    setup_context=_keep_for_double_backward,
    lib=_LIBRARY,
)
