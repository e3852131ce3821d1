r"""Linear recurrences as an operator of torch, for torch.compile, export, subclasses and modes.

Its gradient is made of the operator itself, in the opposite order of time.
"""

from typing import Any

from torch import Tensor

from throughtime.ops._registering import register
from throughtime.ops.plain import FULL
from throughtime.ops.scan import native
from throughtime.ops.scan.gradients import scan_gradients
from throughtime.ops.scan.native import Kind
from throughtime.ops.scan.reference import linear_scan_reference
from throughtime.ragged import Layout

States = tuple[Tensor, Tensor]


def linear_scan(a: Tensor, b: Tensor, h0: Tensor | None, layout: Layout, reverse: bool) -> States:  # noqa: FBT001
    """Call the operator, see `throughtime.ops.scan.layer.linear_scan`."""
    results: States = _SCAN(a, b, h0, layout.offsets, reverse)
    return results


def _on_cpu(a: Tensor, b: Tensor, h0: Tensor | None, offsets: Tensor, reverse: bool) -> States:  # noqa: FBT001
    if a.dtype not in FULL:
        return _elsewhere(a, b, h0, offsets, reverse)
    return native.forward(a, b, h0, offsets, Kind(None, "identity", reverse))


def _elsewhere(a: Tensor, b: Tensor, h0: Tensor | None, offsets: Tensor, reverse: bool) -> States:  # noqa: FBT001
    h, last = linear_scan_reference(a, b, h0, Layout(offsets, total=a.shape[0]), reverse=reverse)
    return h.contiguous(), last.contiguous()


def _fake(a: Tensor, b: Tensor, h0: Tensor | None, offsets: Tensor, reverse: bool) -> States:  # noqa: ARG001, FBT001
    return a.new_empty(a.shape), a.new_empty(offsets.shape[0] - 1, *a.shape[1:])


def _save(ctx: Any, inputs: tuple[Any, ...], output: States) -> None:
    a, _, h0, offsets, ctx.reverse = inputs
    ctx.save_for_backward(a, h0, output[0], offsets)


def _gradient(ctx: Any, dh: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
    a, h0, h, offsets = ctx.saved_tensors
    layout = Layout(offsets, total=a.shape[0])
    da, db, dh0 = scan_gradients(linear_scan, a, h0, h, dh, dlast, layout, reverse=ctx.reverse)
    return da, db, None if h0 is None else dh0, None, None


_SCAN = register(
    "linear_scan(Tensor a, Tensor b, Tensor? h0, Tensor offsets, bool reverse) -> (Tensor, Tensor)",
    cpu=_on_cpu,
    elsewhere=_elsewhere,
    fake=_fake,
    save=_save,
    gradient=_gradient,
)
