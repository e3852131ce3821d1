"""Inputs and outputs of a whole model in a graph of its own."""

import numpy as np
from torch import nn

from throughtime.errors import InputTypeError
from throughtime.export._batch import Batch, Steps, Value, Vectors
from throughtime.export._intermediates import batch_first
from throughtime.export._model_graph import ModelGraph
from throughtime.export._stream import Stream
from throughtime.export._translations import extra_read, features_read
from throughtime.export._walk import add_part, operators_in

LENGTHS = "Tokens of each sequence, 0 at least and the padded length at most."
PADDED = "What stands behind a sequence's end does not matter."
_NEW_LENGTHS = "Steps of each sequence in the output; 0 where it is too short for one."


def extra_size(model: nn.Module) -> int:
    """Return how many features of each sequence beside its steps a model reads."""
    return max(map(extra_read, operators_in(model)), default=0)


def extra_of(graph: ModelGraph, model: nn.Module) -> Vectors:
    """Take the features of each sequence beside its steps, if the model reads any."""
    features = extra_size(model)
    if not features:
        return Vectors("", 0)
    words = "Features of each sequence beside its steps."
    return Vectors(graph.input("extra", np.float32, ("batch", features), words), features)


def take_steps(graph: ModelGraph, features: int | None, words: str, of_tokens: str, of_features: str) -> str:
    """Take tokens (B, L) or features (B, L, D), and return them with the steps first."""
    if features is None:
        x = graph.input("tokens", np.int64, ("batch", "length"), f"{words}: token numbers, {of_tokens}.")
        return graph.add("Transpose", x, perm=[1, 0])
    x = graph.input("x", np.float32, ("batch", "length", features), f"{words}. {of_features}".strip())
    return graph.add("Transpose", x, perm=[1, 0, 2])


def add_model(batch: Batch, model: nn.Module, steps: Steps, graph: ModelGraph) -> None:
    """Add all parts of a model, and its outputs."""
    value = add_part(batch, model, steps)
    add_output(batch, value, graph)
    add_states_and_intermediates(batch, value, graph)


def add_output(batch: Batch, value: Value, graph: ModelGraph, name: str | None = None) -> None:
    """Return the value of a model: "output" of every step, and the lengths if they changed; or "logits"."""
    dims, result = batch_first(batch, value)
    name = name or ("output" if isinstance(value, Steps) else "logits")
    graph.output(result, name, np.float32, dims, _words(batch, value))
    if batch.at(value).changes:
        graph.output(batch.at(value).lengths, "output_lengths", np.int64, ("batch",), _NEW_LENGTHS)


def add_states_and_intermediates(batch: Batch, value: Value, graph: ModelGraph) -> None:
    """Return the states of streams, and what the parts of a model compute on the way."""
    if isinstance(batch, Stream):
        batch.return_states()
    if batch.intermediates is not None:
        batch.intermediates.return_all(graph, batch, value)


def _words(batch: Batch, value: Value) -> str:
    if isinstance(value, Steps):
        return "Values of every step" + ("." if batch.full else ", 0 behind a sequence's end.")
    if value.rows is not None:
        return f"For each sequence the {value.rows} values of each feature that were kept, 0 behind them."
    return "One row for each sequence" + (", of its steps so far." if batch.full else ".")


def features_of_input(model: nn.Module) -> int | None:
    """Return how many features a step of the input has, None for token numbers.

    Raises
    ------
    InputTypeError
        If no part says it.
    """
    for operator in operators_in(model):
        features = features_read(operator)
        if not isinstance(features, str):
            return features
    raise InputTypeError(
        f"{type(model).__name__} has no Embedding, recurrent, convolutional or linear module, so nothing "
        "says what it reads"
    )
