"""The native machine under autograd and function transforms, and which values may take it.

A backward pass that is differentiated runs its graph by the machine as well, in a call that autograd records
as the forward one. What the forward pass has written for it are results of the forward call for autograd.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from throughtime.ops.plain import FULL, compiling, is_batched, transformed, watched
from throughtime.ops.program.bounded import is_bounded
from throughtime.ops.program.counts import Counts, counts_of
from throughtime.ops.program.forward_plan import ForwardPlan
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.program.plans import plan_of
from throughtime.ops.program.reference import Results, run_reference
from throughtime.ops.program.vectorized import vectorized
from throughtime.ops.recurrent.bounds import no_second_derivative
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import tracing

Tensors = Sequence[Tensor | None]

_FIRST_TENSOR = 4
"""Arguments of the autograd functions before the tensors."""


def run(
    graph: Graph,
    inputs: Inputs,
    states: Tensors,
    steps: Steps,
    dtype: torch.dtype,
    wanted: tuple[bool, ...],
    *,
    from_end: bool,
) -> Results:
    """Run a graph on tensors of one dtype, see `throughtime.ops.program.layer.run_program`."""
    tensors = (*inputs.tokens, *inputs.sequences, *inputs.vectors, *inputs.matrices, *states)
    present = [part for part in tensors if part is not None]
    if not takes(present):
        return _chosen(run_reference(graph, inputs, states, steps, from_end=from_end), wanted)
    needed = _needed(tensors)
    plan = plan_of(graph, counts_of(inputs, states), wanted, needed)
    if True in needed:
        results = applied(plan, steps, dtype, from_end, *tensors)
    else:
        results = plan.run(tensors, steps, dtype, from_end=from_end)
    return Results(
        [None if place is None else results[place] for place in plan.state_places],
        [results[place] for place in plan.output_places],
        list(results[len(plan.written) :]),
    )


def run_known(
    graph: Graph, counts: Counts, tensors: tuple[Tensor, ...], steps: Steps, dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Return all states (T, width) and final states (B, width), of plain tensors that fit the graph.

    The caller knows that nothing but autograd has a part in the call, see `throughtime.ops.plain.unobserved`.
    """
    wanted = (True,) * counts.states
    if torch.is_grad_enabled():
        needed = tuple([part.requires_grad for part in tensors])
    else:
        needed = (False,) * len(tensors)
    plan = plan_of(graph, counts, wanted, needed)
    if True in needed:
        results: tuple[Tensor, ...] = _Program.apply(plan, steps, dtype, False, *tensors)  # type: ignore[no-untyped-call]  # noqa: FBT003
    else:
        results = plan.run(tensors, steps, dtype, from_end=False)
    return [results[place] for place in plan.places], list(results[plan.begin_final :])


def applied(plan: ForwardPlan, *arguments: Any) -> tuple[Tensor, ...]:
    """Return what the plan writes and the final states, recorded by autograd and function transforms."""
    function = _Transformed if torch._C._are_functorch_transforms_active() else _Program  # noqa: SLF001
    results: tuple[Tensor, ...] = function.apply(plan, *arguments)  # type: ignore[no-untyped-call]
    return results


def takes(tensors: Sequence[Tensor]) -> bool:
    """Tell whether the machine may have these tensors, or what function transforms make of them."""
    if tracing() or watched(*tensors) or is_batched(*tensors) or _transformed_otherwise():
        return False
    return False not in [part.is_cpu and part.dtype in FULL for part in tensors] and not compiling(tensors[0])


def _transformed_otherwise() -> bool:
    """Tell whether a transform is active that is neither `torch.func.grad` nor `torch.vmap`."""
    if not transformed():
        return False
    kinds = torch._C._functorch.TransformType  # noqa: SLF001
    stack = torch._C._functorch.get_interpreter_stack() or []  # noqa: SLF001
    return forward_ad._current_level >= 0 or any(  # noqa: SLF001
        level.key() not in {kinds.Grad, kinds.Vmap} for level in stack
    )


def _needed(tensors: Tensors) -> tuple[bool, ...]:
    """Return which tensors may be asked for their gradient: by a transform all."""
    if transformed():
        return tuple([part is not None for part in tensors])
    if not torch.is_grad_enabled():
        return (False,) * len(tensors)
    return tuple([part is not None and part.requires_grad for part in tensors])


def _chosen(results: Results, wanted: tuple[bool, ...]) -> Results:
    states = [state if one else None for state, one in zip(results.states, wanted, strict=True)]
    return results._replace(states=states)


def _keep(ctx: Any, arguments: tuple[Any, ...], results: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.plan, ctx.steps, ctx.dtype, ctx.from_end = arguments[:_FIRST_TENSOR]
    ctx.save_for_backward(*arguments[_FIRST_TENSOR:], *results[: len(ctx.plan.written)])


def _results(
    plan: ForwardPlan,
    steps: Steps,
    dtype: torch.dtype,
    from_end: bool,  # noqa: FBT001 - autograd passes arguments by position
    *tensors: Tensor | None,
) -> tuple[Tensor, ...]:
    return plan.run(tensors, steps, dtype, from_end=from_end)


def _gradients(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return the gradients of the arguments, of which the first ones are no tensors."""
    needed = ctx.needs_input_grad[_FIRST_TENSOR:]
    present = [part for part in gradients if part is not None]
    if not present:
        return (None,) * (_FIRST_TENSOR + len(needed))
    plan = ctx.plan.backward(tuple([part is not None for part in gradients]), needed)
    # Often a single number, expanded.
    dense = [part if part is None or part.is_contiguous() else part.contiguous() for part in gradients]
    tensors = *ctx.saved_tensors, *dense
    with _without_autocast(present[0].device.type):
        again = torch.is_grad_enabled() or transformed()
        if again and is_bounded(ctx.plan.graph):
            raise no_second_derivative()
        if again or not takes(present):
            found = plan.run_as_call(tensors, ctx.steps, _call, from_end=ctx.from_end)
        else:
            found = plan.run(tensors, ctx.steps, ctx.dtype, from_end=ctx.from_end)
    return *(None,) * _FIRST_TENSOR, *found


def _call(
    graph: Graph,
    inputs: Inputs,
    states: Tensors,
    steps: Steps,
    from_end: bool,  # noqa: FBT001 - the last argument of a `Call`
) -> tuple[list[Tensor], list[Tensor]]:
    dtype = next(part.dtype for group in (*inputs, states) for part in group if part is not None)
    results = run(graph, inputs, states, steps, dtype, (False,) * len(states), from_end=from_end)
    return results.final, results.outputs


class _Program(torch.autograd.Function):
    """The machine without function transforms; `setup_context` would cost more than a small cell."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        results = _results(*arguments)
        _keep(ctx, arguments, results)
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, *gradients)


class _Transformed(torch.autograd.Function):
    """The machine where function transforms are active."""

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, ...]:
        return _results(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _keep(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, *gradients)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *arguments: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return vectorized(applied, info.batch_size, in_dims[_FIRST_TENSOR:], *arguments)


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Compute in the dtype of the tensors; a context of autocast costs more than a small product."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
