"""Correlation in time in plain PyTorch, and the two gradients of it: short, right, differentiable.

The kernels are tested against it; other devices and torch's function transforms run it. It gathers the rows
that a tap sees, one tap after the other.
"""

import torch
from torch import Tensor

from throughtime.ops.windows import Geometry


def correlate_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, total: int, *, relu: bool = False
) -> Tensor:
    """Return y of (T', O).

    y[t, o] = bias[o] + Σ_k Σ_c weight[o, c, k] · x[t·stride + k·dilation − left, c]
    """
    extended = torch.cat([x, x.new_zeros(1, x.shape[1])])
    kernels = weight.unflatten(0, (geometry.groups, -1))
    y = x.new_zeros(total, weight.shape[0])
    for k, rows in enumerate(_rows_of_taps(geometry, x.shape[0], total)):
        seen = extended.index_select(0, rows).unflatten(1, (geometry.groups, -1))
        y = y + torch.einsum("ngc,goc->ngo", seen, kernels[..., k]).flatten(1)
    y = y if bias is None else y + bias
    return y.relu() if relu else y


def input_gradient_reference(
    dy: Tensor, weight: Tensor, start: Tensor | None, geometry: Geometry, total: int
) -> Tensor:
    """Return dx of (T, C) for dy of (T', O), plus ``start`` (C,)."""
    kernels = weight.unflatten(0, (geometry.groups, -1))
    dx = dy.new_zeros(total + 1, weight.shape[1] * geometry.groups)
    for k, rows in enumerate(_rows_of_taps(geometry, total, dy.shape[0])):
        parts = torch.einsum("ngo,goc->ngc", dy.unflatten(1, (geometry.groups, -1)), kernels[..., k])
        dx = dx.index_add(0, rows, parts.flatten(1))
    dx = dx[:total]
    return dx if start is None else dx + start


def weight_gradient_reference(
    x: Tensor, dy: Tensor, geometry: Geometry, *, bias: bool
) -> tuple[Tensor, Tensor]:
    """Return dw of (O, C / groups, K), and db of (O,), empty unless ``bias``."""
    extended = torch.cat([x, x.new_zeros(1, x.shape[1])])
    grouped = dy.unflatten(1, (geometry.groups, -1))
    taps = []
    for rows in _rows_of_taps(geometry, x.shape[0], dy.shape[0]):
        seen = extended.index_select(0, rows).unflatten(1, (geometry.groups, -1))
        taps.append(torch.einsum("ngc,ngo->goc", seen, grouped).flatten(0, 1))
    return torch.stack(taps, 2), dy.sum(0) if bias else dy.new_zeros(0)


def _rows_of_taps(geometry: Geometry, total: int, out_total: int) -> list[Tensor]:
    """Return for each tap which row every window sees there; ``total`` for a row of zeros."""
    offsets, out_offsets, windows, _ = geometry
    ids = torch.repeat_interleave(out_offsets.diff(), output_size=out_total)
    steps = torch.arange(out_total, device=offsets.device) - out_offsets[:-1].index_select(0, ids)
    first = offsets[:-1].index_select(0, ids)
    last = offsets[1:].index_select(0, ids) - 1
    rows = []
    for k in range(windows.size):
        place = first + steps * windows.stride + (k * windows.dilation - windows.left)
        if windows.replicate:
            rows.append(place.clamp(first, last))
        else:
            rows.append(torch.where((place < first) | (place > last), total, place))
    return rows
