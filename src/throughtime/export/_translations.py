"""One function for each operator that a layer may state in ``operators()``."""

from collections.abc import Callable
from typing import NamedTuple

from throughtime.errors import InputTypeError, NotCausalError
from throughtime.export._activations import add_softmax, elementwise
from throughtime.export._attention import add_attention_pool, add_attention_pool_chunk
from throughtime.export._batch import Batch, Steps, Value, steps_of
from throughtime.export._cells import add_cell_layer, add_recurrence, add_scan_layer
from throughtime.export._conv import (
    add_conv_chunk,
    add_conv_of_sequences,
    add_conv_transpose_of_sequences,
)
from throughtime.export._crf import add_marginals
from throughtime.export._linear import add_embedding, add_flatten, add_linear
from throughtime.export._ngrams import add_ngram_scores
from throughtime.export._norm import add_batch_norm, add_normalize_sequences
from throughtime.export._place import Place
from throughtime.export._pool import CHUNK_POOLS, POOLS
from throughtime.export._pool_windows import add_max_pool, add_mean_pool
from throughtime.export._recurrent import add_recurrent, add_recurrent_chunk
from throughtime.export._rocket import add_rocket
from throughtime.export._stream import Stream
from throughtime.export._whole_sequences import (
    add_channels_as_steps,
    add_extra_features,
    add_one_hot_steps,
    add_one_length,
    add_steps_as_features,
)
from throughtime.nn.description import Operator
from throughtime.nn.description.torch_layers import SEQUENCE_STATISTICS

OF_TOKENS = "a function of tokens"
"""In place of the operators of a function that states none: they are recorded."""

Translation = Callable[[Batch, Operator, Value, Place], Value]


def translate(batch: Batch, operator: Operator, value: Value, place: Place) -> Value:
    """Add an operator to the graph, and return its output.

    Raises
    ------
    InputTypeError
        If it has no form here; the message names it.
    ShapeError
        If it has an option that cannot be exported, or does not fit to what comes before it.
    NotCausalError
        If it needs future steps, and the batch is one of streams.
    """
    form = _FORMS.get(operator.name)
    if form is None:
        raise InputTypeError(
            f"{place.name}: the operator {operator.name} has no form in ONNX here; these have one: "
            f"{', '.join(sorted(_FORMS))}"
        )
    if not isinstance(batch, Stream):
        return batch.holding(form.whole(batch, operator, value, place))
    if isinstance(form.chunk, str):
        raise NotCausalError(
            f"{place.described} {form.chunk}, of which a stream has no end yet; leave it out"
        )
    return form.chunk(batch, operator, value, place)


def features_read(operator: Operator) -> int | str | None:
    """Return how many features an operator reads, None for token numbers, "any" if it does not matter."""
    arguments = operator.arguments
    match operator.name:
        case name if name == OF_TOKENS:
            size = arguments["features"]
        case "aten::embedding" | "throughtime::ngram_scores" | "throughtime.models.OneHotSteps":
            return None
        case "aten::linear":
            size = arguments["weight"].shape[1]
        case "throughtime::conv1d":
            size = arguments["weight"].shape[1] * arguments["groups"]
        case "throughtime::conv_transpose1d":
            size = arguments["weight"].shape[0]
        case "throughtime::normalize_sequences" | "throughtime.nn.AttentionPool":
            size = arguments["features"]
        case "throughtime::recurrent_layer" | "throughtime.nn.CellLayer" | "throughtime.nn.ScanLayer":
            size = arguments["layer"].input_size
        case "throughtime.nn.CRF":
            size = arguments["layer"].num_tags
        case "throughtime.models.ChannelsAsSteps":
            size = arguments["channels"]
        case "throughtime::rocket":
            size = arguments["in_channels"]
        case _:
            return "any"
    return size if size is None or size == "any" else int(size)


def extra_read(operator: Operator) -> int:
    """Return how many features of each sequence beside its steps an operator reads."""
    return int(operator.arguments.get("extra", 0))


