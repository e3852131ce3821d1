"""Splitting and concatenation of ragged batches. Every result is a view or a gather of the values."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.ragged._layout import Layout, checked_lengths


def take(
    values: Tensor, layout: Layout, starts: Tensor, lengths: Tensor, stride: int = 1
) -> tuple[Tensor, Layout]:
    """Gather ``lengths`` tokens per sequence from ``starts`` in ``values``, with a stride (CPU tensors)."""
    result = Layout.from_lengths(lengths, layout.offsets.device)
    shifts = (starts - result.host_offsets[:-1] * stride).to(values.device)
    steps = torch.arange(0, result.total * stride, stride, device=values.device)
    return values.index_select(0, steps + shifts.index_select(0, result.sequence_ids)), result


def contiguous(values: Tensor, layout: Layout, start: int, stop: int) -> tuple[Tensor, Layout]:
    """Return the sequences from ``start`` to before ``stop`` as a view."""
    host = layout.host_offsets[start : stop + 1]
    view = values[int(host[0]) : int(host[-1])]
    return view, Layout(layout.offsets[start : stop + 1] - layout.offsets[start], host - host[0])


def split(values: Tensor, layout: Layout, sizes: int | Sequence[int]) -> list[tuple[Tensor, Layout]]:
    """Split into batches with ``sizes`` sequences."""
    count = len(layout)
    if isinstance(sizes, int):
        if sizes < 1:
            raise ShapeError(f"split sizes must be at least 1 sequence, got {sizes}")
        sizes = [min(sizes, count - start) for start in range(0, count, sizes)]
    host = checked_lengths(sizes)
    if int(host.sum()) != count:
        raise ShapeError(
            f"split sizes add up to {int(host.sum())}, but there are {count} sequences; they must be equal"
        )
    bounds = [0, *host.cumsum(0).tolist()]
    return [contiguous(values, layout, start, stop) for start, stop in pairwise(bounds)]


def cat_time(parts: Sequence[tuple[Tensor, Layout]]) -> tuple[Tensor, Layout]:
    """Concatenate in time: sequence b of the result is the b-th sequence of each part in turn."""
    lengths = torch.stack([layout.lengths for _, layout in parts])
    joined = Layout.from_lengths(lengths.sum(0), parts[0][1].offsets.device)
    starts = (lengths.cumsum(0) - lengths).to(joined.offsets.device) + joined.offsets[:-1]
    targets = torch.cat(
        [
            start.index_select(0, layout.sequence_ids) + layout.positions
            for start, (_, layout) in zip(starts, parts, strict=True)
        ]
    )
    index = torch.empty_like(targets)
    index[targets] = torch.arange(joined.total, device=index.device)
    return torch.cat([values for values, _ in parts]).index_select(0, index), joined


def split_time(
    values: Tensor, layout: Layout, steps: int | Tensor | Sequence[int]
) -> tuple[tuple[Tensor, Layout], tuple[Tensor, Layout]]:
    """Split every sequence after its first ``steps`` tokens."""
    if isinstance(steps, int):
        steps = torch.full((layout.num_sequences,), steps, dtype=torch.int64)
    heads = checked_lengths(steps, layout.num_sequences).minimum(layout.lengths)
    starts = layout.host_offsets[:-1]
    head = take(values, layout, starts, heads)
    tail = take(values, layout, starts + heads, layout.lengths - heads)
    return head, tail
