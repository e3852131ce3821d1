r"""Pooling of whole sequences as operators of torch, for torch.compile, export, subclasses and modes.

Values are (T, \*D), offsets (B + 1,) int64, results (B, \*D). Gradients gather and add rows with torch's own
operators, so that they have gradients of any order.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from throughtime.ops._registering import in_full, register, register_vmap_over_features
from throughtime.ops.pool import native
from throughtime.ops.pool.autograd import whole
from throughtime.ops.pool.reference import (
    added_at,
    last_over_time_reference,
    max_over_time_reference,
    max_rows_reference,
    mean_over_time_reference,
    root,
    rows_of_largest,
    softmax_over_time_reference,
    std_over_time_reference,
    sum_over_time_reference,
    top_k_over_time_reference,
    top_k_rows_reference,
)
from throughtime.ops.windows import Geometry
from throughtime.ragged import Layout

Function = Callable[..., Any]


def max_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.max_over_time`."""
    return in_full(_MAX, values, layout.offsets)


def mean_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.mean_over_time`."""
    return in_full(_MEAN, values, layout.offsets)


def std_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.std_over_time`."""
    return in_full(_STD, values, layout.offsets)


def sum_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.sum_over_time`."""
    return in_full(_SUM, values, layout.offsets)


def last_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.last_over_time`."""
    last: Tensor = _LAST(values, layout.offsets)
    return last


def top_k_over_time(values: Tensor, layout: Layout, k: int) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.top_k_over_time`."""
    largest: Tensor = _TOP_K(values, layout.offsets, k)
    return largest


def softmax_over_time(scores: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.softmax_over_time`."""
    return in_full(_SOFTMAX, scores, layout.offsets)


def _sequence_ids(offsets: Tensor, total: int) -> Tensor:
    return torch.repeat_interleave(offsets.diff(), output_size=total)


def _per_sequence(numbers: Tensor, values: Tensor) -> Tensor:
    return numbers.to(values.dtype).view(-1, *(1,) * (values.dim() - 1))


# ---------------------------------------------------------------------------------------- whole sequences


def _of_layout(reference: Function) -> Function:
    """Return a reference as a function of offsets in place of a layout."""

    def computed(values: Tensor, offsets: Tensor, *rest: Any) -> Tensor:
        result: Tensor = reference(values, Layout(offsets, total=values.shape[0]), *rest)
        return result.contiguous()

    return computed


def _native_or(reference: Function, run: Callable[[Tensor, Geometry, int], Tensor]) -> Function:
    def computed(values: Tensor, offsets: Tensor) -> Tensor:
        if not native.reads(values):
            result: Tensor = _of_layout(reference)(values, offsets)
            return result
        layout = Layout(offsets, total=values.shape[0])
        return run(values, whole(layout), layout.num_sequences)

    return computed


def _native_max(values: Tensor, geometry: Geometry, total: int) -> Tensor:
    return native.largest(values, geometry, total, 0.0, index=False)[0]


def _native_rows(values: Tensor, geometry: Geometry, total: int) -> Tensor:
    _, taps = native.largest(values, geometry, total, 0.0, index=True)
    taps = torch.zeros(0) if taps is None else taps
    return rows_of_largest(taps, geometry).masked_fill_(taps < 0, -1)


def _native_sum(values: Tensor, geometry: Geometry, total: int) -> Tensor:
    return native.summed(values, geometry, total, "one")


def _native_mean(values: Tensor, geometry: Geometry, total: int) -> Tensor:
    return native.summed(values, geometry, total, "real")


def _pooled_fake(values: Tensor, offsets: Tensor) -> Tensor:
    return values.new_empty(offsets.shape[0] - 1, *values.shape[1:])


def _rows_fake(values: Tensor, offsets: Tensor) -> Tensor:
    return offsets.new_empty(offsets.shape[0] - 1, *values.shape[1:])


def _top_k_fake(values: Tensor, offsets: Tensor, k: int) -> Tensor:
    return values.new_empty(offsets.shape[0] - 1, k, *values.shape[1:])


def _top_k_rows_fake(values: Tensor, offsets: Tensor, k: int) -> Tensor:
    return offsets.new_empty(offsets.shape[0] - 1, k, *values.shape[1:])


def _softmax_fake(scores: Tensor, offsets: Tensor) -> Tensor:  # noqa: ARG001
    return torch.empty_like(scores, memory_format=torch.contiguous_format)


