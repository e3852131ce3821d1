"""One function for each operator that a layer may state in ``operators()``."""

from collections.abc import Callable

from throughtime.errors import InputTypeError
from throughtime.export._activations import add_softmax, elementwise
from throughtime.export._batch import Batch, Steps, Value, steps_of
from throughtime.export._conv import add_conv_of_same_lengths
from throughtime.export._linear import add_embedding, add_flatten, add_linear
from throughtime.export._ngrams import add_ngram_scores
from throughtime.export._norm import add_batch_norm, add_normalize_sequences
from throughtime.export._place import Place
from throughtime.export._pool import POOLS
from throughtime.export._recurrent import add_recurrent
from throughtime.export._rocket import add_rocket
from throughtime.nn.description import Operator

Translation = Callable[[Batch, Operator, Value, Place], Value]


def translate(batch: Batch, operator: Operator, value: Value, place: Place) -> Value:
    """Add an operator to the graph, and return its output.

    Raises
    ------
    InputTypeError
        If it has no form here; the message names it.
    ShapeError
        If it has an option that cannot be exported, or does not fit to what comes before it.
    """
    add = _TRANSLATIONS.get(operator.name)
    if add is None:
        raise InputTypeError(
            f"{place.name}: the operator {operator.name} has no form in ONNX here; these have one: "
            f"{', '.join(sorted(_TRANSLATIONS))}"
        )
    return add(batch, operator, value, place)


def features_read(operator: Operator) -> int | str | None:
    """Return how many features an operator reads, None for token numbers, "any" if it does not matter."""
    arguments = operator.arguments
    match operator.name:
        case "aten::embedding" | "throughtime::ngram_scores":
            return None
        case "aten::linear":
            size = arguments["weight"].shape[1]
        case "throughtime::conv1d":
            size = arguments["weight"].shape[1] * arguments["groups"]
        case "throughtime::normalize_sequences":
            size = arguments["groups"]
        case "throughtime::recurrent_layer":
            size = arguments["layer"].input_size
        case "throughtime::rocket":
            size = arguments["in_channels"]
        case _:
            return "any"
    return int(size)


def _recurrent(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    layer = operator.arguments["layer"]
    return add_recurrent(batch, layer, steps_of(value, place.name, layer.input_size), place.path).steps


def _normalized(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    return add_normalize_sequences(batch, operator, value, place).steps


_TRANSLATIONS: dict[str, Translation] = {
    "aten::batch_norm": add_batch_norm,
    "aten::embedding": add_embedding,
    "aten::flatten": add_flatten,
    "aten::linear": add_linear,
    "aten::relu": elementwise("Relu"),
    "aten::sigmoid": elementwise("Sigmoid"),
    "aten::softmax": add_softmax,
    "aten::tanh": elementwise("Tanh"),
    "throughtime::conv1d": add_conv_of_same_lengths,
    "throughtime::ngram_scores": add_ngram_scores,
    "throughtime::normalize_sequences": _normalized,
    "throughtime::recurrent_layer": _recurrent,
    "throughtime::rocket": add_rocket,
    **{f"throughtime::{name}": add for name, add in POOLS.items()},
}
