"""The seam to the native loop: tensors in, tensors out, addresses between.

Everything that crosses is contiguous, on the CPU, and float32 or float64; the caller has checked shapes.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import checked_offsets
from throughtime.ops._memory import address, contiguous, in_order, uninitialised
from throughtime.ops.cell import ACTIVATIONS, Cell, spec_of, spell
from throughtime.ops.record import SUMMARY_NORMS, StepGradients
from throughtime.ops.steps import PARTS, RAGGED, Results, Steps, Weights

RecurrentStack = _native.RecurrentStack
"""All layers of a module, without gradients, on the caller's own arguments."""

_PLAIN = {"LSTM": 0, "GRU": 1, "RNN_TANH": 2, "RNN_RELU": 3}
_NUMBERS = {name: number for number, name in enumerate(ACTIVATIONS)}


def forward(
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
    *,
    save: bool,
) -> Results:
    """Run one layer; see `recurrent_layer_reference` for shapes.

    With ``save`` false, c and gates come back empty: nothing is kept for a backward pass.
    """
    x, h0, c0 = in_order(x), contiguous(h0), contiguous(c0)
    steps = _checked(steps, x.shape[0])
    hidden, state = _sizes(directions[0])
    tokens, count, gated = x.shape[0], len(directions), spec_of(cell).kind == "LSTM"
    y = uninitialised(x, tokens, count * state)
    h_n = x.new_empty(count, steps.batch, state)
    c_n = x.new_empty((count, steps.batch, hidden) if gated else 0)
    if save:
        c = uninitialised(x, count, tokens, hidden) if gated else x.new_empty(0)
        gates = uninitialised(x, count, tokens, spec_of(cell).saved, hidden)
    else:
        c = gates = c_n.new_empty(0)
    states = (h0, c0, h_n, c_n, c, gates)
    directions = tuple(map(_all_contiguous, directions))
    _native.recurrent_forward(
        _shape(cell, x, hidden, state),
        _tokens(steps),
        torch.get_num_threads(),
        x.data_ptr(),
        y.data_ptr(),
        tuple(
            (*_addresses(weights[:-1]), *_parts(states, d), address(weights.context))
            for d, weights in enumerate(directions)
        ),
    )
    return y, h_n, c_n, c, gates


def forward_node(
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: tuple[Tensor | None, ...],
) -> tuple[Tensor | None, ...] | None:
    r"""Run one layer on tensors as they are, and keep what `backward_node` reads.

    ``x`` is (\*, I), with the rows that the steps name; ``weights`` are the fields of `Weights`, of both
    directions if there are two.

    Returns
    -------
    tuple
        y (\*, D·P), h_n, c_n, c and gates; None for what the cell does not have. None where a tensor is not
        a plain contiguous one: `forward` brings it into order.
    """
    return _native.recurrent_layer_forward(_kept(cell), steps, torch.get_num_threads(), x, h0, c0, weights)


def backward_node(
    gradients: tuple[Tensor | None, ...],
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: tuple[Tensor | None, ...],
    made: tuple[Tensor | None, ...],
    needed: tuple[bool, bool, bool],
) -> tuple[Tensor | None, ...] | None:
    """Return the gradients of x, h0, c0 and the weights, given those of y, h_n and c_n.

    ``made`` are y, c and gates; ``needed`` tells of x, of states and of weights whether theirs are wanted.
    None where a tensor is not a plain contiguous one.
    """
    threads = torch.get_num_threads()
    return _native.recurrent_layer_backward(
        _kept(cell), steps, threads, x, h0, c0, weights, made, gradients, needed
    )


