"""Cross-correlation over ragged batches: the borders of each sequence are its own.

The plain form: every sequence gets its zeros at both ends in one long buffer, and the result is the sum
over taps of shifted matrix products, read at the windows that lie within a sequence.
"""

from typing import Any, NamedTuple

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
    keeps_lengths = windows.stride == 1 and border == windows.reach
    out = layout if keeps_lengths else _output_layout(layout, windows)
    if out.total == 0:
        return zeros_of((0, weight.shape[0]), values, weight, bias), out
    buffer = values
    if border:
        places = torch.arange(layout.total, device=values.device) + layout.sequence_ids * border
        buffer = values.new_zeros(layout.total + len(layout) * border, values.shape[1])
        buffer = buffer.index_copy(0, places + windows.left, values)
    starts = layout.offsets[:-1] + torch.arange(len(layout), device=values.device) * border
    first = starts.index_select(0, out.sequence_ids) + out.positions * windows.stride
    if groups == 1 and windows.stride == 1:
        result = _dense_taps(buffer, weight, windows.dilation).index_select(0, first)
    else:
        result = _gathered_taps(buffer, first, weight, windows.dilation, groups)
    return result if bias is None else result + bias, out


def _output_layout(layout: Layout, windows: Windows) -> Layout:
    return Layout.from_lengths(windows.output_lengths(layout.lengths), layout.offsets.device)


class _DenseTaps(torch.autograd.Function):
    """Sum over taps of shifted rows times that tap's matrix, at every position of the buffer.

    The sum of products as autograd would have it makes a tensor for each tap, forward and backward; here
    they add up in place. The backward pass is made of torch's own operations, so it has a gradient, too.
    """

    @staticmethod
    def forward(ctx: Any, buffer: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(buffer, weight)
        ctx.dilation = dilation
        rows = _shifted(buffer, weight.shape[2], dilation)
        total = rows[0] @ weight[:, :, 0].t()
        for k in range(1, len(rows)):
            total.addmm_(rows[k], weight[:, :, k].t())
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        buffer, weight = ctx.saved_tensors
        to_buffer = to_weight = None
        if ctx.needs_input_grad[0]:
            to_buffer = torch.zeros_like(buffer)
            for k, rows in enumerate(_shifted(to_buffer, weight.shape[2], ctx.dilation)):
                rows.addmm_(gradient, weight[:, :, k])
        if ctx.needs_input_grad[1]:
            rows_of_taps = _shifted(buffer, weight.shape[2], ctx.dilation)
            to_weight = torch.stack([gradient.t() @ rows for rows in rows_of_taps], 2)
        return to_buffer, to_weight, None


def _dense_taps(buffer: Tensor, weight: Tensor, dilation: int) -> Tensor:
    total: Tensor = _DenseTaps.apply(buffer, weight, dilation)  # type: ignore[no-untyped-call]
    return total


def _shifted(buffer: Tensor, size: int, dilation: int) -> list[Tensor]:
    """Return the rows that each tap sees, as views."""
    positions = buffer.shape[0] - dilation * (size - 1)
    return [buffer[k * dilation : k * dilation + positions] for k in range(size)]


def _gathered_taps(buffer: Tensor, first: Tensor, weight: Tensor, dilation: int, groups: int) -> Tensor:
    """Compute the same for windows that begin at given rows alone, and for groups of channels."""
    kernels = weight.unflatten(0, (groups, -1))

    def tap(k: int) -> Tensor:
        rows = buffer.index_select(0, first + k * dilation).unflatten(1, (groups, -1))
        return torch.einsum("ngc,goc->ngo", rows, kernels[..., k])

    total = tap(0)
    for k in range(1, weight.shape[2]):
        total = total + tap(k)
    return total.flatten(1)
