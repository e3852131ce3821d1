"""Convolution over ragged batches, and which code runs it.

An eager call on plain CPU tensors goes straight to the native kernel. torch.compile, export, tensor
subclasses and dispatch modes meet registered operators. Other devices, function transforms and complex
numbers run the reference.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from throughtime.errors import InputTypeError
from throughtime.ops.conv import autograd, registered
from throughtime.ops.conv.reference import correlate_reference, input_gradient_reference
from throughtime.ops.plain import HALF, compiling, transformed, unobserved, watched
from throughtime.ops.window_layouts import windows_laid_out
from throughtime.ops.windows import Geometry, Windows
from throughtime.ragged import Layout, tracing


def conv1d(
    values: Tensor,
    layout: Layout,
    weight: Tensor,
    bias: Tensor | None,
    windows: Windows,
    groups: int = 1,
    *,
    relu: bool = False,
) -> tuple[Tensor, Layout]:
    """Correlate every sequence with the kernels.

    y[t, o] = bias[o] + Σ_k Σ_c weight[o, c, k] · x[t·stride + k·dilation − left, c]

    Parameters
    ----------
    values : Tensor
        (T, C) input tokens.
    layout
        Their offsets.
    weight : Tensor
        (O, C / groups, K), as torch lays it out.
    bias : Tensor, optional
        (O,).
    windows
        Size, stride, dilation, and what lies beyond both ends of every sequence.
    groups
        Blocks of channels that do not see each other.
    relu
        Whether negative sums become 0.

    Returns
    -------
    values : Tensor
        (T', O).
    layout
        Offsets of the outputs: the lengths that torch would give each sequence alone, 0 if too short.
    """
    if windows.keeps_lengths:
        out, total = layout, values.shape[0]
    else:
        out = _windows_of(layout, windows)
        total = out.total
    geometry = Geometry(layout.offsets, out.offsets, windows, groups)
    call = _implementation(
        values, weight, bias, correlate_reference, registered.correlate, autograd.correlate
    )
    return _computed(call, (values, weight, bias), geometry, total, relu=relu), out


def conv_transpose1d(
    values: Tensor,
    layout: Layout,
    weight: Tensor,
    bias: Tensor | None,
    windows: Windows,
    groups: int = 1,
    output_padding: int = 0,
) -> tuple[Tensor, Layout]:
    """Spread every token over a window of outputs: what `conv1d` gathers, this gives back.

    y[s, c] = bias[c] + Σ weight[o, c, k] · x[t, o] over t·stride + k·dilation − left = s

    Parameters
    ----------
    values : Tensor
        (T, O) input tokens.
    layout
        Their offsets.
    weight : Tensor
        (O, C / groups, K), as torch lays it out.
    bias : Tensor, optional
        (C,).
    windows
        As of the convolution; its ``left`` and ``right`` outputs are cut off.
    groups
        Blocks of channels that do not see each other.
    output_padding
        Outputs more at the end of each sequence.

    Returns
    -------
    values : Tensor
        (T', C).
    layout
        Offsets of the outputs: the lengths that torch would give each sequence alone, 0 where none is left.
    """
    lengths = layout.lengths
    longer = (lengths - 1) * windows.stride + (windows.reach + 1 + output_padding)
    longer = longer - (windows.left + windows.right)
    out = Layout.from_lengths(torch.where(lengths == 0, 0, longer.clamp(min=0)), layout.offsets.device)
    geometry = Geometry(out.offsets, layout.offsets, windows, groups)
    call = _implementation(
        values,
        weight,
        bias,
        input_gradient_reference,
        registered.input_gradient,
        autograd.input_gradient,
    )
    return _computed(call, (values, weight, bias), geometry, out.total), out


def _windows_of(layout: Layout, windows: Windows) -> Layout:
    if layout.offsets.is_cpu and unobserved():
        return windows_laid_out(layout, windows)
    return Layout.from_lengths(windows.output_lengths(layout.lengths), layout.offsets.device)


Call = Callable[..., Tensor]


def _implementation(
    x: Tensor, weight: Tensor, bias: Tensor | None, reference: Call, registered: Call, eager: Call
) -> Call:
    """Return the function that these tensors can go through."""
    if x.is_complex():  # the kernels support real numbers only
        return reference
    if compiling(x):
        return registered
    if transformed() or tracing() or not x.is_cpu:
        return reference
    return registered if watched(x, weight, bias) else eager


def _computed(
    call: Call, tensors: tuple[Tensor, Tensor, Tensor | None], geometry: Geometry, total: int, **options: Any
) -> Tensor:
    """Call in float32 or float64, and return what torch would: the autocast dtype, or that of the tensors."""
    x, weight, _ = tensors
    if x.device != weight.device:
        raise InputTypeError(
            f"the tokens are on {x.device}, but the weight is on {weight.device}; move one of them with "
            ".to(device)"
        )
    device = x.device.type
    autocast = device != "meta" and torch.is_autocast_enabled(device) and x.dtype != torch.float64
    result = torch.get_autocast_dtype(device) if autocast else x.dtype
    if not autocast and x.dtype != weight.dtype:
        raise InputTypeError(
            f"the tokens are {x.dtype} but the weight is {weight.dtype}; convert one of them with .to(dtype)"
        )
    if autocast or x.dtype in HALF:
        tensors = tuple(None if t is None else t.float() for t in tensors)  # type: ignore[assignment]
        with torch.autocast(device, enabled=False):
            return call(*tensors, geometry, total, **options).to(result)
    return call(*tensors, geometry, total, **options)
