"""Pooling over ragged batches: over whole sequences, and over windows in time.

An empty sequence has nothing to pool: its result over the whole sequence is zeros, over windows nothing.
"""

import torch
from torch import Tensor

from throughtime.ops._empty import zeros_of
from throughtime.ops.windows import Windows
from throughtime.ragged import Layout


def max_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the largest value of each feature over each sequence, (B, \*D); zeros if empty."""
    if layout.total == 0:
        return zeros_of((len(layout), *values.shape[1:]), values)
    places = layout.sequence_ids * layout.longest + layout.positions
    rows = values.new_full((len(layout) * layout.longest, *values.shape[1:]), -torch.inf)
    rows = rows.index_copy(0, places, values).unflatten(0, (len(layout), layout.longest))
    return _zeros_where_empty(rows.max(dim=1).values, layout)


def mean_over_time(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the mean of each feature over each sequence, (B, \*D); zeros if empty."""
    total = values.new_zeros(len(layout), *values.shape[1:])
    total = total.index_add(0, layout.sequence_ids, values)
    lengths = layout.offsets.diff().clamp(min=1).to(values.dtype)
    return total / lengths.view(-1, *(1,) * (values.dim() - 1))


def last_step(values: Tensor, layout: Layout) -> Tensor:
    r"""Return the last token of each sequence, (B, \*D); zeros if empty."""
    if layout.total == 0:
        return zeros_of((len(layout), *values.shape[1:]), values)
    last = (layout.offsets[1:] - 1).clamp(min=0)
    return _zeros_where_empty(values.index_select(0, last), layout)


def max_over_windows(values: Tensor, layout: Layout, windows: Windows) -> tuple[Tensor, Layout]:
    """Return the largest value of each feature over each full window, and the offsets of the windows."""
    out = Layout.from_lengths(windows.output_lengths(layout.lengths), layout.offsets.device)
    first = layout.offsets[:-1].index_select(0, out.sequence_ids) + out.positions * windows.stride
    taps = torch.arange(windows.size, device=values.device) * windows.dilation
    tokens = values.index_select(0, (first[:, None] + taps).flatten())
    if out.total == 0:
        return tokens, out
    return tokens.unflatten(0, (out.total, windows.size)).max(dim=1).values, out


def _zeros_where_empty(pooled: Tensor, layout: Layout) -> Tensor:
    if layout.lengths.all():
        return pooled
    empty = (layout.offsets.diff() == 0).view(-1, *(1,) * (pooled.dim() - 1))
    return pooled.masked_fill(empty, 0)
