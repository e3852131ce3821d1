"""Batch normalization by running statistics, and normalization of each sequence."""

from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps, Value, features_of, steps_of
from throughtime.export._place import Place
from throughtime.nn.description import Operator

_TENSORS = ("weight", "bias", "running_mean", "running_var")


def add_batch_norm(batch: Batch, operator: Operator, value: Value, place: Place) -> Value:
    """Add aten::batch_norm in evaluation.

    Raises
    ------
    ShapeError
        If it has no running statistics or no learned scale, or reads other features.
    """
    tensors = {name: operator.arguments[name] for name in _TENSORS}
    known = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    if known.keys() != tensors.keys():
        raise ShapeError(
            f"{place.name}: batch normalization is exported with running statistics and a learned scale; "
            f"this one has {', '.join(known) or 'neither'}"
        )
    features_of(value, place.name, len(known["running_mean"]))
    constants = [batch.graph.constant(tensor, place.weight(name)) for name, tensor in known.items()]
    channels_first = batch.channels_first(value) if isinstance(value, Steps) else value.name
    result = batch.graph.add(
        "BatchNormalization", channels_first, *constants, epsilon=operator.arguments["eps"]
    )
    if isinstance(value, Steps):
        return batch.steps_last(result, value.features)
    return replace(value, name=result)


class Normalized(NamedTuple):
    """Steps of mean 0 and variance 1, and the statistics (B, groups): the mean, and 1 / √(variance + eps)."""

    steps: Steps
    mean: str
    scale: str


def add_normalize_sequences(batch: Batch, operator: Operator, value: Value, place: Place) -> Normalized:
    """Add throughtime::normalize_sequences: by the statistics of each sequence and group of features."""
    graph, arguments, steps = batch.graph, operator.arguments, steps_of(value, place.name)
    groups, features = arguments["groups"], features_of(steps, place.name)
    real = graph.add("Unsqueeze", batch.real, graph.constant([3]))  # (L, B, 1, 1)
    grouped = graph.reshaped(steps.name, [0, 0, groups, features // groups])
    length = graph.add("Max", batch.lengths, graph.constant([1]))
    numbers = graph.numbers(graph.add("Mul", length, graph.constant([features // groups])))
    count = graph.add("Unsqueeze", numbers, graph.constant([1, 2]))  # (B, 1, 1)

    def mean_of(parts: str) -> str:
        present = graph.add("Where", real, parts, graph.number(0.0))
        total = graph.sum_over(graph.sum_over(present, [3], keepdims=True), [0])
        return graph.add("Div", total, count)  # (B, groups, 1)

    mean = mean_of(grouped)
    centred = graph.add("Sub", grouped, mean)
    variance = graph.add("Add", mean_of(graph.add("Mul", centred, centred)), graph.number(arguments["eps"]))
    scale = graph.add("Reciprocal", graph.add("Sqrt", variance))
    name = graph.reshaped(graph.add("Mul", centred, scale), [0, 0, features])
    for node, parameter in (("Mul", "weight"), ("Add", "bias")):
        if arguments[parameter] is not None:
            name = graph.add(node, name, graph.constant(arguments[parameter], place.weight(parameter)))
    flat = (graph.reshaped(part, [0, groups]) for part in (mean, scale))
    return Normalized(Steps(name, features), *flat)
