"""Layouts of windows in time, counted natively: how many each sequence has, and which sequence has none."""

from typing import TYPE_CHECKING, cast

from throughtime import _native
from throughtime.ops._batch import native_windows
from throughtime.ops._memory import in_order
from throughtime.ops.plain import unobserved
from throughtime.ops.windows import Windows
from throughtime.ragged import Layout

if TYPE_CHECKING:
    from torch import Tensor


def windows_laid_out(layout: Layout, windows: Windows, *, ceil_mode: bool = False) -> Layout:
    """Return the layout of the windows of each sequence, in host memory, see `Windows.output_lengths`."""
    offsets, slid = layout.host_offsets, native_windows(windows)
    laid_out = _native.window_offsets(offsets, windows=slid, ceil_mode=ceil_mode, in_order=False)
    if laid_out is None:
        ordered = in_order(offsets)
        laid_out = _native.window_offsets(ordered, windows=slid, ceil_mode=ceil_mode, in_order=True)
    out, total = cast("tuple[Tensor, int]", laid_out)
    return Layout(out, out, total)


def first_too_short(layout: Layout, out: Layout) -> int | None:
    """Return the first sequence with tokens but without a window, −1 for none, None if it is unknown."""
    if not (unobserved() and layout.offsets.is_cpu and out.offsets.is_cpu):
        return None
    return _native.first_without_windows(layout.offsets, out.offsets, in_order=False)
