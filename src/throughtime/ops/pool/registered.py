r"""Pooling as operators of torch, for torch.compile, export, subclasses and dispatch modes.

Values are (T, \*D), offsets (B + 1,) int64. Operators of whole sequences return (B, \*D), those of windows
(T', \*D) for the ``out_offsets`` of their windows. Gradients of whole sequences gather and add rows with
torch's own operators; those of windows are operators here, whose gradients are the operators before them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from throughtime.ops._registering import register, register_vmap_over_features
from throughtime.ops.plain import FULL, HALF
from throughtime.ops.pool import native
from throughtime.ops.pool.autograd import MOST_ROWS, whole
from throughtime.ops.pool.reference import (
    added_at,
    at_largest_reference,
    last_over_time_reference,
    max_gradient_reference,
    max_over_time_reference,
    max_over_windows_reference,
    max_rows_reference,
    max_taps_reference,
    mean_gradient_reference,
    mean_over_time_reference,
    mean_over_windows_reference,
    rows_of_largest,
    softmax_over_time_reference,
    sum_over_time_reference,
    top_k_over_time_reference,
    top_k_rows_reference,
)
from throughtime.ops.windows import Divisor, Geometry, Windows
from throughtime.ragged import Layout

Function = Callable[..., Any]


def max_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.max_over_time`."""
    return _in_full(_MAX, values, layout.offsets)


def mean_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.mean_over_time`."""
    return _in_full(_MEAN, values, layout.offsets)


def sum_over_time(values: Tensor, layout: Layout) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.sum_over_time`."""
    return _in_full(_SUM, values, layout.offsets)


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
    return _in_full(_SOFTMAX, scores, layout.offsets)


def max_over_windows(values: Tensor, geometry: Geometry, total: int) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.max_over_windows`."""
    return _in_full(_WINDOW_MAX, values, *_flat(geometry), total)


