"""`AttentionPool`: the mean of each sequence's steps, with learned weights."""

import numpy as np

from throughtime.export._batch import Batch, Steps, Value, Vectors, steps_of
from throughtime.export._graph import Graph
from throughtime.export._linear import add_product
from throughtime.export._place import Place
from throughtime.export._pool import add_softmax_over_time
from throughtime.export._stream import Stream
from throughtime.nn.description import Operator


def add_attention_pool(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add Σ_t α_t x_t, α = softmax over the steps of a sequence."""
    features: int = operator.arguments["features"]
    steps = steps_of(value, place.name, features)
    scores = Steps(_scores(batch.graph, operator, steps, place), 1)
    weights = add_softmax_over_time(batch, operator, scores, place)
    weighted = batch.graph.add("Mul", batch.masked(steps, batch.real).name, weights.name)
    masked = batch.masked(Steps(weighted, features), batch.real)  # weights of an empty sequence are NaN
    return Vectors(batch.graph.sum_over(masked.name, [0]), features)


def add_attention_pool_chunk(stream: Stream, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add the weighted mean on streams: of all steps so far.

    The states are the largest score m, Σ exp(s_t − m) and Σ exp(s_t − m) x_t.
    """
    features: int = operator.arguments["features"]
    steps, graph = steps_of(value, place.name, features), stream.graph
    scores = _scores(graph, operator, steps, place)
    sizes = {"max": 1, "total": 1, "weighted": features}
    words = {
        "max": "Largest score so far.",
        "total": "Sum of the weights so far.",
        "weighted": "Weighted sum of the steps so far.",
    }
    states = {name: stream.state(place, name, ("batch", size), words[name]) for name, size in sizes.items()}
    before = graph.add("Where", stream.is_first, graph.number(-np.inf), states["max"].before)
    here = graph.add("ReduceMax", scores, graph.constant([0]), keepdims=0)
    largest = graph.add("Max", before, here)
    shrunk = graph.add("Exp", graph.add("Sub", before, largest))
    weights = graph.add("Exp", graph.add("Sub", scores, largest))
    total = _more(graph, states["total"].before, shrunk, graph.sum_over(weights, [0]))
    inner = graph.sum_over(graph.add("Mul", weights, steps.name), [0])
    weighted = _more(graph, states["weighted"].before, shrunk, inner)
    for name, after in (("max", largest), ("total", total), ("weighted", weighted)):
        stream.keep(states[name], after)
    return Vectors(graph.add("Div", weighted, total), features)


def _more(graph: Graph, before: str, shrunk: str, here: str) -> str:
    return graph.add("Add", graph.add("Mul", before, shrunk), here)


def _scores(graph: Graph, operator: Operator, steps: Steps, place: Place) -> str:
    """(L, B, 1): tanh(W x + b) · v."""
    attention, context = operator.arguments["attention"], operator.arguments["context"]
    inner = add_product(graph, steps.name, attention.weight, attention.bias, place.weight("attention"))
    return add_product(graph, graph.add("Tanh", inner), context.weight, None, place.weight("context"))
