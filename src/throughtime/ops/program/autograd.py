"""The native machine under eager autograd, and which values may take it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from throughtime.ops.plain import FULL, compiling, is_batched, transformed, watched
from throughtime.ops.program.forward_plan import ForwardPlan
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import tracing

Tensors = Sequence[Tensor | None]

# Of the tensors of a call to its results, then its final states, each once.
Composition = Callable[[Tensors], list[Tensor]]


def takes(tensors: Sequence[Tensor]) -> bool:
    """Tell whether the machine may have these tensors."""
    if transformed() or tracing() or watched(*tensors) or is_batched(*tensors):
        return False
    return False not in [part.is_cpu and part.dtype in FULL for part in tensors] and not compiling(tensors[0])


def run(
    plan: ForwardPlan,
    tensors: Tensors,
    steps: Steps,
    dtype: torch.dtype,
    composition: Composition,
    *,
    from_end: bool,
) -> tuple[Tensor, ...]:
    """Return the results and the final states; derivatives beyond the first are those of the composition."""
    results: tuple[Tensor, ...] = _Program.apply(plan, steps, dtype, composition, from_end, *tensors)  # type: ignore[no-untyped-call]
    return results


class _Program(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        plan: ForwardPlan,
        steps: Steps,
        dtype: torch.dtype,
        composition: Composition,
        from_end: bool,  # noqa: FBT001 - autograd passes arguments by position
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:
        final, written = plan.run(tensors, steps, dtype, from_end=from_end)
        ctx.set_materialize_grads(False)
        ctx.plan, ctx.steps, ctx.dtype, ctx.composition, ctx.from_end = (
            plan,
            steps,
            dtype,
            composition,
            from_end,
        )
        ctx.save_for_backward(*tensors, *written)
        return (*written[: len(plan.results)], *final)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        plan, saved, count = ctx.plan, ctx.saved_tensors, sum(ctx.plan.counts)
        present = [part for part in gradients if part is not None]
        if not present:
            return _of_arguments([None] * count)
        with _without_autocast(present[0].device.type):
            # Somebody will differentiate a gradient, too, or it is none that the machine may have.
            if torch.is_grad_enabled() or not takes(present):
                return _of_arguments(_gradients_of(ctx.composition, saved[:count], gradients))
            backward = plan.backward(tuple([part is not None for part in gradients]))
            return _of_arguments(
                backward.run((*saved, *gradients), ctx.steps, ctx.dtype, from_end=ctx.from_end)
            )


def _without_autocast(device: str) -> AbstractContextManager[object]:
    """Compute in the dtype of the tensors; a context of autocast costs more than a small product."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _of_arguments(gradients: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Return gradients for all arguments of the function, whose first five are no tensors."""
    return None, None, None, None, None, *gradients


def _gradients_of(composition: Composition, tensors: Tensors, gradients: Tensors) -> list[Tensor | None]:
    """Return the gradients of the tensors, differentiable where gradients are enabled."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = tensors if create_graph else [_detached(part) for part in tensors]
        results = composition(inputs)
        pairs = [
            (result, seed)
            for result, seed in zip(results, gradients, strict=True)
            if seed is not None and result.requires_grad
        ]
        wanted = [part for part in inputs if part is not None and part.requires_grad]
        outputs, seeds = zip(*pairs, strict=True)
        found = iter(
            torch.autograd.grad(outputs, wanted, seeds, create_graph=create_graph, allow_unused=True)
        )
        return [next(found) if part is not None and part.requires_grad else None for part in inputs]


def _detached(part: Tensor | None) -> Tensor | None:
    return None if part is None else part.detach().requires_grad_(part.requires_grad)