def _recurrent(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    layer = operator.arguments["layer"]
    return add_recurrent(batch, layer, steps_of(value, place.name, layer.input_size), place.path).steps


def _normalized(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    return add_normalize_sequences(batch, operator, value, place).steps


class _Forms(NamedTuple):
    """How an operator is added for whole sequences, and for the chunks of streams.

    In place of the latter stands the reason why there is none, and what to do, as the end of a sentence that
    begins with the part's name.
    """

    whole: Translation
    chunk: Callable[[Stream, Operator, Value, Place], Value] | str


def _refused(reason: str) -> _Forms:
    """Return the forms of an operator that has none, which ``reason`` says behind the part's name."""

    def refuse(_batch: Batch, _operator: Operator, _value: Value, place: Place) -> Value:
        raise InputTypeError(f"{place.described} {reason}")

    return _Forms(refuse, refuse)


def _of_each(translation: Translation) -> _Forms:
    """Return the forms of an operator that treats each step, or each vector, by itself."""
    return _Forms(translation, translation)


_NO_END = "of which a stream has no end yet"
_WINDOWS = "pools over windows that reach into later steps"
_NOT_POOLED = f"keeps several steps of the whole sequence, {_NO_END}; use Pool('max')"

_FORMS: dict[str, _Forms] = {
    "aten::batch_norm": _of_each(add_batch_norm),
    "aten::embedding": _of_each(add_embedding),
    "aten::flatten": _of_each(add_flatten),
    "aten::linear": _of_each(add_linear),
    "aten::relu": _of_each(elementwise("Relu")),
    "aten::sigmoid": _of_each(elementwise("Sigmoid")),
    "aten::softmax": _of_each(add_softmax),
    "aten::tanh": _of_each(elementwise("Tanh")),
    "throughtime.models.ChannelsAsSteps": _Forms(
        add_channels_as_steps, f"reads the whole series of a channel as one step, {_NO_END}; use length=None"
    ),
    "throughtime.models.ExtraFeatures": _of_each(add_extra_features),
    "throughtime.models.OneHotSteps": _Forms(
        add_one_hot_steps, f"cuts or fills up whole texts, {_NO_END}; use a recurrent model or a TCN"
    ),
    "throughtime.models.OneLength": _Forms(add_one_length, f"needs the whole sequence, {_NO_END}"),
    "throughtime.models.StepsAsFeatures": _Forms(
        add_steps_as_features, f"reads the steps of the whole sequence, {_NO_END}; use a Pool"
    ),
    "throughtime.nn.AttentionGRU": _refused(
        "reads a memory beside the sequence, which ONNX models here do not have; export the layers around it"
    ),
    "throughtime.nn.CRF": _Forms(
        add_marginals, f"sums over all tag sequences, {_NO_END}; export the layers before it"
    ),
    "throughtime.nn.CellLayer": _of_each(add_cell_layer),
    "throughtime.nn.Recurrence": _of_each(add_recurrence),
    "throughtime.nn.ScanLayer": _of_each(add_scan_layer),
    "throughtime.nn.Stream": _refused(
        "keeps its state between calls; export its model, with streaming=True for a state as inputs"
    ),
    "throughtime.nn.AttentionPool": _Forms(add_attention_pool, add_attention_pool_chunk),
    "throughtime::conv1d": _Forms(add_conv_of_sequences, add_conv_chunk),
    "throughtime::conv_transpose1d": _Forms(
        add_conv_transpose_of_sequences, f"makes several steps of each, and its windows overlap, {_NO_END}"
    ),
    "throughtime::max_over_windows": _Forms(add_max_pool, f"{_WINDOWS}, {_NO_END}"),
    "throughtime::mean_over_windows": _Forms(add_mean_pool, f"{_WINDOWS}, {_NO_END}"),
    "throughtime::ngram_scores": _Forms(
        add_ngram_scores, f"counts the n-grams of the whole sequence, {_NO_END}; use a recurrent model"
    ),
    "throughtime::normalize_sequences": _Forms(
        _normalized, f"{SEQUENCE_STATISTICS}, {_NO_END}; use norm='batch' or none"
    ),
    "throughtime::recurrent_layer": _Forms(_recurrent, add_recurrent_chunk),
    "throughtime::rocket": _Forms(
        add_rocket, f"pools the whole sequence, {_NO_END}; use a recurrent model or a TCN"
    ),
    **{
        f"throughtime::{name}": _Forms(add, CHUNK_POOLS.get(name, _NOT_POOLED)) for name, add in POOLS.items()
    },
}
