"""`onnx_translations`: the registered operators, as `torch.onnx.export` meets them on ragged batches."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import torch

from throughtime.errors import InputTypeError
from throughtime.export._batch import Batch, Steps
from throughtime.export._conv import add_conv, add_conv_transpose
from throughtime.export._norm import Normalized, add_normalize_sequences
from throughtime.export._place import Place
from throughtime.export._pool import POOLS, add_softmax_over_time
from throughtime.export._pool_windows import add_max_over_windows, add_mean_over_windows
from throughtime.export._ragged_batch import RaggedBatch
from throughtime.export._recorded_graph import RecordedGraph, fixed_sizes, floating_dtype
from throughtime.export._registered_layer import translate_layer
from throughtime.export._registered_torch import repeated_numbers
from throughtime.nn.description import Operator, Windows

Arguments = Mapping[str, Any]


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return what `torch.onnx.export` needs to know of the operators of throughtime.

    Give it as ``custom_translation_table``. A `Ragged` is an input of two tensors, ``values`` and
    ``offsets``; the numbers of tokens and of sequences may be dynamic.

    Returns
    -------
    dict
        For each operator of ``torch.ops.throughtime`` the function that writes it in operators of ONNX, from
        opset 18 on. The function of an operator that has no form in ONNX raises an error that names it.
        Operators of torch that conversions of a `Ragged` call, and that the exporter cannot write, are added.

    References
    ----------
    .. [1] PyTorch, "torch.export-based ONNX Exporter".

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> table = tt.export.onnx_translations()
    >>> torch.ops.throughtime.max_over_time.default in table
    True

    With the packages onnx and onnxscript installed (``pip install onnx onnxscript``)::

        x = tt.Ragged.from_lengths(torch.randn(9, 3), [4, 5])
        rows = {0: torch.export.Dim.DYNAMIC}
        torch.onnx.export(
            model, (x,), "model.onnx", dynamo=True, dynamic_shapes=([rows, rows],),
            custom_translation_table=tt.export.onnx_translations(),
        )
    """
    functions = {name: _of_translation(name, translation) for name, translation in _TRANSLATIONS.items()}
    functions |= {"recurrent_layer": _of_arguments("recurrent_layer", translate_layer)}
    functions |= {name: _refusing(name, _GRADIENT) for name in _PARTS_OF_GRADIENTS}
    functions |= {name: _refusing(name, reason) for name, reason in _REFUSED.items()}
    return {
        **{_overload(name): function for name, function in functions.items()},
        torch.ops.aten.repeat_interleave.Tensor: repeated_numbers,
    }


class _Translation(NamedTuple):
    """How an operator on tokens is one on padded steps.

    Parameters
    ----------
    add
        The function of the operator on a padded batch.
    tokens
        The argument with the tokens that it reads.
    read, written
        The arguments with the offsets of these tokens, and of the tokens that it returns; None if it
        returns one vector for each sequence.
    """

    add: Callable[[Batch, Operator, Steps, Place], Any]
    tokens: str = "values"
    read: str = "offsets"
    written: str | None = "offsets"


_TRANSLATIONS = {
    "conv1d": _Translation(add_conv, tokens="x", written="out_offsets"),
    # `ConvTranspose1d` in the forward pass: the gradient of the convolution whose outputs are its inputs.
    "conv1d_input_gradient": _Translation(add_conv_transpose, tokens="dy", read="out_offsets"),
    "max_over_windows": _Translation(add_max_over_windows, written="out_offsets"),
    "mean_over_windows": _Translation(add_mean_over_windows, written="out_offsets"),
    "normalize_sequences": _Translation(add_normalize_sequences),
    "softmax_over_time": _Translation(add_softmax_over_time, tokens="scores"),
    **{name: _Translation(add, written=None) for name, add in POOLS.items()},
}

_REFUSED = {
    "dropout": "it is for training; export the model in evaluation mode",
    "linear_scan": "a recurrence with values for every step has no operator in ONNX; export a GRU or an LSTM",
    "recurrence": "it runs a transition in this process; use throughtime.export.onnx",
    "rocket": "its dilations are not known while the graph is recorded; use throughtime.export.onnx",
}
_GRADIENT = "it is part of a gradient; export the forward pass alone"
# Operators that only a backward pass calls.
_PARTS_OF_GRADIENTS = (
    "conv1d_weight_gradient",
    "max_over_time_rows",
    "max_over_windows_gradient",
    "max_over_windows_taps",
    "mean_over_windows_gradient",
    "normalize_sequences_gradient",
    "recurrence_backward",
    "recurrent_layer_backward",
    "recurrent_layer_double_backward",
    "top_k_over_time_rows",
)


def _overload(name: str) -> Callable[..., Any]:
    overload: Callable[..., Any] = getattr(torch.ops.throughtime, name).default
    return overload


def _of_arguments(name: str, translate: Callable[[Arguments], Any]) -> Callable[..., Any]:
    """Return a translation as a function of an operator's arguments in their order."""
    names = [argument.name for argument in _overload(name)._schema.arguments]  # type: ignore[attr-defined] # noqa: SLF001

    def translated(*arguments: Any, **named: Any) -> Any:
        return translate({**dict(zip(names, arguments, strict=False)), **named})

    translated.__name__ = name
    return translated


def _refusing(name: str, reason: str) -> Callable[..., Any]:
    def refuse(_arguments: Arguments) -> Any:
        raise InputTypeError(f"the operator throughtime::{name} has no form in ONNX: {reason}")

    return _of_arguments(name, refuse)


def _of_translation(name: str, translation: _Translation) -> Callable[..., Any]:
    return _of_arguments(name, lambda arguments: _translated(name, translation, arguments))


def _translated(name: str, translation: _Translation, arguments: Arguments) -> Any:
    """Return the operator's results as values of the exporter's."""
    place = Place("", f"throughtime::{name}")
    tokens = arguments[translation.tokens]
    graph = RecordedGraph(floating_dtype(tokens, place.name))
    features = fixed_sizes(tokens, place.name)[1:]
    operator, left, right = _without_copies(Operator(place.name, arguments))
    read = RaggedBatch(graph, graph.named(arguments[translation.read]), left, right)
    rows = graph.named(tokens)
    if len(features) != 1:
        rows = graph.reshaped(rows, [0, prod(features)])
    result = translation.add(read.batch, operator, read.steps(rows, prod(features)), place)
    if translation.written is None:
        sizes = features if result.rows is None else [result.rows, *features]
        return graph.value_of(_with_features(graph, result.name, features, sizes))
    written = RaggedBatch(graph, graph.named(arguments[translation.written]))
    if isinstance(result, Normalized):
        y = written.tokens(result.steps)
        return [graph.value_of(part) for part in (y, result.mean, result.scale)]
    return graph.value_of(_with_features(graph, written.tokens(result), features, features))


def _with_features(graph: RecordedGraph, value: str, features: Sequence[int], sizes: Sequence[int]) -> str:
    """Undo that features of other than one dimension were made one."""
    return value if len(features) == 1 else graph.reshaped(value, [0, *sizes])


def _without_copies(operator: Operator) -> tuple[Operator, int, int]:
    """Return an operator whose windows have no copies of tokens beyond both ends, and how many there were."""
    if "windows" not in operator.arguments:
        return operator, 0, 0
    windows, left, right = Windows.of(operator.arguments["windows"]), 0, 0
    if windows.replicate:
        left, right = windows.left, windows.right
        windows = windows._replace(left=0, right=0, replicate=False)
    return Operator(operator.name, {**operator.arguments, "windows": windows}), left, right