def mean_over_windows(values: Tensor, geometry: Geometry, total: int, *, count_padding: bool) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.mean_over_windows`."""
    return _in_full(_WINDOW_MEAN, values, *_flat(geometry), total, count_padding)


def _in_full(operator: Function, values: Tensor, *rest: Any) -> Tensor:
    """Compute half precision in float32."""
    if values.dtype in HALF:
        return _in_full(operator, values.float(), *rest).to(values.dtype)
    pooled: Tensor = operator(values, *rest)
    return pooled


def _flat(geometry: Geometry) -> tuple[Tensor, Tensor, list[int]]:
    return geometry.offsets, geometry.out_offsets, geometry.windows.numbers()


def _geometry(offsets: Tensor, out_offsets: Tensor, windows: list[int]) -> Geometry:
    return Geometry(offsets, out_offsets, Windows.of(windows))


def _is_native(values: Tensor) -> bool:
    return values.dtype in FULL and values.shape[0] <= MOST_ROWS


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
        if not _is_native(values):
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


# ----------------------------------------------------------------------------------------------- windows

_GEOMETRY = "Tensor offsets, Tensor out_offsets, int[] windows"


def _layouts(values: Tensor, geometry: Geometry, total: int) -> tuple[Layout, Layout]:
    return Layout(geometry.offsets, total=values.shape[0]), Layout(geometry.out_offsets, total=total)


def _divisor(count_padding: bool) -> Divisor:  # noqa: FBT001
    return "border" if count_padding else "real"


def _index_dtype(windows: list[int]) -> torch.dtype:
    return torch.int8 if windows[0] <= native.MOST_OF_A_BYTE else torch.int32


def _window_max_elsewhere(values: Tensor, *rest: Any) -> Tensor:
    *plain, total = rest
    geometry = _geometry(*plain)
    return max_over_windows_reference(values, *_layouts(values, geometry, total), geometry.windows)


def _window_max_on_cpu(values: Tensor, *rest: Any) -> Tensor:
    if not _is_native(values):
        return _window_max_elsewhere(values, *rest)
    *plain, total = rest
    return native.largest(values, _geometry(*plain), total, -torch.inf, index=False)[0]


def _taps_elsewhere(values: Tensor, *rest: Any) -> Tensor:
    *plain, total = rest
    geometry = _geometry(*plain)
    taps = max_taps_reference(values, *_layouts(values, geometry, total), geometry.windows)
    return taps.to(_index_dtype(plain[2]))


def _taps_on_cpu(values: Tensor, *rest: Any) -> Tensor:
    *plain, total = rest
    taps = None
    if _is_native(values):
        _, taps = native.largest(values, _geometry(*plain), total, -torch.inf, index=True)
    return _taps_elsewhere(values, *rest) if taps is None else taps


def _taps_fake(values: Tensor, *rest: Any) -> Tensor:
    _, _, windows, total = rest
    return values.new_empty(total, *values.shape[1:], dtype=_index_dtype(windows))


def _window_max_gradient_elsewhere(dy: Tensor, taps: Tensor, *rest: Any) -> Tensor:
    *plain, total = rest
    # A copy: the rows of a longer tensor are not laid out as the fake's.
    return max_gradient_reference(dy, taps, _geometry(*plain), total).clone()


def _window_max_gradient_on_cpu(dy: Tensor, taps: Tensor, *rest: Any) -> Tensor:
    *plain, total = rest
    if not _is_native(dy):
        return _window_max_gradient_elsewhere(dy, taps, *rest)
    return native.largest_gradient(dy, taps, _geometry(*plain), total)


def _window_mean_elsewhere(values: Tensor, *rest: Any) -> Tensor:
    *plain, total, count_padding = rest
    geometry = _geometry(*plain)
    layouts = _layouts(values, geometry, total)
    return mean_over_windows_reference(values, *layouts, geometry.windows, count_padding=count_padding)


def _window_mean_on_cpu(values: Tensor, *rest: Any) -> Tensor:
    if not _is_native(values):
        return _window_mean_elsewhere(values, *rest)
    *plain, total, count_padding = rest
    return native.summed(values, _geometry(*plain), total, _divisor(count_padding))


def _window_mean_gradient_elsewhere(dy: Tensor, *rest: Any) -> Tensor:
    *plain, total, count_padding = rest
    return mean_gradient_reference(dy, _geometry(*plain), total, _divisor(count_padding))


def _window_mean_gradient_on_cpu(dy: Tensor, *rest: Any) -> Tensor:
    if not _is_native(dy):
        return _window_mean_gradient_elsewhere(dy, *rest)
    *plain, total, count_padding = rest
    return native.summed_gradient(dy, _geometry(*plain), total, _divisor(count_padding))


def _windows_fake(values: Tensor, offsets: Tensor, out_offsets: Tensor, windows: Any, total: int) -> Tensor:  # noqa: ARG001
    return values.new_empty(total, *values.shape[1:])


def _window_max_gradient_fake(dy: Tensor, taps: Tensor, *rest: Any) -> Tensor:  # noqa: ARG001
    return dy.new_empty(rest[-1], *dy.shape[1:])


def _mean_fake(values: Tensor, *rest: Any) -> Tensor:
    return values.new_empty(rest[-2], *values.shape[1:])


def _save_values(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    values, offsets, out_offsets, windows, _ = inputs
    ctx.windows = windows
    ctx.save_for_backward(values, offsets, out_offsets)


def _window_max_vjp(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    values, offsets, out_offsets = ctx.saved_tensors
    geometry = (offsets, out_offsets, ctx.windows)
    taps = _WINDOW_TAPS(values.detach(), *geometry, dy.shape[0])
    return _WINDOW_MAX_GRADIENT(dy, taps, *geometry, values.shape[0]), None, None, None, None


def _save_taps(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    _, taps, offsets, out_offsets, windows, _ = inputs
    ctx.windows = windows
    ctx.save_for_backward(taps, offsets, out_offsets)


def _window_max_gradient_vjp(ctx: Any, ddx: Tensor) -> tuple[Any, ...]:
    taps, offsets, out_offsets = ctx.saved_tensors
    return at_largest_reference(ddx, taps, _geometry(offsets, out_offsets, ctx.windows)), *[None] * 5


def _save_means(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    x, offsets, out_offsets, windows, _, count_padding = inputs
    ctx.windows, ctx.count_padding, ctx.total = windows, count_padding, x.shape[0]
    ctx.save_for_backward(offsets, out_offsets)


def _window_mean_vjp(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
    arguments = (dy, *ctx.saved_tensors, ctx.windows, ctx.total, ctx.count_padding)
    return _WINDOW_MEAN_GRADIENT(*arguments), *[None] * 5


def _window_mean_gradient_vjp(ctx: Any, ddx: Tensor) -> tuple[Any, ...]:
    arguments = (ddx, *ctx.saved_tensors, ctx.windows, ctx.total, ctx.count_padding)
    return _WINDOW_MEAN(*arguments), *[None] * 5


_WINDOW_MAX = register(
    f"max_over_windows(Tensor values, {_GEOMETRY}, SymInt total) -> Tensor",
    cpu=_window_max_on_cpu,
    elsewhere=_window_max_elsewhere,
    fake=_windows_fake,
    save=_save_values,
    gradient=_window_max_vjp,
)
_WINDOW_TAPS = register(
    f"max_over_windows_taps(Tensor values, {_GEOMETRY}, SymInt total) -> Tensor",
    cpu=_taps_on_cpu,
    elsewhere=_taps_elsewhere,
    fake=_taps_fake,
)
_WINDOW_MAX_GRADIENT = register(
    f"max_over_windows_gradient(Tensor dy, Tensor taps, {_GEOMETRY}, SymInt total) -> Tensor",
    cpu=_window_max_gradient_on_cpu,
    elsewhere=_window_max_gradient_elsewhere,
    fake=_window_max_gradient_fake,
    save=_save_taps,
    gradient=_window_max_gradient_vjp,
)
_WINDOW_MEAN = register(
    f"mean_over_windows(Tensor values, {_GEOMETRY}, SymInt total, bool count_padding) -> Tensor",
    cpu=_window_mean_on_cpu,
    elsewhere=_window_mean_elsewhere,
    fake=_mean_fake,
    save=_save_means,
    gradient=_window_mean_vjp,
)
_WINDOW_MEAN_GRADIENT = register(
    f"mean_over_windows_gradient(Tensor dy, {_GEOMETRY}, SymInt total, bool count_padding) -> Tensor",
    cpu=_window_mean_gradient_on_cpu,
    elsewhere=_window_mean_gradient_elsewhere,
    fake=_mean_fake,
    save=_save_means,
    gradient=_window_mean_gradient_vjp,
)

for _name, _tensors in (
    ("max_over_time", 1),
    ("mean_over_time", 1),
    ("sum_over_time", 1),
    ("last_over_time", 1),
    ("top_k_over_time", 1),
    ("softmax_over_time", 1),
    ("max_over_time_rows", 1),
    ("top_k_over_time_rows", 1),
    ("max_over_windows", 1),
    ("max_over_windows_taps", 1),
    ("max_over_windows_gradient", 2),
    ("mean_over_windows", 1),
    ("mean_over_windows_gradient", 1),
):
    register_vmap_over_features(_name, _tensors)
