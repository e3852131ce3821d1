"""The native linear recurrence under eager autograd, and which values may take it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from throughtime.ops.plain import FULL, differentiable, on_plain_cpu, watched
from throughtime.ops.scan import native
from throughtime.ops.scan.gradients import Scan, scan_gradients
from throughtime.ops.scan.native import Kind
from throughtime.ragged import Layout

# Of pre-activations and h_0 or None, to h and its last step.
Composition = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]


def takes(*tensors: Tensor | None) -> bool:
    """Tell whether the kernels may have these tensors."""
    parts = [tensor for tensor in tensors if tensor is not None]
    return all(part.dtype in FULL and on_plain_cpu(part) for part in parts) and not watched(*parts)


def scanned(
    a: Tensor, b: Tensor, h0: Tensor | None, layout: Layout, scan: Scan, *, reverse: bool
) -> tuple[Tensor, Tensor]:
    """Return h and its last step; derivatives beyond the first are those of ``scan``."""
    if not differentiable(a, b, h0):
        return native.forward(a, b, h0, layout.offsets, Kind(None, "identity", reverse))
    results: tuple[Tensor, Tensor] = _Scan.apply(a, b, h0, layout, scan, reverse)  # type: ignore[no-untyped-call]
    return results


def gated(
    u: Tensor, h0: Tensor | None, layout: Layout, kind: Kind, composition: Composition
) -> tuple[Tensor, Tensor]:
    """Return h and its last step; derivatives beyond the first are those of the composition."""
    if not differentiable(u, h0):
        return native.forward(u, None, h0, layout.offsets, kind)
    results: tuple[Tensor, Tensor] = _GatedScan.apply(u, h0, layout, kind, composition)  # type: ignore[no-untyped-call]
    return results


def _by_composition(*gradients: Tensor | None) -> bool:
    """Tell whether somebody will differentiate a gradient, too, or it is none that the kernels may have."""
    return torch.is_grad_enabled() or not takes(*gradients)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        h0: Tensor | None,
        layout: Layout,
        scan: Scan,
        reverse: bool,  # noqa: FBT001 - autograd passes arguments by position
    ) -> tuple[Tensor, Tensor]:
        h, last = native.forward(a, b, h0, layout.offsets, Kind(None, "identity", reverse))
        ctx.layout, ctx.scan, ctx.reverse = layout, scan, reverse
        ctx.save_for_backward(a, h0, h)
        ctx.set_materialize_grads(False)
        return h, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        dh, dlast = gradients
        a, h0, h = ctx.saved_tensors
        if dh is None and dlast is None:
            return (None,) * 6
        da: Tensor | None
        db: Tensor | None
        if _by_composition(dh, dlast):
            dh = torch.zeros_like(h) if dh is None else dh
            da, db, dh0 = scan_gradients(ctx.scan, a, h0, h, dh, dlast, ctx.layout, reverse=ctx.reverse)
        else:
            kind, needs = Kind(None, "identity", ctx.reverse), ctx.needs_input_grad[:2]
            da, db, dh0 = native.backward(a, h0, h, (dh, dlast), ctx.layout.offsets, kind, needs)
        return da, db, None if h0 is None else dh0, None, None, None


class _GatedScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, h0: Tensor | None, layout: Layout, kind: Kind, composition: Composition
    ) -> tuple[Tensor, Tensor]:
        h, last = native.forward(u, None, h0, layout.offsets, kind)
        ctx.layout, ctx.kind, ctx.composition = layout, kind, composition
        ctx.save_for_backward(u, h0, h)
        ctx.set_materialize_grads(False)
        return h, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        u, h0, h = ctx.saved_tensors
        if gradients == (None, None):
            return (None,) * 5
        if _by_composition(*gradients):
            return (*gradients_of(ctx.composition, (u, h0), gradients), None, None, None)
        needs = ctx.needs_input_grad[0], False
        du, _, dh0 = native.backward(u, h0, h, gradients, ctx.layout.offsets, ctx.kind, needs)  # type: ignore[arg-type]
        return du, None if h0 is None else dh0, None, None, None


def gradients_of(
    composition: Callable[..., tuple[Tensor, ...]],
    given: tuple[Tensor | None, ...],
    gradients: tuple[Tensor | None, ...],
) -> list[Tensor | None]:
    """Return the gradients of a composition's arguments, differentiable where gradients are enabled."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = given if create_graph else tuple(None if part is None else _detached(part) for part in given)
        results = composition(*inputs)
        pairs = [(one, seed) for one, seed in zip(results, gradients, strict=True) if seed is not None]
        outputs, seeds = zip(*pairs, strict=True)
        wanted = [part for part in inputs if part is not None and part.requires_grad]
        found = iter(
            torch.autograd.grad(outputs, wanted, seeds, create_graph=create_graph, allow_unused=True)
        )
        return [next(found) if part is not None and part.requires_grad else None for part in inputs]


def _detached(part: Tensor) -> Tensor:
    return part.detach().requires_grad_()
