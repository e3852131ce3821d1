"""The seam to the native loop: tensors in, tensors out.

Everything that crosses is on the CPU, and float32 or float64; the caller has checked shapes.
"""

import copyreg
import math
from dataclasses import replace
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import checked_offsets
from throughtime.ops._memory import contiguous, in_order, uninitialised
from throughtime.ops.cell import ACTIVATIONS, Cell, spec_of, spell
from throughtime.ops.record import SUMMARY_NORMS, StepGradients
from throughtime.ops.steps import PARTS, RAGGED, Results, Steps, Weights, flat

Made = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]
"""y, h_n, c_n, c and gates."""

Kept = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None]

_NOTHING: Kept = (None,) * 5
_AS_THEY_ARE, _IN_ORDER = False, True

RecurrentStack = _native.RecurrentStack
"""All layers of a module, without gradients, on the caller's own arguments."""
# A copy of a module makes its own again when it is called, whichever way it was copied.
copyreg.pickle(RecurrentStack, lambda _: (type(None), ()))  # type: ignore[arg-type, return-value]

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
    return filled(layer_forward(x, steps, cell, h0, c0, flat(directions), save=save))


def layer_forward(
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: tuple[Tensor | None, ...],
    *,
    save: bool,
) -> Made:
    r"""Run one layer, on tensors as they are if the loop can read them so, else brought into order.

    ``x`` is (\*, I), with the rows that the steps name, and y (\*, D·P); ``weights`` are the fields of
    `Weights`, of both directions if there are two. The states may lack dimensions of size 1.

    Returns
    -------
    tuple
        y, h_n, c_n, c and gates; None for what the cell does not have, or ``save`` does not ask for.
    """
    run, kept, threads = _native.recurrent_layer_forward, _kept(cell), torch.get_num_threads()
    found = run(_AS_THEY_ARE, save, kept, steps, threads, x, h0, c0, weights)
    if found is None:
        steps, x, h0, c0 = _checked(steps, x), in_order(x), contiguous(h0), contiguous(c0)
        found = run(_IN_ORDER, save, kept, steps, threads, x, h0, c0, _all_contiguous(weights))
    return cast("Made", found)


def filled(found: Made) -> Results:
    """Put empty tensors in the place of what is not there, each its own: outputs of an operator are."""
    y, h_n, c_n, c, gates = found
    return (
        y,
        h_n,
        h_n.new_empty(0) if c_n is None else c_n,
        h_n.new_empty(0) if c is None else c,
        h_n.new_empty(h_n.shape[0], y.shape[0], 0, h_n.shape[2]) if gates is None else gates,
    )


def layer_backward(
    gradients: tuple[Tensor | None, ...],
    x: Tensor,
    steps: Steps,
    cell: Cell,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: tuple[Tensor | None, ...],
    made: tuple[Tensor | None, ...],
    needed: tuple[bool, bool, bool],
    record: StepGradients | None = None,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, h0, c0 and the weights, given those of y, h_n, c_n, c and gates.

    Parameters
    ----------
    made
        y, c and gates, as the forward pass left them.
    needed
        Of x, of the states and of the weights, whether their gradients are wanted. Those that are not, or do
        not exist, are None.
    record
        Filled with the gradients of every step; it takes ``made`` without a None.
    """
    of_steps = _NOTHING
    if record is not None:
        of_steps = _recorded(x, weights, cell, whole=record.whole)
        record.fill(of_steps, *cast("tuple[Tensor, ...]", made))
    run, kept, threads = _native.recurrent_layer_backward, _kept(cell), torch.get_num_threads()
    given = _all_contiguous(gradients)  # often a single number, expanded
    found = run(_AS_THEY_ARE, kept, steps, threads, x, h0, c0, weights, made, given, needed, of_steps)
    if found is None:
        steps, x, h0, c0 = _checked(steps, x), in_order(x), contiguous(h0), contiguous(c0)
        weights, made = _all_contiguous(weights), _all_contiguous(made)
        found = run(_IN_ORDER, kept, steps, threads, x, h0, c0, weights, made, given, needed, of_steps)
    return cast("tuple[Tensor | None, ...]", found)


def native_stack(
    cell: Cell,
    names: tuple[tuple[str, ...], ...],
    inputs: int,
    hidden: int,
    projection: int = 0,
    *,
    directions: int = 1,
    biased: bool,
) -> RecurrentStack:
    """Return a module's layers for runs without gradients.

    Parameters
    ----------
    names
        Those of its parameters, for each layer and direction, in the order of `Weights`.
    projection
        P, 0 for none.
    """
    spec = spec_of(cell)
    return RecurrentStack(
        inputs=inputs,
        hidden=hidden,
        state=projection or hidden,
        layers=len(names) // directions,
        directions=directions,
        gates=spec.gates,
        peepholes=spec.peepholes if spec.peephole else 0,
        gated=spec.kind == "LSTM",
        biased=biased,
        projects=bool(projection),
        names=names,
        cell=native_cell(cell),
    )


def _recorded(x: Tensor, weights: tuple[Tensor | None, ...], cell: Cell, *, whole: bool) -> Kept:
    """Return memory for what a record keeps of every step; the loop writes all of it."""
    spec, tokens, directions = spec_of(cell), math.prod(x.shape[:-1]), len(weights) // PARTS
    hidden, state = _sizes(Weights(*weights[:PARTS]))  # type: ignore[arg-type]
    return (
        uninitialised(x, directions, tokens, state) if whole else None,
        uninitialised(x, directions, tokens, hidden) if whole and spec.kind == "LSTM" else None,
        uninitialised(x, directions, tokens, spec.pre_activations, hidden) if whole else None,
        uninitialised(x, directions, tokens) if spec.bounds_gradients else None,
        uninitialised(x, directions, tokens, SUMMARY_NORMS + 2 * spec.saved),
    )


def _checked(steps: Steps, x: Tensor) -> Steps:
    if steps.index is None:
        return steps
    if steps.order == RAGGED:
        return steps._replace(index=checked_offsets(steps.index, math.prod(x.shape[:-1])))
    return steps._replace(index=in_order(steps.index))


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


def _sizes(weights: Weights) -> tuple[int, int]:
    """Return H and the size of h, which a projection makes smaller."""
    state = weights.hh.shape[1]
    return (state if weights.hr is None else weights.hr.shape[1]), state


def _all_contiguous(tensors: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(map(contiguous, tensors))
