"""Dispatch of a recurrent layer in one or both directions: which code runs it, and how torch records it.

An eager call on plain CPU tensors goes straight to the native loop, with gradients by way of
`autograd`. torch.compile, export, tensor subclasses and dispatch modes meet the registered operator
``throughtime::recurrent_layer`` (whose dispatch in Python costs over 100 us a call). Function transforms
run a native program of the cell. Other devices run torch's own fused layers, or the reference where those
keep too little.
"""

from itertools import chain

import torch
from torch import Tensor

from throughtime.ops.plain import compiling, differentiable, transformed, watched
from throughtime.ops.recurrent import native
from throughtime.ops.recurrent.autograd import differentiable_layer
from throughtime.ops.recurrent.fused import recurrent_layer_torch, torch_knows
from throughtime.ops.recurrent.program import recurrent_layer_program
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.reference import recurrent_layer_reference
from throughtime.ops.recurrent.registered import registered_layer
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import Results, Weights
from throughtime.ragged import refuse_tracing


def recurrent_layer(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
    *,
    save: bool = False,
    record: StepGradients | None = None,
) -> Results:
    """Run one layer over every sequence, see `recurrent_layer_reference` for arguments and results.

    Parameters
    ----------
    save
        Whether ``c`` and ``gates`` are wanted; without it they may be empty.
    record
        Filled by a backward pass with the gradients of every step, where the native loop runs it; see
        `recorded_layer`.
    """
    arguments = (x, steps, spec, h0, c0, directions)
    if compiling(x):
        return registered_layer(*arguments)
    refuse_tracing("a recurrent layer")
    if x.is_cpu and spec.is_native and not transformed():
        tensors = (x, h0, c0, *chain(*directions))
        if watched(*tensors):
            return registered_layer(*arguments)
        if differentiable(*tensors):
            return differentiable_layer(*arguments, save=save, record=record)
        return native.forward(*arguments, save=save)
    if not (x.is_cpu or transformed() or save) and steps.reset is None and torch_knows(spec, directions):
        empty = x.new_zeros(0)
        return (*recurrent_layer_torch(*arguments), empty, empty)
    # The autocast dtypes are the caller's; the loop computes in those of the tensors.
    with torch.autocast(x.device.type, enabled=False):
        return (
            recurrent_layer_program(*arguments, save=save)
            if transformed()
            else recurrent_layer_reference(*arguments)
        )
