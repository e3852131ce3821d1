"""Cross-correlation over ragged batches: the borders of each sequence are its own.

The plain form: every sequence gets its zeros at both ends in one long buffer, and the result is the sum
over taps of shifted matrix products, read at the windows that lie within a sequence.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.ops._empty import zeros_of
from throughtime.ragged import Layout


class Windows(NamedTuple):
    """Geometry of a convolution in time, in steps."""

    size: int
    stride: int = 1
    dilation: int = 1
    left: int = 0
    right: int = 0

    @property
    def reach(self) -> int:
        """Steps from the first to the last tap of a window."""
        return self.dilation * (self.size - 1)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return how many windows fit each length, as torch counts them; 0 where none does.

        An empty sequence has no windows, however wide its borders (torch refuses it).
        """
        room = lengths + (self.left + self.right - self.reach - 1)
        count = room.div(self.stride, rounding_mode="floor") + 1
        return torch.where((room < 0) | (lengths == 0), 0, count)


def conv1d(
    values: Tensor,
    layout: Layout,
    weight: Tensor,
    bias: Tensor | None,
    windows: Windows,
    groups: int = 1,
) -> tuple[Tensor, Layout]:
    """Correlate every sequence with the kernels.

    y[t, o] = bias[o] + Σ_k Σ_c weight[o, c, k] · x[t·stride + k·dilation − left, c], x zero outside of the
    sequence.

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
        Size, stride, dilation and the zeros at both ends of every sequence.
    groups
        Blocks of channels that do not see each other.

    Returns
    -------
    values : Tensor
        (T', O).
    layout
        Offsets of the outputs: the lengths that torch would give each sequence alone, 0 if too short.
    """
    border = windows.left + windows.right
    out = Layout.from_lengths(windows.output_lengths(layout.lengths), layout.offsets.device)
    if out.total == 0:
        return zeros_of((0, weight.shape[0]), values, weight, bias), out
    buffer = values
    if border:
        places = torch.arange(layout.total, device=values.device) + layout.sequence_ids * border
        buffer = values.new_zeros(layout.total + len(layout) * border, values.shape[1])
        buffer = buffer.index_copy(0, places + windows.left, values)
    starts = layout.offsets[:-1] + torch.arange(len(layout), device=values.device) * border
    first = starts.index_select(0, out.sequence_ids) + out.positions * windows.stride
    return _sum_of_taps(buffer, first, weight, bias, windows, groups), out


def _sum_of_taps(
    buffer: Tensor, first: Tensor, weight: Tensor, bias: Tensor | None, windows: Windows, groups: int
) -> Tensor:
    dense = windows.stride == 1
    positions = buffer.shape[0] - windows.reach

    def tap(k: int) -> Tensor:
        shift = k * windows.dilation
        rows = buffer[shift : shift + positions] if dense else buffer.index_select(0, first + shift)
        return _product(rows, weight[:, :, k], groups)

    total = tap(0)
    for k in range(1, windows.size):
        total = total + tap(k)
    if dense:
        total = total.index_select(0, first)
    return total if bias is None else total + bias


def _product(rows: Tensor, weight: Tensor, groups: int) -> Tensor:
    if groups == 1:
        return rows @ weight.t()
    blocks = rows.unflatten(1, (groups, -1))
    kernels = weight.unflatten(0, (groups, -1))
    return torch.einsum("ngc,goc->ngo", blocks, kernels).flatten(1)
