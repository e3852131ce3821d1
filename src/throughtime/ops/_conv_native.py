"""The seam to the native convolution: tensors in, tensors out, addresses between.

Everything that crosses is on the CPU, and float32 or float64; the caller has checked shapes.
"""

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops._batch import native_batch
from throughtime.ops._memory import address, contiguous, in_order, uninitialised
from throughtime.ops.windows import Geometry


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    total: int,
    *,
    relu: bool = False,
) -> Tensor:
    """Return (T', O), see `correlate_reference`."""
    x, weight = in_order(x), in_order(weight)
    bias = contiguous(bias)
    batch, _kept = native_batch(geometry, x.shape[0], total)
    y = uninitialised(x, total, weight.shape[0])
    _native.conv_forward(
        _shape(weight, geometry),
        batch,
        torch.get_num_threads(),
        x.data_ptr(),
        weight.data_ptr(),
        address(bias),
        relu,
        y.data_ptr(),
    )
    return y


def input_gradient(
    dy: Tensor,
    weight: Tensor,
    start: Tensor | None,
    geometry: Geometry,
    total: int,
) -> Tensor:
    """Return (T, C): what the gradient of the outputs makes of the inputs, plus ``start`` (C,)."""
    dy, weight = in_order(dy), in_order(weight)
    # The kernel folds what falls on a replicated border into the last token, and each part has its start.
    late, start = (start, None) if geometry.windows.replicate else (None, start)
    start = contiguous(start)
    batch, _kept = native_batch(geometry, total, dy.shape[0])
    dx = uninitialised(dy, total, weight.shape[1] * geometry.groups)
    _native.conv_input_gradient(
        _shape(weight, geometry),
        batch,
        torch.get_num_threads(),
        dy.data_ptr(),
        weight.data_ptr(),
        address(start),
        dx.data_ptr(),
    )
    return dx if late is None else dx.add_(late)


def weight_gradient(
    x: Tensor,
    dy: Tensor,
    geometry: Geometry,
    *,
    bias: bool,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the weight (O, C / groups, K) and of the bias (O,), empty unless wanted."""
    x, dy = in_order(x), in_order(dy)
    batch, _kept = native_batch(geometry, x.shape[0], dy.shape[0])
    dw = x.new_empty(dy.shape[1], x.shape[1] // geometry.groups, geometry.windows.size)
    db = x.new_empty(dy.shape[1] if bias else 0)
    _native.conv_weight_gradient(
        _shape(dw, geometry),
        batch,
        torch.get_num_threads(),
        x.data_ptr(),
        dy.data_ptr(),
        dw.data_ptr(),
        address(db),
    )
    return dw, db


def _shape(weight: Tensor, geometry: Geometry) -> tuple[int, ...]:
    windows, groups = geometry.windows, geometry.groups
    outputs, channels, width = weight.shape
    return (
        weight.dtype == torch.float64,
        windows.replicate,
        channels * groups,
        outputs,
        groups,
        width,
        windows.stride,
        windows.dilation,
        windows.left,
    )
