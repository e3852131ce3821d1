"""Conversions of ragged batches: lists, padded tensors, packed sequences, jagged nested tensors.

The functions take and return tensors and layouts; they are methods of the class `Ragged`. Each function
checks its input, and gradients flow through all of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.nn.utils.rnn import PackedSequence

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ragged._layout import Layout, checked_lengths
from throughtime.ragged._transforms import assert_when_run


def from_list(sequences: Sequence[Tensor]) -> tuple[Tensor, Layout]:
    """Concatenate the sequences."""
    sequences = list(sequences)
    if not sequences:
        raise ShapeError(
            "from_list got no sequences, so the feature shape and dtype are unknown; "
            "use Ragged.empty(*feature_shape, dtype=...)"
        )
    for i, sequence in enumerate(sequences):
        _check_sequence(sequence, sequences[0], i)
    lengths = torch.tensor([sequence.shape[0] for sequence in sequences], dtype=torch.int64)
    return torch.cat(sequences), Layout.from_lengths(lengths, sequences[0].device)


def _check_sequence(sequence: object, first: Tensor, index: int) -> None:
    if not isinstance(sequence, Tensor):
        raise InputTypeError(
            f"sequence {index} is a {type(sequence).__name__}, expected a Tensor (length, *features); "
            "convert it with torch.as_tensor"
        )
    if sequence.dim() == 0:
        raise ShapeError(f"sequence {index} is a single number; expected (length, *features)")
    if sequence.shape[1:] != first.shape[1:]:
        raise ShapeError(
            f"sequence {index} has feature shape {tuple(sequence.shape[1:])}, but sequence 0 has "
            f"{tuple(first.shape[1:])}; they must agree"
        )
    if sequence.dtype != first.dtype or sequence.device != first.device:
        raise InputTypeError(
            f"sequence {index} is {sequence.dtype} on {sequence.device}, but sequence 0 is {first.dtype} on "
            f"{first.device}; convert them to one dtype and device with .to()"
        )


def from_padded(
    padded: Tensor, lengths: object, mask: Tensor | None, *, batch_first: bool
) -> tuple[Tensor, Layout]:
    """Extract the real tokens of a padded batch, given lengths or a mask."""
    if not isinstance(padded, Tensor) or padded.dim() < 2:
        shape = tuple(padded.shape) if isinstance(padded, Tensor) else type(padded).__name__
        raise ShapeError(f"padded must have shape (B, length, *features), got {shape}")
    if (lengths is None) == (mask is None):
        raise ShapeError(
            f"from_padded needs either lengths or mask, got {'neither' if mask is None else 'both'}; padding "
            "is not inferred from values"
        )
    rows = padded if batch_first else padded.transpose(0, 1)
    if mask is None:
        return _padded_by_lengths(rows, lengths)
    mask = mask if batch_first or mask.dim() != 2 else mask.transpose(0, 1)
    return _padded_by_mask(rows, mask)


def _padded_by_lengths(rows: Tensor, lengths: object) -> tuple[Tensor, Layout]:
    host = checked_lengths(lengths, rows.shape[0])
    _check_steps(host, rows.shape[1])
    layout = Layout.from_lengths(host, rows.device)
    return _flat(rows).index_select(0, _padded_index(layout, rows.shape[1])), layout


def _check_steps(lengths: Tensor, steps: int) -> None:
    """Refuse lengths of more steps than the padded batch has, in a compiled graph when it runs."""
    if is_compiling():
        within = (lengths >= 0) & (lengths <= steps)
        assert_when_run(within, "lengths must be between 0 and the number of steps of the padded batch")
    elif len(lengths) and int(lengths.max()) > steps:
        row = int(lengths.argmax())
        raise ShapeError(
            f"lengths[{row}] = {int(lengths[row])}, but the padded batch has {steps} steps; lengths "
            "must not exceed them"
        )


def _padded_by_mask(rows: Tensor, mask: Tensor) -> tuple[Tensor, Layout]:
    if mask.dtype != torch.bool or mask.shape != rows.shape[:2]:
        raise ShapeError(
            f"mask must be bool of shape {tuple(rows.shape[:2])} (True where a token is real), "
            f"got {mask.dtype} of shape {tuple(mask.shape)}"
        )
    mask = mask.to(rows.device)
    is_first = torch.arange(mask.shape[1], device=mask.device) == 0
    starts = mask & (is_first | ~mask.roll(1, 1))
    lengths, runs = torch.stack([mask.sum(1), starts.sum(1)]).cpu()
    _check_runs(runs)
    values, layout = rows[mask], Layout.from_lengths(lengths, rows.device)
    if is_compiling():
        torch._check(values.shape[0] == layout.total)  # noqa: SLF001 - both are values of the graph
    return values, layout


def _check_runs(runs: Tensor) -> None:
    """Refuse rows of a mask with tokens in several places, in a compiled graph when it runs."""
    if is_compiling():
        assert_when_run(runs <= 1, "a row of the mask has padding between its tokens")
    elif (runs > 1).any():
        row = int((runs > 1).nonzero()[0])
        raise ShapeError(
            f"row {row} of the mask has padding between its tokens, so removing it would join distant steps; "
            "if this is intended, use Ragged.from_lengths(padded[mask], mask.sum(1)), batch first"
        )


def to_padded(
    values: Tensor, layout: Layout, padding_value: float, length: int | None, *, batch_first: bool
) -> Tensor:
    """Return the padded batch, with padding at the end of each row."""
    width = layout.longest if length is None else length
    if length is not None:
        _check_width(layout, length)
    flat = values.new_full((layout.num_sequences * width, *values.shape[1:]), padding_value)
    rows = flat.index_copy(0, _padded_index(layout, width), values)
    rows = rows.reshape(layout.num_sequences, width, *values.shape[1:])
    return rows if batch_first else rows.transpose(0, 1)


def _check_width(layout: Layout, length: int) -> None:
    """Refuse a padded length below that of the longest sequence, in a compiled graph when it runs."""
    if is_compiling():
        assert_when_run(layout.lengths <= length, "length is less than that of the longest sequence")
    elif length < layout.longest:
        raise ShapeError(
            f"length {length} is less than that of the longest sequence, {layout.longest}; give at least "
            "this length"
        )


def _padded_index(layout: Layout, width: int) -> Tensor:
    return layout.sequence_ids * width + layout.positions


def _flat(rows: Tensor) -> Tensor:
    return rows.reshape(rows.shape[0] * rows.shape[1], *rows.shape[2:])


def from_packed(packed: PackedSequence) -> tuple[Tensor, Layout]:
    """Return the values and layout of a packed sequence, in the original order of sequences."""
    if not isinstance(packed, PackedSequence):
        raise InputTypeError(f"from_packed takes a PackedSequence, got {type(packed).__name__}")
    data, batch_sizes = packed.data, packed.batch_sizes
    ranks = torch.arange(batch_sizes[0].item())  # symbolic in torch.export, unlike int()
    sorted_lengths = (batch_sizes[None, :] > ranks[:, None]).sum(1)
    lengths = sorted_lengths
    if packed.unsorted_indices is not None:
        lengths = sorted_lengths[packed.unsorted_indices.cpu()]
    layout = Layout.from_lengths(lengths, data.device)
    return data.index_select(0, _packed_index(layout, batch_sizes, packed.unsorted_indices)), layout


def to_packed(values: Tensor, layout: Layout) -> PackedSequence:
    """Return a packed sequence with the longest sequence first, as `torch.nn.utils.rnn.pack_sequence`."""
    lengths = layout.lengths
    if not len(layout):
        raise ShapeError("a PackedSequence cannot be an empty batch; check len(ragged) before to_packed()")
    if int(lengths.min()) == 0:
        row = int(lengths.argmin())
        raise ShapeError(
            f"a PackedSequence cannot have zero-length sequences, but sequence {row} has length 0; "
            "drop them with ragged[ragged.lengths > 0]"
        )
    order = torch.argsort(lengths, descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    steps = torch.arange(layout.longest)
    batch_sizes = (lengths[None, :] > steps[:, None]).sum(1)
    device = values.device
    index = _packed_index(layout, batch_sizes, ranks.to(device))
    inverse = torch.empty_like(index)
    inverse[index] = torch.arange(layout.total, device=device)
    return PackedSequence(values.index_select(0, inverse), batch_sizes, order.to(device), ranks.to(device))


def _packed_index(layout: Layout, batch_sizes: Tensor, ranks: Tensor | None) -> Tensor:
    """Return the index in the packed data of each token of the ragged batch."""
    device = layout.offsets.device
    starts = (batch_sizes.cumsum(0) - batch_sizes).to(device)
    if ranks is None:
        ranks = torch.arange(layout.num_sequences, device=device)
    return starts.index_select(0, layout.positions) + ranks.index_select(0, layout.sequence_ids)


def from_nested(nested: Tensor) -> tuple[Tensor, Layout]:
    """Return values and layout of a jagged nested tensor (B, j, *features); copied only if it has gaps."""
    if not isinstance(nested, Tensor) or not nested.is_nested:
        raise InputTypeError(f"from_nested takes a nested tensor, got {type(nested).__name__}")
    if nested.layout != torch.jagged:
        raise InputTypeError(
            "from_nested takes layout torch.jagged, got torch.strided; "
            "create it with torch.nested.nested_tensor(..., layout=torch.jagged)"
        )
    if nested.dim() < 2 or isinstance(nested.shape[1], int):
        raise ShapeError(
            "from_nested takes (B, j, *features) with the ragged dimension second, got "
            f"{tuple(nested.shape)}; transpose it first"
        )
    jagged: Any = nested  # torch types neither lengths() nor offsets()
    if jagged.lengths() is not None:
        return from_list(nested.unbind())
    values = nested.values()
    return values, Layout(jagged.offsets().to(torch.int64), total=values.shape[0])


def to_nested(values: Tensor, layout: Layout) -> Tensor:
    """Return a jagged nested tensor that shares the storage of the values."""
    nested: Tensor = torch.nested.nested_tensor_from_jagged(values, layout.offsets)
    return nested
