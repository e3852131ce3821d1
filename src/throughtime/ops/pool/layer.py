r"""Pooling of whole sequences and of windows in time, and which code runs it.

All functions take ``values`` (T, \*D) and their layout. An empty sequence has nothing to pool: its result is
zeros. Windows in time end with their sequence; one in which no window fits becomes empty.

An eager call on plain CPU tensors goes straight to the native kernels, where there is one. torch.compile,
export, tensor subclasses and dispatch modes meet registered operators. Other devices and function transforms
run the reference.
"""

import math

from torch import Tensor

from throughtime.ops._batch import native_windows
from throughtime.ops._empty import known_empty
from throughtime.ops.plain import HALF, as_operator
from throughtime.ops.pool import autograd, native, registered, registered_windows
from throughtime.ops.pool.reference import (
    centred,
    last_over_time_reference,
    max_over_time_reference,
    max_over_windows_reference,
    mean_over_time_reference,
    mean_over_windows_reference,
    root,
    sum_over_time_reference,
    top_k_over_time_reference,
)
from throughtime.ops.window_layouts import windows_laid_out
from throughtime.ops.windows import Divisor, Geometry, Windows
from throughtime.ragged import Layout


def max_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the largest value of each feature over each sequence, (B, \*D); zeros if empty.

    Of equal values the first has the gradient; NaN is larger than all numbers, as in `torch.max`.
    """
    if autograd.takes_at_once(values):
        quick = native.largest_if_plain(values, layout.offsets, *native.whole_windows(layout), 0.0)
        if quick is not None:
            return quick
    if autograd.takes(values):
        return autograd.largest(values, autograd.whole(layout), layout.num_sequences, 0.0)
    call = registered.max_over_time if as_operator(values) else max_over_time_reference
    return call(values, layout)


def mean_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the mean of each feature over each sequence, (B, \*D); zeros if empty."""
    summed = _summed_natively(values, layout, "real")
    if summed is not None:
        return summed
    call = registered.mean_over_time if as_operator(values) else mean_over_time_reference
    return call(values, layout)


def std_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the standard deviation √(Σ (x − μ)² / L) of each feature over each sequence, (B, \*D).

    Zeros if empty. Half precision is computed in float32. The gradient is 0 where all values are the same.
    """
    if values.dtype in HALF:
        return std_over_time(values.float(), layout).to(values.dtype)
    if as_operator(values):
        return registered.std_over_time(values, layout)
    return root(centred(values, layout, mean_over_time)[1])


def sum_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the sum of each feature over each sequence, (B, \*D); zeros if empty."""
    summed = _summed_natively(values, layout, "one")
    if summed is not None:
        return summed
    call = registered.sum_over_time if as_operator(values) else sum_over_time_reference
    return call(values, layout)


def last_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the last token of each sequence, (B, \*D); zeros if empty."""
    call = registered.last_over_time if as_operator(values) else last_over_time_reference
    return call(values, layout)


def top_k_over_time(values: Tensor, layout: Layout, k: int) -> Tensor:
    r"""Return the k largest values of each feature, in the order in which they came: (B, k, \*D).

    A shorter sequence gives all its values, and zeros after them. Of equal values the first are taken.
    """
    call = registered.top_k_over_time if as_operator(values) else top_k_over_time_reference
    return call(values, layout, k)


def softmax_over_time(scores: Tensor, layout: Layout) -> Tensor:
    r"""Return exp(s_t) / Σ_u exp(s_u), the sum over the steps of a token's own sequence: (T, \*D)."""
    if as_operator(scores):
        return registered.softmax_over_time(scores, layout)
    if known_empty(scores):
        return scores
    ids = layout.sequence_ids
    highest = max_over_time(scores.detach(), layout).index_select(0, ids)
    raised = (scores - highest).exp()
    return raised / sum_over_time(raised, layout).index_select(0, ids)


def max_over_windows(
    values: Tensor, layout: Layout, windows: Windows, *, ceil_mode: bool = False
) -> tuple[Tensor, Layout]:
    """Return the largest value of each feature over each window, steps beyond the sequence left out.

    Of equal values the first has the gradient; NaN is larger than all numbers.
    """
    if autograd.takes_at_once(values):
        out = windows_laid_out(layout, windows, ceil_mode=ceil_mode)
        where = layout.offsets, out.offsets, native_windows(windows), out.total
        quick = native.largest_if_plain(values, *where, -math.inf)
        if quick is not None:
            return quick, out
    if autograd.takes(values):
        out = windows_laid_out(layout, windows, ceil_mode=ceil_mode)
        geometry = Geometry(layout.offsets, out.offsets, windows)
        return autograd.largest(values, geometry, out.total, -math.inf), out
    out = _laid_out(layout, windows, ceil_mode=ceil_mode)
    if as_operator(values):
        geometry = Geometry(layout.offsets, out.offsets, windows)
        return registered_windows.max_over_windows(values, geometry, out.total), out
    return max_over_windows_reference(values, layout, out, windows), out


def mean_over_windows(
    values: Tensor,
    layout: Layout,
    windows: Windows,
    *,
    ceil_mode: bool = False,
    count_padding: bool = True,
) -> tuple[Tensor, Layout]:
    """Return the mean of each feature over each window.

    Borders (``windows.left`` and ``right``) are zeros, which are counted unless ``count_padding`` is
    False; what ``ceil_mode`` lets hang over beyond them is not counted.
    """
    divisor: Divisor = "border" if count_padding else "real"
    if autograd.takes_at_once(values):
        out = windows_laid_out(layout, windows, ceil_mode=ceil_mode)
        where = layout.offsets, out.offsets, native_windows(windows), out.total
        quick = native.summed_if_plain(values, *where, divisor)
        if quick is not None:
            return quick, out
    if autograd.takes(values):
        out = windows_laid_out(layout, windows, ceil_mode=ceil_mode)
        geometry = Geometry(layout.offsets, out.offsets, windows)
        return autograd.summed(values, geometry, out.total, divisor), out
    out = _laid_out(layout, windows, ceil_mode=ceil_mode)
    if as_operator(values):
        geometry = Geometry(layout.offsets, out.offsets, windows)
        return registered_windows.mean_over_windows(
            values, geometry, out.total, count_padding=count_padding
        ), out
    return mean_over_windows_reference(values, layout, out, windows, count_padding=count_padding), out


def _summed_natively(values: Tensor, layout: Layout, divisor: Divisor) -> Tensor | None:
    """Return the sum of each sequence over 1, or over its number of steps; None where no kernel takes it."""
    if autograd.takes_at_once(values):
        quick = native.summed_if_plain(values, layout.offsets, *native.whole_windows(layout), divisor)
        if quick is not None:
            return quick
    if autograd.takes(values):
        return autograd.summed(values, autograd.whole(layout), layout.num_sequences, divisor)
    return None


def _laid_out(layout: Layout, windows: Windows, *, ceil_mode: bool) -> Layout:
    lengths = windows.output_lengths(layout.lengths, ceil_mode=ceil_mode)
    return Layout.from_lengths(lengths, layout.offsets.device)
