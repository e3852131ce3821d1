"""Operators of models whose linear layers read whole sequences, and extra features beside the sequence."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps, Value, Vectors, features_of, steps_of
from throughtime.export._place import Place
from throughtime.nn.description import Operator


@dataclass(frozen=True)
class _OneLength:
    """The lengths behind a layer that makes the same number of steps of every sequence."""

    length: int

    def output_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        return torch.full_like(lengths, self.length)


def add_one_hot_steps(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime.models.OneHotSteps: `length` steps (length, B, V).

    Raises
    ------
    ShapeError
        If it reads features.
    """
    graph, size, length = batch.graph, operator.arguments["size"], operator.arguments["length"]
    if isinstance(value, Vectors) or value.features is not None:
        raise ShapeError(f"{place.name} reads token numbers, but gets features; put it first")
    tokens = graph.add("Where", batch.inside, value.name, graph.constant([size]))
    known = graph.add("And", _at_least(batch, tokens, 0), graph.add("Less", tokens, graph.constant([size])))
    # Of a number that is not below the depth, OneHot makes zeros.
    tokens = graph.add("Where", known, tokens, graph.constant([size]))
    ends = graph.constant([0, 0, length, 0])
    filled = graph.add("Pad", tokens, ends, graph.constant(np.array(size, np.int64), f"integer_{size}"))
    first = graph.sliced(filled, 0, length)
    off_and_on = graph.constant(np.array([0, 1], graph.dtype), "off_and_on")
    vectors = graph.add("OneHot", first, graph.constant([size]), off_and_on, axis=-1)
    return Steps(vectors, size, batch=_of_one_length(batch, length, place))


def add_steps_as_features(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime.models.StepsAsFeatures of sequences of one length."""
    length, features = operator.arguments["length"], operator.arguments["features"]
    steps, graph = steps_of(value, place.name, features), batch.graph
    by_sequence = graph.add("Transpose", graph.sliced(steps.name, 0, length), perm=[1, 0, 2])
    return Vectors(graph.reshaped(by_sequence, [0, length * features]), length * features)


def add_channels_as_steps(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime.models.ChannelsAsSteps: (C, B, L)."""
    length, channels = operator.arguments["length"], operator.arguments["channels"]
    steps, graph = steps_of(value, place.name, channels), batch.graph
    present = batch.masked(steps, batch.real)
    filled = graph.add("Pad", present.name, graph.constant([0, 0, 0, length, 0, 0]), graph.number(0.0))
    swapped = graph.add("Transpose", graph.sliced(filled, 0, length), perm=[2, 1, 0])
    return Steps(swapped, length, batch=_of_one_length(batch, channels, place))


def add_one_length(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime.models.OneLength: NaN for a sequence of another length.

    Raises
    ------
    ShapeError
        If there are steps.
    """
    if isinstance(value, Steps):
        raise ShapeError(f"{place.name} reads one vector of each sequence; put it behind a Pool")
    graph = batch.graph
    right = graph.add("Equal", batch.lengths, graph.constant([operator.arguments["length"]]))
    right = graph.add("Unsqueeze", right, graph.constant([1]))
    return replace(value, name=graph.add("Where", right, value.name, graph.number(np.nan)))


def add_extra_features(batch: Batch, _operator: Operator, value: Value, place: Place) -> Value:
    """Add throughtime.models.ExtraFeatures: those of each sequence beside its vector, or beside its steps."""
    graph, features = batch.graph, features_of(value, place.name)
    extra = batch.extra
    if isinstance(value, Steps):
        size = graph.constant([extra.features])
        shape = graph.add("Concat", graph.add("Shape", value.name, start=0, end=2), size, axis=0)
        along = graph.add("Expand", graph.add("Unsqueeze", extra.name, graph.constant([0])), shape)
        joined = graph.add("Concat", value.name, along, axis=2)
    else:
        joined = graph.add("Concat", value.name, extra.name, axis=1)
    return replace(value, name=joined, features=features + extra.features)


def _at_least(batch: Batch, numbers: str, least: int) -> str:
    return batch.graph.add("GreaterOrEqual", numbers, batch.graph.constant([least]))


def _of_one_length(batch: Batch, length: int, place: Place) -> Batch:
    """Return a batch in which all sequences have one length."""
    graph = batch.graph
    steps = graph.constant([length])
    lengths = graph.add("Expand", steps, batch.size)
    return replace(
        batch,
        lengths=lengths,
        steps=steps,
        changes=(*batch.changes, _OneLength(length)),
        length=f"length of {place.path}",
    )
