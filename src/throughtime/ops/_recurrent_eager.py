"""The native loop under eager autograd: the operator's gradients at less of a cost."""

from typing import Any

import torch
from torch import Tensor

from throughtime.ops import _recurrent_native
from throughtime.ops.cell import Cell
from throughtime.ops.record import StepGradients
from throughtime.ops.steps import PARTS, Results, Steps, Weights


def differentiable_layer(
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
    *,
    save: bool,
    record: StepGradients | None = None,
) -> Results:
    """Run a layer natively, see `recurrent_layer_reference`; c and gates are empty unless ``save``."""
    weights = [part for weights in directions for part in weights]
    found = _Layer.apply(steps, cell, save, record, x, h0, c0, *weights)  # type: ignore[no-untyped-call]
    if save:
        results: Results = found
        return results
    nothing = x.new_empty(0)
    return (*found, nothing, nothing)


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        steps: Steps,
        cell: Cell,
        save: bool,  # noqa: FBT001 - the protocol takes positional arguments
        record: StepGradients | None,
        x: Tensor,
        h0: Tensor | None,
        c0: Tensor | None,
        *weights: Tensor | None,
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # an output that nobody uses costs nothing in the backward pass
        results = _recurrent_native.forward(x, steps, cell, h0, c0, _directions(weights), save=True)
        ctx.steps, ctx.cell, ctx.record = steps, cell, record
        ctx.save_for_backward(x, h0, c0, *weights, results[0], results[3], results[4])
        return results if save else results[:3]

    @staticmethod
    def backward(ctx: Any, *output_gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[4:]
        if all(gradient is None for gradient in output_gradients):
            return (None,) * (4 + len(needs))
        dy, dh_n, dc_n, dc, dgates = (*output_gradients, None, None)[:5]
        x, h0, c0, *rest = ctx.saved_tensors
        weights, made = rest[:-3], rest[-3:]
        need = needs[0], any(needs[1:3]), any(needs[3:])
        if torch.is_grad_enabled():
            # Somebody will differentiate this, too: the operator knows how.
            missing = [None] * (2 * PARTS - len(weights))
            steps = ctx.steps
            found = torch.ops.throughtime.recurrent_layer_backward(
                dy,
                dh_n,
                dc_n,
                dc,
                dgates,
                x,
                steps.index,
                steps.order,
                steps.batch,
                steps.length,
                ctx.cell,
                h0,
                c0,
                *weights,
                *missing,
                *made,
                *need,
            )
        else:
            found = _recurrent_native.backward(
                dy,
                dh_n,
                dc_n,
                dc,
                dgates,
                x,
                ctx.steps,
                ctx.cell,
                h0,
                c0,
                _directions(weights),
                *made,
                need_x=need[0],
                need_state=need[1],
                need_weights=need[2],
                record=ctx.record,
            )
        wanted = (gradient if wish else None for gradient, wish in zip(found, needs, strict=False))
        return (None, None, None, None, *wanted)


def _directions(weights: Any) -> tuple[Weights, ...]:
    return tuple(Weights(*weights[d : d + PARTS]) for d in range(0, len(weights), PARTS))