def _save_tokens(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    values, offsets, *rest = inputs
    ctx.rest, ctx.total = rest, values.shape[0]
    ctx.save_for_backward(values, offsets)


def _save_offsets(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    ctx.total = inputs[0].shape[0]
    ctx.save_for_backward(inputs[1])


def _save_softmax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(output, inputs[1])


def _max_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
    values, offsets = ctx.saved_tensors
    return added_at(dy, _MAX_ROWS(values.detach(), offsets), ctx.total), None


def _top_k_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
    values, offsets = ctx.saved_tensors
    rows = _TOP_K_ROWS(values.detach(), offsets, *ctx.rest)
    return added_at(dy.flatten(0, 1), rows.flatten(0, 1), ctx.total), None, None


def _sum_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
    (offsets,) = ctx.saved_tensors
    return dy.index_select(0, _sequence_ids(offsets, ctx.total)), None


def _mean_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
    (offsets,) = ctx.saved_tensors
    shares = dy / _per_sequence(offsets.diff().clamp(min=1), dy)
    return shares.index_select(0, _sequence_ids(offsets, ctx.total)), None


def _std_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
    values, offsets = ctx.saved_tensors
    ids = _sequence_ids(offsets, ctx.total)
    distances = values - _MEAN(values, offsets).index_select(0, ids)
    deviation = root(_MEAN(distances.square(), offsets))
    scale = deviation * _per_sequence(offsets.diff().clamp(min=1), dy)
    shares = torch.where(deviation != 0, dy / torch.where(deviation != 0, scale, 1), 0)
    return distances * shares.index_select(0, ids), None


def _last_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
    (offsets,) = ctx.saved_tensors
    last = torch.where(offsets.diff() == 0, -1, offsets[1:] - 1)
    rows = last.view(-1, *(1,) * (dy.dim() - 1)).expand_as(dy)
    return added_at(dy, rows, ctx.total), None


def _softmax_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
    y, offsets = ctx.saved_tensors
    weighted = y * dy
    sums = _SUM(weighted, offsets).index_select(0, _sequence_ids(offsets, y.shape[0]))
    return weighted - y * sums, None


def _pooling(
    name: str,
    reference: Function,
    run: Callable[[Tensor, Geometry, int], Tensor],
    save: Function,
    gradient: Function,
) -> Function:
    return register(
        f"{name}(Tensor values, Tensor offsets) -> Tensor",
        cpu=_native_or(reference, run),
        elsewhere=_of_layout(reference),
        fake=_pooled_fake,
        save=save,
        gradient=gradient,
    )


_MAX = _pooling("max_over_time", max_over_time_reference, _native_max, _save_tokens, _max_gradient)
_MEAN = _pooling("mean_over_time", mean_over_time_reference, _native_mean, _save_offsets, _mean_gradient)
_STD = register(
    "std_over_time(Tensor values, Tensor offsets) -> Tensor",
    elsewhere=_of_layout(std_over_time_reference),
    fake=_pooled_fake,
    save=_save_tokens,
    gradient=_std_gradient,
)
_SUM = _pooling("sum_over_time", sum_over_time_reference, _native_sum, _save_offsets, _sum_gradient)
_LAST = register(
    "last_over_time(Tensor values, Tensor offsets) -> Tensor",
    elsewhere=_of_layout(last_over_time_reference),
    fake=_pooled_fake,
    save=_save_offsets,
    gradient=_last_gradient,
)
_TOP_K = register(
    "top_k_over_time(Tensor values, Tensor offsets, int k) -> Tensor",
    elsewhere=_of_layout(top_k_over_time_reference),
    fake=_top_k_fake,
    save=_save_tokens,
    gradient=_top_k_gradient,
)
_SOFTMAX = register(
    "softmax_over_time(Tensor scores, Tensor offsets) -> Tensor",
    elsewhere=_of_layout(softmax_over_time_reference),
    fake=_softmax_fake,
    save=_save_softmax,
    gradient=_softmax_gradient,
)
_MAX_ROWS = register(
    "max_over_time_rows(Tensor values, Tensor offsets) -> Tensor",
    cpu=_native_or(max_rows_reference, _native_rows),
    elsewhere=_of_layout(max_rows_reference),
    fake=_rows_fake,
)
_TOP_K_ROWS = register(
    "top_k_over_time_rows(Tensor values, Tensor offsets, int k) -> Tensor",
    elsewhere=_of_layout(top_k_rows_reference),
    fake=_top_k_rows_fake,
)

for _name in (
    "max_over_time",
    "mean_over_time",
    "std_over_time",
    "sum_over_time",
    "last_over_time",
    "top_k_over_time",
    "softmax_over_time",
    "max_over_time_rows",
    "top_k_over_time_rows",
):
    register_vmap_over_features(_name)
