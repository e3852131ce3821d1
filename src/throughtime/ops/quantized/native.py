"""Calls of the kernels with int8 weights: tensors in, tensors out.

Everything that crosses is on the CPU; activations are float32.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import called, checked_offsets, native_windows
from throughtime.ops._memory import contiguous, in_order
from throughtime.ops.recurrent.native import native_cell
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import RAGGED, Steps
from throughtime.ops.windows import Geometry


class PackedMap(NamedTuple):
    """A matrix (O, D), or (O, K, C) of a convolution, and its bias, as the kernels read them."""

    weight: Tensor
    """(panels, groups, width, 4) int8."""
    scale: Tensor
    """(panels · width,) float32."""
    bias: Tensor
    """As the scale."""


class PackedDirection(NamedTuple):
    """One direction of a recurrent layer, as the kernels read it; a panel has the gates of 16 units."""

    ih: Tensor
    ih_scale: Tensor
    hh: Tensor
    hh_scale: Tensor
    bias: Tensor
    """As the scales: both biases, but only b_ih of the n gate of a GRU."""
    bias_late: Tensor | None
    """(panels · 16,): b_hh of the n gate of a GRU."""


def linear(x: Tensor, weights: PackedMap, columns: int) -> Tensor:
    """Return (…, O), see `linear_reference`."""
    y: Tensor = called(_native.quantized_linear, (x, *weights), columns=columns)
    return y


def correlate(x: Tensor, weights: PackedMap, geometry: Geometry, columns: int, total: int) -> Tensor:
    """Return (T', O), see `correlate_reference`."""
    y: Tensor = called(
        _native.quantized_correlate,
        (x, *weights, geometry.offsets, geometry.out_offsets),
        windows=native_windows(geometry.windows),
        columns=columns,
        total=total,
    )
    return y


def recurrent_layer(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[PackedDirection, ...],
    hidden: int,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return y (T, D·H), h_n and c_n (D, B, H), see `recurrent_layer_reference`."""
    run, cell, threads = _native.quantized_recurrent, native_cell(spec), torch.get_num_threads()
    weights: tuple[Any, ...] = sum(directions, ())
    result = run(cell, steps, hidden, x, h0, c0, weights, threads=threads, in_order=False)
    if result is None:
        index = steps.index
        if index is not None:
            index = checked_offsets(index, len(x)) if steps.order == RAGGED else index.contiguous()
        steps = steps._replace(index=index, reset=contiguous(steps.reset))
        x, h0, c0, weights = in_order(x), contiguous(h0), contiguous(c0), tuple(map(contiguous, weights))
        result = run(cell, steps, hidden, x, h0, c0, weights, threads=threads, in_order=True)
    return cast("tuple[Tensor, Tensor, Tensor | None]", result)
