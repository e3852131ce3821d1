"""Calls of the native loop, with tensors as arguments and results.

Everything that crosses is on the CPU, and float32 or float64; the caller has checked shapes.
"""

import copyreg
import math
from typing import cast

import torch
from torch import Tensor

from throughtime import _native
from throughtime.errors import UnsupportedError
from throughtime.ops._batch import checked_offsets
from throughtime.ops._memory import contiguous, in_order, uninitialised
from throughtime.ops.recurrent.record import SUMMARY_NORMS, StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import RAGGED, Steps
from throughtime.ops.recurrent.weights import PARTS, Results, Weights, flat

Made = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]
"""y, h_n, c_n, c and gates."""

Kept = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None]

_NOTHING: Kept = (None,) * 5
_AS_THEY_ARE, _IN_ORDER = False, True

RecurrentStack = _native.RecurrentStack
"""All layers of a module, without gradients, on the caller's own arguments."""
# A copy of a module makes its own again when it is called, whichever way it was copied.
copyreg.pickle(RecurrentStack, lambda _: (type(None), ()))  # type: ignore[arg-type, return-value]


def forward(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
    *,
    save: bool,
) -> Results:
    """Run one layer; see `recurrent_layer_reference` for shapes.

    With ``save`` false, c and gates come back empty: nothing is kept for a backward pass.
    """
    return filled(layer_forward(x, steps, spec, h0, c0, flat(directions), save=save))


def layer_forward(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
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
    run, cell, threads = _native.recurrent_layer_forward, native_cell(spec), torch.get_num_threads()
    results = run(_AS_THEY_ARE, save, cell, steps, threads, x, h0, c0, weights)
    if results is None:
        steps, x, h0, c0 = _checked(steps, x), in_order(x), contiguous(h0), contiguous(c0)
        results = run(_IN_ORDER, save, cell, steps, threads, x, h0, c0, _all_contiguous(weights))
    return cast("Made", results)


def filled(results: Made) -> Results:
    """Put empty tensors in the place of what is not there, each its own: outputs of an operator are."""
    y, h_n, c_n, c, gates = results
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
    spec: CellSpec,
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
        of_steps = _recorded(x, weights, spec, whole=record.whole)
        record.fill(of_steps, *cast("tuple[Tensor, ...]", made))
    run, cell, threads = _native.recurrent_layer_backward, native_cell(spec), torch.get_num_threads()
    # Often a single number, expanded.
    dense_gradients = tuple(
        [part if part is None or part.is_contiguous() else part.contiguous() for part in gradients]
    )
    input_gradients = run(
        _AS_THEY_ARE, cell, steps, threads, x, h0, c0, weights, made, dense_gradients, needed, of_steps
    )
    if input_gradients is None:
        steps, x, h0, c0 = _checked(steps, x), in_order(x), contiguous(h0), contiguous(c0)
        weights, made, dense_gradients = (
            _all_contiguous(weights),
            _all_contiguous(made),
            _all_contiguous(dense_gradients),
        )
        input_gradients = run(
            _IN_ORDER, cell, steps, threads, x, h0, c0, weights, made, dense_gradients, needed, of_steps
        )
    return cast("tuple[Tensor | None, ...]", input_gradients)


def native_stack(
    spec: CellSpec,
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
    return RecurrentStack(
        inputs=inputs,
        hidden=hidden,
        state=projection or hidden,
        layers=len(names) // directions,
        directions=directions,
        biased=biased,
        projects=bool(projection),
        names=names,
        cell=native_cell(spec),
    )


def _recorded(x: Tensor, weights: tuple[Tensor | None, ...], spec: CellSpec, *, whole: bool) -> Kept:
    """Return memory for what a record keeps of every step; the loop writes all of it."""
    tokens, directions = math.prod(x.shape[:-1]), len(weights) // PARTS
    hidden, state = _sizes(Weights(*weights[:PARTS]))  # type: ignore[arg-type]
    return (
        uninitialised(x, directions, tokens, state) if whole else None,
        uninitialised(x, directions, tokens, hidden) if whole and spec.has_c else None,
        uninitialised(x, directions, tokens, len(spec.pre_activation_names), hidden) if whole else None,
        uninitialised(x, directions, tokens) if spec.bounds_gradients else None,
        uninitialised(x, directions, tokens, SUMMARY_NORMS + 2 * spec.saved),
    )


# Where a description keeps its native code; neither part of it nor of its copies.
_CELL = "_native_cell"
copyreg.pickle(_native.RecurrentCell, lambda _: (type(None), ()))  # type: ignore[arg-type, return-value]


def _checked(steps: Steps, x: Tensor) -> Steps:
    if steps.index is None:
        return steps
    if steps.order == RAGGED:
        return steps._replace(index=checked_offsets(steps.index, math.prod(x.shape[:-1])))
    return steps._replace(index=in_order(steps.index))


def native_cell(spec: CellSpec) -> _native.RecurrentCell:
    """Return the native code of a cell, with its options.

    Raises
    ------
    UnsupportedError
        If it has none.
    """
    cell: _native.RecurrentCell | None = spec.__dict__.get(_CELL)
    if cell is None:
        cell = spec.__dict__[_CELL] = _native_cell(spec)
    return cell


def _native_cell(spec: CellSpec) -> _native.RecurrentCell:
    native = spec.native
    if native is None:
        raise UnsupportedError(f"the cell {spec.name} has no native code; it runs by its step in PyTorch")
    options = {"cell_clip": math.inf, "update_new": False, "epsilon": 0.0, **native.options}
    return _native.RecurrentCell(
        kernel=native.kernel,
        activations=list(spec.activations),
        own_rows=[own.rows for own in spec.own_parameters.values()],
        clip=spec.clip,
        gradient_value=spec.gradient_value,
        gradient_norm=spec.gradient_norm,
        bfloat16=spec.bfloat16,
        **options,
    )


def _sizes(weights: Weights) -> tuple[int, int]:
    """Return H and the size of h, which a projection makes smaller."""
    state = weights.hh.shape[1]
    return (state if weights.hr is None else weights.hr.shape[1]), state


def _all_contiguous(tensors: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(map(contiguous, tensors))
