"""The native loop under eager autograd: the operator's gradients at less of a cost."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.ops.plain import is_batched
from throughtime.ops.recurrent.native import filled, layer_backward, layer_forward
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import PARTS, Results, Weights, flat


def differentiable_layer(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
    *,
    save: bool,
    record: StepGradients | None = None,
) -> Results:
    """Run a layer natively, see `recurrent_layer_reference`; c and gates are empty unless ``save``."""
    outputs = _Layer.apply(steps, spec, save, record, x, h0, c0, *flat(directions))  # type: ignore[no-untyped-call]
    if save:
        results: Results = outputs
        return results
    y, h_n, c_n = outputs
    nothing = x.new_empty(0)
    return y, h_n, nothing if c_n is None else c_n, nothing, nothing


def node_of_layer(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: tuple[Tensor | None, ...],
) -> tuple[Tensor, Tensor, Tensor | None]:
    r"""Return y, h_n and c_n for tokens (\*, I), with the rows that the steps name: y is (\*, D·P).

    The states may lack dimensions of size 1.
    """
    save, record = False, None
    outputs: tuple[Tensor, Tensor, Tensor | None] = _Layer.apply(  # type: ignore[no-untyped-call]
        steps, spec, save, record, x, h0, c0, *weights
    )
    return outputs


class _Read(NamedTuple):
    """What a layer reads: tokens of any leading dimensions, and the fields of `Weights` of each direction."""

    x: Tensor
    steps: Steps
    spec: CellSpec
    h0: Tensor | None
    c0: Tensor | None
    weights: tuple[Tensor | None, ...]


class _Needed(NamedTuple):
    """Whose gradients are wanted."""

    x: bool
    state: bool
    weights: bool


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        steps: Steps,
        spec: CellSpec,
        save: bool,  # noqa: FBT001 - the protocol takes positional arguments
        record: StepGradients | None,
        x: Tensor,
        h0: Tensor | None,
        c0: Tensor | None,
        *weights: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)  # an output that nobody uses costs nothing in the backward pass
        ctx.steps, ctx.spec, ctx.record = steps, spec, record
        results = layer_forward(x, steps, spec, h0, c0, weights, save=True)
        y, h_n, c_n, c, gates = filled(results) if save or record is not None else results
        ctx.save_for_backward(x, h0, c0, *weights, y, c, gates)
        return (y, h_n, c_n, c, gates) if save else (y, h_n, c_n)

    @staticmethod
    def backward(ctx: Any, *output_gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[4:]
        present = [gradient for gradient in output_gradients if gradient is not None]
        if not present:
            return (None,) * (4 + len(needs))
        x, h0, c0, *saved = ctx.saved_tensors
        read = _Read(x, ctx.steps, ctx.spec, h0, c0, tuple(saved[:-3]))
        outputs = tuple(saved[-3:])
        needed = _Needed(needs[0], needs[1] or needs[2], True in needs[3:])
        gradients = (*output_gradients, None, None)[:5]
        if torch.is_grad_enabled() or is_batched(*present):
            input_gradients = _by_operator(gradients, read, outputs, needed)
        else:
            input_gradients = layer_backward(gradients, *read, outputs, needed, ctx.record)
        needed_gradients = [
            gradient if need else None for gradient, need in zip(input_gradients, needs, strict=False)
        ]
        return (None, None, None, None, *needed_gradients)


def _by_operator(
    gradients: tuple[Tensor | None, ...],
    read: _Read,
    made: tuple[Tensor | None, ...],
    needed: _Needed,
) -> tuple[Tensor | None, ...]:
    """Compute gradients by the registered operator, which supports double backward and vmap."""
    x, steps, spec, h0, c0, weights = read
    directions = len(weights) // PARTS
    h_start, c_start = (
        None if part is None else part.view(directions, steps.batch, part.shape[-1]) for part in (h0, c0)
    )
    dy, *others = gradients
    y, c, gates = (x.new_empty(0) if part is None else part for part in made)
    dx, dh0, dc0, *of_weights = torch.ops.throughtime.recurrent_layer_backward(
        None if dy is None else _rows(dy),
        *others,
        _rows(x),
        steps.index,
        steps.reset,
        steps.order,
        steps.batch,
        steps.length,
        spec.name,
        h_start,
        c_start,
        *weights,
        *[None] * (2 * PARTS - len(weights)),
        _rows(y),
        c,
        gates,
        *needed,
    )
    states = zip((h0, c0), (dh0, dc0), strict=True)
    return (
        dx.view(x.shape) if needed.x else None,
        *(
            gradient.view(part.shape) if needed.state and part is not None else None
            for part, gradient in states
        ),
        *of_weights,
    )


def _rows(tokens: Tensor) -> Tensor:
    return tokens.reshape(-1, tokens.shape[-1])
