"""Whole calls and single steps without gradients: straight to the native loop.

A step at batch 1 is a few microseconds of arithmetic, and a call on a short sequence not many more; the
general path would spend several times that on looking at its arguments. Here only what can go wrong is looked
at, most of it natively, and anything unusual is left to the general path, which also has the words for what
is wrong.
"""

from typing import Any

import torch
from torch import Tensor

from throughtime.nn._output import RecurrentOutput
from throughtime.nn._stack import Stack
from throughtime.ops._plain import unobserved
from throughtime.ops._recurrent_native import RecurrentStack, native_cell
from throughtime.ragged import Ragged

# Where a layer keeps it; not part of its state.
STACK = "_native_stack"


def quick_step(module: Stack, x: Any, state: Any) -> tuple[Tensor, Any] | None:
    """Return what ``module.step(x, state)`` returns, or None where the general path must decide.

    Parameters
    ----------
    module
        A recurrent layer in one direction.
    x : Tensor
        (B, I) or (I,).
    state
        As in `throughtime.nn.LSTM.step`.
    """
    if not unobserved() or _has_more_to_do(module, state):
        return None
    return _stack_of(module).step(module._parameters, torch.get_num_threads(), x, state)  # noqa: SLF001


def quick_call(module: Stack, x: Any, state: Any) -> RecurrentOutput | None:
    """Return what ``module(x, state)`` returns, or None where the general path must decide."""
    if not unobserved() or _has_more_to_do(module, state):
        return None
    parameters, threads = module._parameters, torch.get_num_threads()  # noqa: SLF001
    if type(x) is Ragged:
        found = _stack_of(module).ragged(parameters, threads, x.values, x.layout.offsets, state)
        return None if found is None else RecurrentOutput(x.with_values(found[0]), found[1])
    found = _stack_of(module).dense(parameters, threads, x, module.batch_first, state)
    return None if found is None else RecurrentOutput(*found)


def _has_more_to_do(module: Stack, state: Any) -> bool:
    """Tell whether the module does anything but run its cells, or somebody looks on."""
    return bool(
        (module.dropout and module.training)
        or module.context_size
        or module._watcher is not None  # noqa: SLF001
        or module._carrier is not None  # noqa: SLF001 - whoever carries states says where a stream is
        or (state is None and module.learn_initial_state)
    )


def _stack_of(module: Stack) -> RecurrentStack:
    known: RecurrentStack | None = module.__dict__.get(STACK)
    if known is None:
        spec = module.spec
        known = module.__dict__[STACK] = RecurrentStack(
            inputs=module.input_size,
            hidden=module.hidden_size,
            state=module.proj_size or module.hidden_size,
            layers=module.num_layers,
            directions=2 if module.bidirectional else 1,
            gates=spec.gates,
            peepholes=spec.peepholes if spec.peephole else 0,
            gated=spec.kind == "LSTM",
            biased=module.bias,
            projects=bool(module.proj_size),
            names=tuple(_with_peephole(names, spec.peephole) for names in module._all_weights),  # noqa: SLF001
            cell=native_cell(module.cell),
        )
    return known


def _with_peephole(names: list[str], peephole: bool) -> tuple[str, ...]:  # noqa: FBT001
    if not peephole:
        return tuple(names)
    return (*names, "weight_peephole" + names[0].removeprefix("weight_ih"))