def backward(
    dy: Tensor | None,
    dh_n: Tensor | None,
    dc_n: Tensor | None,
    dc: Tensor | None,
    dgates: Tensor | None,
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
    y: Tensor,
    c: Tensor,
    gates: Tensor,
    *,
    need_x: bool,
    need_state: bool,
    need_weights: bool,
    record: StepGradients | None = None,
) -> tuple[Tensor, ...]:
    """Return the gradients of x, h0, c0, and of the `Weights` of each of two directions.

    An empty tensor stands for what is not needed or does not exist. A ``record`` is filled with the gradients
    of every step.
    """
    x = in_order(x)
    steps = _checked(steps, x.shape[0])
    hidden, state = _sizes(directions[0])
    h0, c0 = contiguous(h0), contiguous(c0)
    dy, dh_n, dc_n, dc, dgates = map(contiguous, (dy, dh_n, dc_n, dc, dgates))
    directions = tuple(map(_all_contiguous, directions))
    nothing = x.new_empty(0)
    dx = uninitialised(x, *x.shape) if need_x else nothing
    dh0 = torch.empty_like(h0) if need_state and h0 is not None else nothing
    dc0 = torch.empty_like(c0) if need_state and c0 is not None else nothing
    gradients = [
        [torch.empty_like(part) if need_weights and part is not None else nothing for part in weights]
        for weights in directions
    ]
    if record is not None:
        record.fill(_recorded(x, len(directions), state, hidden, cell, whole=record.whole), y, c, gates)
    steps_of = (None,) * 5 if record is None else record.parts
    states = (h0, c0, c, gates, dh_n, dc_n, dc, dgates, dh0, dc0)
    _native.recurrent_backward(
        _shape(cell, x, hidden, state),
        _tokens(steps),
        torch.get_num_threads(),
        x.data_ptr(),
        y.data_ptr(),
        address(dy),
        address(dx),
        tuple(
            (
                *_addresses(weights[:-1]),
                *_parts(states, d),
                *_addresses(gradients[d][:-2]),
                *_parts(steps_of, d),
                *_addresses(gradients[d][-2:]),
            )
            for d, weights in enumerate(directions)
        ),
    )
    missing = [nothing] * (PARTS * (2 - len(directions)))
    return (dx, dh0, dc0, *(part for parts in gradients for part in parts), *missing)


def _recorded(
    x: Tensor, directions: int, state: int, hidden: int, cell: Cell, *, whole: bool
) -> tuple[Tensor | None, ...]:
    """Return memory for what a record keeps of every step; the loop writes all of it."""
    spec, tokens = spec_of(cell), x.shape[0]
    return (
        uninitialised(x, directions, tokens, state) if whole else None,
        uninitialised(x, directions, tokens, hidden) if whole and spec.kind == "LSTM" else None,
        uninitialised(x, directions, tokens, spec.pre_activations, hidden) if whole else None,
        uninitialised(x, directions, tokens) if spec.bounds_gradients else None,
        uninitialised(x, directions, tokens, SUMMARY_NORMS + 2 * spec.saved),
    )


def _checked(steps: Steps, total: int) -> Steps:
    if steps.order != RAGGED or steps.index is None:
        return steps
    return steps._replace(index=checked_offsets(steps.index, total))


def _shape(cell: Cell, x: Tensor, hidden: int, state: int) -> tuple[float, ...]:
    code, *options = native_cell(cell)
    return code, x.dtype == torch.float64, x.shape[1], hidden, state, *options


@lru_cache(maxsize=256)
def _kept(cell: Cell) -> tuple[float, ...]:
    """Return how much of each step a backward pass reads, whether there is a c, and `native_cell`."""
    spec = spec_of(cell)
    return spec.saved, spec.kind == "LSTM", *native_cell(cell)


@lru_cache(maxsize=256)
def native_cell(cell: Cell) -> tuple[float, ...]:
    """Return the number of a cell, and its options in the order of kernels/recurrent/recurrent.h."""
    if cell in _PLAIN:
        return (_PLAIN[cell],)
    spec = spec_of(cell)
    without = spell(replace(spec, gradient_value=math.inf, gradient_norm=math.inf))
    general = {"LSTM": 5 if spec.coupled else 4, "GRU": 6 if spec.reset_after else 7, "RNN": 8}
    code = _PLAIN.get(without, general[spec.kind])
    activations = (*spec.activations, *[spec.activations[0]] * (3 - len(spec.activations)))
    bounds = (float(spec.gradient_value), float(spec.gradient_norm))
    numbers = [part for a in activations for part in (_NUMBERS[a.name], float(a.alpha), float(a.beta))]
    return code, *numbers, float(spec.clip), float(spec.cell_clip), spec.update_new, *bounds


def _tokens(steps: Steps) -> tuple[int, ...]:
    return steps.order, steps.batch, steps.length, address(steps.index)


def _sizes(weights: Weights) -> tuple[int, int]:
    """Return H and the size of h, which a projection makes smaller."""
    state = weights.hh.shape[1]
    return (state if weights.hr is None else weights.hr.shape[1]), state


def _all_contiguous(weights: Weights) -> Weights:
    for part in weights:
        if part is not None and not part.is_contiguous():
            return Weights(*map(contiguous, weights))  # type: ignore[arg-type]
    return weights


# As `address`, for many: a call for each would cost more than the address.


def _addresses(tensors: Sequence[Tensor | None]) -> list[int]:
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]


def _parts(tensors: Sequence[Tensor | None], direction: int) -> list[int]:
    """Return where the part of one direction, along the first dimension, lies of each."""
    if direction == 0:
        return _addresses(tensors)
    return [
        0
        if tensor is None or tensor.numel() == 0
        else tensor.data_ptr() + tensor.stride(0) * tensor.element_size()
        for tensor in tensors
    ]
