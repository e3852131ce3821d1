r"""Pooling over windows as operators of torch, for torch.compile, export, subclasses and modes.

Values are (T, \*D), offsets (B + 1,) int64, results (T', \*D) for the ``out_offsets`` of the windows.
Gradients are operators, too, whose own gradients are the operators before them.
"""

from typing import Any

import torch
from torch import Tensor

from throughtime.ops._registering import in_full, register, register_vmap_over_features
from throughtime.ops.pool import native
from throughtime.ops.pool.reference import (
    at_largest_reference,
    max_gradient_reference,
    max_over_windows_reference,
    max_taps_reference,
    mean_gradient_reference,
    mean_over_windows_reference,
)
from throughtime.ops.windows import Divisor, Geometry, Windows
from throughtime.ragged import Layout

_GEOMETRY = "Tensor offsets, Tensor out_offsets, int[] windows"


def max_over_windows(values: Tensor, geometry: Geometry, total: int) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.max_over_windows`."""
    return in_full(_WINDOW_MAX, values, *_flat(geometry), total)


def mean_over_windows(values: Tensor, geometry: Geometry, total: int, *, count_padding: bool) -> Tensor:
    """Call the operator, see `throughtime.ops.pool.layer.mean_over_windows`."""
    return in_full(_WINDOW_MEAN, values, *_flat(geometry), total, count_padding)


def _flat(geometry: Geometry) -> tuple[Tensor, Tensor, list[int]]:
    return geometry.offsets, geometry.out_offsets, geometry.windows.numbers()


def _geometry(offsets: Tensor, out_offsets: Tensor, windows: list[int]) -> Geometry:
    return Geometry(offsets, out_offsets, Windows.of(windows))


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
    if not native.reads(values):
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
    if native.reads(values):
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
    if not native.reads(dy):
        return _window_max_gradient_elsewhere(dy, taps, *rest)
    return native.largest_gradient(dy, taps, _geometry(*plain), total)


def _window_mean_elsewhere(values: Tensor, *rest: Any) -> Tensor:
    *plain, total, count_padding = rest
    geometry = _geometry(*plain)
    layouts = _layouts(values, geometry, total)
    return mean_over_windows_reference(values, *layouts, geometry.windows, count_padding=count_padding)


def _window_mean_on_cpu(values: Tensor, *rest: Any) -> Tensor:
    if not native.reads(values):
        return _window_mean_elsewhere(values, *rest)
    *plain, total, count_padding = rest
    return native.summed(values, _geometry(*plain), total, _divisor(count_padding))


def _window_mean_gradient_elsewhere(dy: Tensor, *rest: Any) -> Tensor:
    *plain, total, count_padding = rest
    return mean_gradient_reference(dy, _geometry(*plain), total, _divisor(count_padding))


def _window_mean_gradient_on_cpu(dy: Tensor, *rest: Any) -> Tensor:
    if not native.reads(dy):
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
    ("max_over_windows", 1),
    ("max_over_windows_taps", 1),
    ("max_over_windows_gradient", 2),
    ("mean_over_windows", 1),
    ("mean_over_windows_gradient", 1),
):
    register_vmap_over_features(_name, _tensors)
