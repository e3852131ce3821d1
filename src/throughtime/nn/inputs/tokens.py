"""The kinds of input that a recurrent layer takes: each as rows of tokens, and back to the kind it was."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from throughtime.errors import InputTypeError, ShapeError, UnsupportedError
from throughtime.nn.inputs.output import check_real
from throughtime.nn.inputs.precision import under_autocast
from throughtime.ops.recurrent.steps import Steps, dense_steps, packed_steps, ragged_steps
from throughtime.ragged import Layout, Ragged

Input = Tensor | PackedSequence | Ragged


def checked(x: Any, features: int, weight: Tensor, layer: str) -> Input:
    """Return the input if a layer with this many input features and this weight can read it."""
    if isinstance(x, Ragged):
        tokens, expected = x.values, 2
    elif isinstance(x, PackedSequence):
        _check_batch_sizes(x, layer)
        tokens, expected = x.data, 2
    elif isinstance(x, Tensor):
        tokens, expected = x, 3
    else:
        raise InputTypeError(f"{layer} takes a Tensor, a PackedSequence or a Ragged, got {type(x).__name__}")
    if tokens.dim() != expected and not (expected == 3 and tokens.dim() == 2):
        shapes = (
            "(T, features) for the tokens" if expected == 2 else "(L, features) or two batched dimensions"
        )
        raise ShapeError(
            f"{layer} takes {shapes} of {features} features, got a tensor of shape {tuple(tokens.shape)}"
        )
    if tokens.shape[-1] != features:
        raise ShapeError(
            f"{layer} expects {features} features per token, got tokens of shape {tuple(tokens.shape[1:])}"
            if expected == 2
            else f"{layer} expects {features} features per token, got a tensor of shape {tuple(tokens.shape)}"
        )
    check_dtype_and_device(tokens, weight, "the input", layer)
    found: Input = x
    return found


def _check_batch_sizes(x: PackedSequence, layer: str) -> None:
    """Refuse a PackedSequence that was put together by hand and does not describe its data."""
    sizes = x.batch_sizes
    if torch.compiler.is_compiling():
        # torch.export gives the batch sizes of pack_padded_sequence the dtype of the data.
        if sizes.dtype != torch.int64:
            raise UnsupportedError(
                f"{layer}: torch.export records a wrong number of tokens for pack_padded_sequence; export in "
                "the context throughtime.export.packed_sequences(), or make the batch in forward with "
                "throughtime.Ragged.from_padded(x, lengths=lengths), and pad the output with "
                ".to_padded(length=x.shape[1])"
            )
        return
    fits = sizes.dtype == torch.int64 and sizes.device.type == "cpu" and sizes.dim() == 1 and len(sizes) > 0
    if not fits or int(sizes.sum()) != x.data.shape[0] or bool((sizes.diff() > 0).any()) or sizes[-1] < 0:
        raise ShapeError(
            f"{layer}: the batch sizes of the PackedSequence must be int64 on the CPU, never increase, "
            f"and add up to its {x.data.shape[0]} tokens; make it with torch.nn.utils.rnn.pack_sequence"
        )


def check_dtype_and_device(tensor: Tensor, weight: Tensor, name: str, layer: str) -> None:
    """Refuse a tensor that cannot meet the weights; under autocast any floating point below float64 can."""
    if tensor.dtype != weight.dtype and not _autocast_joins(tensor, weight):
        check_real(tensor, layer)
        raise InputTypeError(
            f"{layer}: {name} is {tensor.dtype}, the weights are {weight.dtype}; convert one with "
            f"x.to({weight.dtype}) or layer.to({tensor.dtype})"
            if tensor.dtype.is_floating_point
            else f"{layer}: {name} is {tensor.dtype}, the weights are {weight.dtype}; convert it with "
            f"x.to({weight.dtype}), or look tokens up in torch.nn.Embedding first"
        )
    if tensor.device != weight.device:
        raise InputTypeError(
            f"{layer}: {name} is on {tensor.device}, the weights are on {weight.device}; "
            "move one with .to(device)"
        )


_BELOW_FLOAT64 = (torch.float32, torch.bfloat16, torch.float16)


def _autocast_joins(tensor: Tensor, weight: Tensor) -> bool:
    return under_autocast(weight.device) and tensor.dtype in _BELOW_FLOAT64 and weight.dtype in _BELOW_FLOAT64


def is_unbatched(x: Input) -> bool:
    """Tell whether this is one sequence without a batch dimension."""
    return isinstance(x, Tensor) and x.dim() == 2


def tokens_of(x: Input, *, batch_first: bool) -> tuple[Tensor, Steps]:
    """Return the tokens (T, features) as they lie in memory, and where each step is."""
    if isinstance(x, Ragged):
        return x.values, ragged_steps(x.layout)
    if isinstance(x, PackedSequence):
        return x.data, packed_steps(x.batch_sizes, _number_of_sequences(x))
    if x.dim() == 2:
        return x, dense_steps(1, x.shape[0], batch_first=False)
    first, second, features = x.shape
    batch, length = (first, second) if batch_first else (second, first)
    return x.reshape(first * second, features), dense_steps(batch, length, batch_first=batch_first)


def _number_of_sequences(x: PackedSequence) -> int:
    if x.sorted_indices is not None:
        return x.sorted_indices.shape[0]
    return x.batch_sizes[0].item()  # type: ignore[return-value]  # symbolic in torch.export, unlike int()


def like_input(values: Tensor, x: Input) -> Input:
    """Give new tokens (T, features) the kind that the input has."""
    if isinstance(x, Ragged):
        return x.with_values(values)
    if isinstance(x, PackedSequence):
        return PackedSequence(values, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
    return values.view(*x.shape[:-1], values.shape[-1])


def ragged_of(x: Input, *, batch_first: bool) -> Ragged:
    """Return the concatenated sequences in the order of the caller."""
    if isinstance(x, Ragged):
        return x
    if isinstance(x, PackedSequence):
        index, layout = _ragged_order(x)
        return Ragged(x.data.index_select(0, index), layout.offsets, layout=layout)
    if x.dim() == 2:
        x = x.unsqueeze(0)
    elif not batch_first:
        x = x.transpose(0, 1)
    batch, length, features = x.shape
    offsets = torch.arange(batch + 1, device=x.device) * length
    return Ragged(x.reshape(batch * length, features), offsets, layout=Layout(offsets))


def from_ragged(values: Tensor, x: Input, *, batch_first: bool) -> Input:
    """Give tokens in the order of `ragged_of` the kind that the input has."""
    if isinstance(x, Tensor) and x.dim() == 3 and not batch_first:
        length, batch, _ = x.shape
        return values.view(batch, length, values.shape[-1]).transpose(0, 1)
    if isinstance(x, PackedSequence):
        index, _ = _ragged_order(x)
        values = values.index_select(0, torch.argsort(index))
    return like_input(values, x)


def _ragged_order(x: PackedSequence) -> tuple[Tensor, Layout]:
    """Return where each token of the ragged batch lies in the packed data."""
    positions = torch.arange(x.data.shape[0], device=x.data.device)
    ragged = Ragged.from_packed(
        PackedSequence(positions, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
    )
    return ragged.values, ragged.layout
