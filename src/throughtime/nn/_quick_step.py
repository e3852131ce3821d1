"""One step of a stream without gradients: straight to the native loop.

A step at batch 1 is a few microseconds of arithmetic; the general path would spend several times that on
looking at its arguments. Here only what can go wrong is looked at, most of it natively, and anything unusual
is left to the general path, which also has the words for what is wrong.
"""

from typing import Any

import torch
from torch import Tensor

from throughtime.nn._stack import Stack
from throughtime.ops._recurrent_native import StepPlan, is_plain_call, native_cell, step

# Where a layer keeps it; not part of its state.
PLAN = "_step_plan"


def quick_step(module: Stack, x: Tensor, state: Any) -> tuple[Tensor, Any] | None:
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
    if torch.is_grad_enabled() or not is_plain_call():
        return None
    if (
        (module.dropout and module.training)
        or module.context_size
        or module._carrier is not None  # noqa: SLF001 - whoever carries states says where a stream is
        or (state is None and module.learn_initial_state)
    ):
        return None
    plan = module.__dict__.get(PLAN)
    if plan is None:
        plan = module.__dict__[PLAN] = _plan_of(module)
    return step(plan, module._parameters, x, state)  # noqa: SLF001


def _plan_of(module: Stack) -> StepPlan:
    spec = module.spec
    return StepPlan(
        gated=spec.kind == "LSTM",
        inputs=module.input_size,
        hidden=module.hidden_size,
        state=module.proj_size or module.hidden_size,
        layers=module.num_layers,
        gates=spec.gates,
        peepholes=spec.peepholes if spec.peephole else 0,
        biased=module.bias,
        projects=bool(module.proj_size),
        names=tuple(_with_peephole(names, spec.peephole) for names in module._all_weights),  # noqa: SLF001
        cell=native_cell(module.cell),
    )


def _with_peephole(names: list[str], peephole: bool) -> tuple[str, ...]:  # noqa: FBT001
    if not peephole:
        return tuple(names)
    return (*names, "weight_peephole" + names[0].removeprefix("weight_ih"))
