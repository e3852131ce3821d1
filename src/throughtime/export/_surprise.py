"""How surprising each step is under a model of the next step."""

from dataclasses import replace

import numpy as np

from throughtime.errors import InputTypeError
from throughtime.export._batch import Batch, Steps, Value, steps_of
from throughtime.export._function_of_tokens import add_recorded_scores
from throughtime.export._graph import Graph
from throughtime.export._place import Place
from throughtime.export._stream import Stream
from throughtime.export._walk import add_named
from throughtime.nn.description import Series, description_of
from throughtime.tasks.anomaly import Surprise


def add_surprise(batch: Batch, surprise: Surprise, steps: Steps) -> Steps:
    """Add −log p of each step, (L, B, 1), and with an end token that of the end, (L + 1, B, 1).

    Streams have no end, so there is no end token.
    """
    series = description_of(surprise.model)
    if not isinstance(series, Series):
        raise InputTypeError(f"{type(surprise.model).__name__} does not describe its parts; see NextStep")
    (first, features), *inner, (last, read_out) = series.parts
    if surprise.end is not None and not isinstance(batch, Stream):
        steps = _with_end(batch, steps, surprise.end)
        batch = batch.at(steps)
    value: Value = _shifted(batch, steps_of(add_named(batch, features, steps, "", first), first))
    for name, part in inner:
        value = add_named(batch, part, value, "", name)
    if steps.features is None:
        log_p = steps_of(add_named(batch, read_out, value, "", last), last)
        return _minus_log_p(batch, log_p, steps)
    place = Place.of(surprise.model, "score")
    return add_recorded_scores(batch, surprise.model.score, steps_of(value, "score"), steps, place)


def _with_end(batch: Batch, tokens: Steps, end: int) -> Steps:
    """Return the tokens with one more at the end of each sequence."""
    graph, one = batch.graph, batch.graph.constant([1])
    lengths, steps = graph.add("Add", batch.lengths, one), graph.add("Add", batch.steps, one)
    longer = replace(batch, lengths=lengths, steps=steps, length="length of surprise")
    number = graph.constant(np.array(end, np.int64), f"integer_{end}")
    padded = graph.add("Pad", tokens.name, graph.constant([0, 0, 1, 0]), number)
    is_end = graph.add("Equal", longer.times, batch.lengths)
    return Steps(graph.add("Where", is_end, number, padded), None, batch=longer)


def _shifted(batch: Batch, features: Steps) -> Steps:
    """Return features one step later, with zeros, or those before the chunk, at the first step."""
    graph = batch.graph
    if isinstance(batch, Stream):
        place, size = Place("features", "features"), features.features or 0
        state = batch.state(place, "last", ("batch", size), "Features of the last step.")
        before = graph.add("Unsqueeze", state.before, graph.constant([0]))
        every = graph.add("Concat", before, features.name, axis=0)
        after = graph.add("Squeeze", graph.sliced(every, -1, _TO_THE_END), graph.constant([0]))
        batch.keep(state, after)
    else:
        every = graph.add("Pad", features.name, graph.constant([1, 0, 0, 0, 0, 0]), graph.number(0.0))
    return replace(features, name=graph.sliced(every, 0, -1))


_TO_THE_END = 2**31 - 1


def _minus_log_p(batch: Batch, log_p: Steps, tokens: Steps) -> Steps:
    graph = batch.graph
    known = tokens.name if batch.full else _inside(graph, batch, tokens.name)
    index = graph.add("Unsqueeze", known, graph.constant([2]))
    of_tokens = graph.add("GatherElements", log_p.name, index, axis=2)
    return Steps(graph.add("Neg", of_tokens), 1, batch=batch)


def _inside(graph: Graph, batch: Batch, tokens: str) -> str:
    return graph.add("Where", batch.inside, tokens, graph.constant([0]))
