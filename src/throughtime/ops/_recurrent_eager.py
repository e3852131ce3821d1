"""The native loop under eager autograd: the operator's gradients at less of a cost."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.ops import _recurrent_native
from throughtime.ops._memory import contiguous
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
    y, h_n, c_n = found
    nothing = x.new_empty(0)
    return y, h_n, nothing if c_n is None else c_n, nothing, nothing


def node_of_layer(
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor | None],
) -> tuple[Tensor, Tensor, Tensor | None]:
    r"""Return y, h_n and c_n for tokens (\*, I), with the rows that the steps name: y is (\*, D·P).

    The states may lack dimensions of size 1.
    """
    save, record = False, None
    found: tuple[Tensor, Tensor, Tensor | None] = _Layer.apply(  # type: ignore[no-untyped-call]
        steps, cell, save, record, x, h0, c0, *weights
    )
    return found


class _Read(NamedTuple):
    """What a layer reads: tokens of any leading dimensions, and the fields of `Weights` of each direction."""

    x: Tensor
    steps: Steps
    cell: Cell
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
        cell: Cell,
        save: bool,  # noqa: FBT001 - the protocol takes positional arguments
        record: StepGradients | None,
        x: Tensor,
        h0: Tensor | None,
        c0: Tensor | None,
        *weights: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)  # an output that nobody uses costs nothing in the backward pass
        ctx.steps, ctx.cell, ctx.record = steps, cell, record
        read = _Read(x, steps, cell, h0, c0, weights)
        found = None
        if not save and record is None:  # others get a tensor of what the cell does not have, too
            found = _recurrent_native.forward_node(*read)
        if found is None:
            found = _in_order(read)
        y, _, _, c, gates = found
        ctx.save_for_backward(x, h0, c0, *weights, y, c, gates)
        return found if save else found[:3]

    @staticmethod
    def backward(ctx: Any, *output_gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[4:]
        if all(gradient is None for gradient in output_gradients):
            return (None,) * (4 + len(needs))
        x, h0, c0, *rest = ctx.saved_tensors
        read = _Read(x, ctx.steps, ctx.cell, h0, c0, tuple(rest[:-3]))
        made = tuple(rest[-3:])
        needed = _Needed(needs[0], needs[1] or needs[2], True in needs[3:])
        found: tuple[Tensor | None, ...] | None = None
        if torch.is_grad_enabled():
            found = _differentiable(output_gradients, read, made, needed)
        elif ctx.record is None and len(output_gradients) == 3:
            given = tuple(map(contiguous, output_gradients))
            found = _recurrent_native.backward_node(given, *read, made, needed)
        if found is None:
            found = _gradients(output_gradients, read, made, needed, ctx.record)
        wanted = (gradient if wish else None for gradient, wish in zip(found, needs, strict=False))
        return (None, None, None, None, *wanted)


def _in_order(read: _Read) -> tuple[Tensor, ...]:
    """Run a layer on tensors that may lie in memory in any way."""
    x, steps, cell, h0, c0, weights = read
    rows = x.reshape(-1, x.shape[-1])
    y, *others = _recurrent_native.forward(rows, steps, cell, h0, c0, _directions(weights), save=True)
    return (y.view(*x.shape[:-1], y.shape[-1]), *others)


def _gradients(
    output_gradients: tuple[Tensor | None, ...],
    read: _Read,
    made: tuple[Tensor | None, ...],
    needed: _Needed,
    record: StepGradients | None,
) -> tuple[Tensor, ...]:
    """Run a layer backward on such tensors."""
    rows, (dy, dh_n, dc_n, dc, dgates), (y, c, gates) = _rows(read.x, output_gradients, made)
    dx, *others = _recurrent_native.backward(
        dy,
        dh_n,
        dc_n,
        dc,
        dgates,
        rows,
        read.steps,
        read.cell,
        read.h0,
        read.c0,
        _directions(read.weights),
        y,
        c,
        gates,
        need_x=needed.x,
        need_state=needed.state,
        need_weights=needed.weights,
        record=record,
    )
    return (dx.view(read.x.shape) if needed.x else dx, *others)


def _differentiable(
    output_gradients: tuple[Tensor | None, ...],
    read: _Read,
    made: tuple[Tensor | None, ...],
    needed: _Needed,
) -> tuple[Tensor, ...]:
    """Do the same for somebody who will differentiate it: the operator knows how."""
    rows, gradients, parts = _rows(read.x, output_gradients, made)
    steps = read.steps
    h0, c0 = (
        None if part is None else part.view(len(read.weights) // PARTS, steps.batch, part.shape[-1])
        for part in (read.h0, read.c0)
    )
    dx, dh0, dc0, *others = torch.ops.throughtime.recurrent_layer_backward(
        *gradients,
        rows,
        steps.index,
        steps.order,
        steps.batch,
        steps.length,
        read.cell,
        h0,
        c0,
        *read.weights,
        *[None] * (2 * PARTS - len(read.weights)),
        *parts,
        *needed,
    )
    if needed.state:
        dh0 = dh0 if read.h0 is None else dh0.view(read.h0.shape)
        dc0 = dc0 if read.c0 is None else dc0.view(read.c0.shape)
    return (dx.view(read.x.shape) if needed.x else dx, dh0, dc0, *others)


def _rows(
    x: Tensor, output_gradients: tuple[Tensor | None, ...], made: tuple[Tensor | None, ...]
) -> tuple[Tensor, tuple[Tensor | None, ...], tuple[Tensor, ...]]:
    """Return x, all five gradients, and what was made, with one dimension of tokens; empty if it was not."""
    dy, *others = (*output_gradients, None, None)[:5]
    y, c, gates = (x.new_empty(0) if part is None else part for part in made)
    return (
        x.reshape(-1, x.shape[-1]),
        (None if dy is None else dy.reshape(-1, dy.shape[-1]), *others),
        (y.reshape(-1, y.shape[-1]), c, gates),
    )


def _directions(weights: Any) -> tuple[Weights, ...]:
    return tuple(Weights(*weights[d : d + PARTS]) for d in range(0, len(weights), PARTS))
