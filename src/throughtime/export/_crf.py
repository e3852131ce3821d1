"""Conditional random fields as loops: the best sequence of tags, and the marginals of each step."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from throughtime.export._batch import INT64, Batch, Steps, Value, steps_of
from throughtime.export._model_graph import ModelGraph
from throughtime.export._place import Place
from throughtime.nn import CRF
from throughtime.nn.description import Operator

_FORBIDDEN = -1e30  # as the layer has it
_TO_THE_END = 2**31 - 1


def add_viterbi(batch: Batch, graph: ModelGraph, crf: CRF, emissions: Steps) -> str:
    """Return the tags (L, B) int64 with the highest score; anything behind the end of a sequence."""
    transitions = _allowed(crf.transitions, crf.allowed)
    into = graph.constant(transitions.t(), "crf.transitions_into")
    start, end = _allowed(crf.start, crf.allowed_start), crf.end
    first = graph.add("Squeeze", graph.sliced(emissions.name, 0, 1), graph.constant([0]))
    best = graph.add("Add", first, graph.constant(start, "crf.start"))
    tags = len(end)
    same = graph.constant(np.arange(tags, dtype=np.float32), "crf.tags")

    def forward(states: Sequence[str], x_t: str) -> tuple[Sequence[str], Sequence[str]]:
        emission, inside = _split(graph, x_t, tags)
        # Without the subtraction the magnitude, and so the rounding error, would grow with the steps.
        highest = graph.add("ReduceMax", states[0], graph.constant([1]), keepdims=1)
        before = graph.add("Unsqueeze", graph.add("Sub", states[0], highest), graph.constant([1]))
        scores = graph.add("Add", before, into)
        reached = graph.add("ReduceMax", scores, graph.constant([2]), keepdims=0)
        previous = graph.numbers(graph.add("ArgMax", scores, axis=2, keepdims=0))
        after = graph.add("Where", inside, graph.add("Add", emission, reached), states[0])
        return [after], [graph.add("Where", inside, previous, same)]

    (last,), (previous,) = graph.scan(forward, [best], _later_steps(batch, graph, emissions))
    ended = graph.add("Add", last, graph.constant(end, "crf.end"))
    tag = graph.numbers(graph.add("ArgMax", ended, axis=1, keepdims=1))

    def backward(states: Sequence[str], x_t: str) -> tuple[Sequence[str], Sequence[str]]:
        index = graph.add("Cast", states[0], to=INT64)
        before = graph.add("GatherElements", x_t, index, axis=1)
        return [before], [before]

    _, (best_tags,) = graph.scan(backward, [tag], previous, reverse=True)
    squeezed = graph.add("Squeeze", best_tags, graph.constant([2]))
    return graph.add("Cast", squeezed, to=INT64)


def add_marginals(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add throughtime.nn.CRF: the probability of each tag at every step (the forward-backward algorithm)."""
    crf: CRF = operator.arguments["layer"]
    graph, steps = cast("ModelGraph", batch.graph), steps_of(value, place.name, crf.num_tags)
    emissions = batch.masked(steps, batch.real).name
    total = graph.add("Add", _forward(batch, graph, crf, emissions), _backward(batch, graph, crf, emissions))
    return Steps(graph.add("Softmax", total, axis=2), crf.num_tags)


def _forward(batch: Batch, graph: ModelGraph, crf: CRF, emissions: str) -> str:
    """(L, B, C): the logarithm of the sum over all tag sequences up to each step, by its tag."""
    into = graph.constant(_allowed(crf.transitions, crf.allowed).t(), "crf.transitions_into")
    start = graph.constant(_allowed(crf.start, crf.allowed_start), "crf.start")

    def step(states: Sequence[str], x_t: str) -> tuple[Sequence[str], Sequence[str]]:
        emission, is_first = _split(graph, x_t, crf.num_tags)
        scores = graph.add("Add", graph.add("Unsqueeze", states[0], graph.constant([1])), into)
        before = graph.add("ReduceLogSumExp", scores, graph.constant([2]), keepdims=0)
        after = graph.add("Add", emission, graph.add("Where", is_first, start, before))
        return [after], [after]

    marked = _marked(graph, emissions, batch.first)
    return graph.scan(step, [_zeros(batch, graph, crf)], marked)[1][0]


def _backward(batch: Batch, graph: ModelGraph, crf: CRF, emissions: str) -> str:
    """(L, B, C): the logarithm of the sum over all tag sequences behind each step, by its tag."""
    out_of = graph.constant(_allowed(crf.transitions, crf.allowed), "crf.transitions")
    end = graph.constant(crf.end, "crf.end")

    def step(states: Sequence[str], x_t: str) -> tuple[Sequence[str], Sequence[str]]:
        emission, is_last = _split(graph, x_t, crf.num_tags)
        scores = graph.add("Add", graph.add("Unsqueeze", states[0], graph.constant([1])), out_of)
        behind = graph.add("ReduceLogSumExp", scores, graph.constant([2]), keepdims=0)
        behind = graph.add("Where", is_last, end, behind)
        return [graph.add("Add", emission, behind)], [behind]

    marked = _marked(graph, emissions, batch.last)
    return graph.scan(step, [_zeros(batch, graph, crf)], marked, reverse=True)[1][0]


def _marked(graph: ModelGraph, emissions: str, mask: str) -> str:
    return graph.add("Concat", emissions, graph.numbers(mask), axis=2)


def _zeros(batch: Batch, graph: ModelGraph, crf: CRF) -> str:
    shape = graph.add("Concat", batch.size, graph.constant([crf.num_tags]), axis=0)
    return graph.add("Expand", graph.number(0.0), shape)


def _allowed(scores: Tensor, mask: Tensor | None) -> Tensor:
    return scores if mask is None else torch.where(mask, scores, _FORBIDDEN)


def _later_steps(batch: Batch, graph: ModelGraph, emissions: Steps) -> str:
    """(L, B, C + 1): the emissions from the second step on, and 1 inside of a sequence; zeros at the end."""
    inside = graph.numbers(batch.real)
    both = graph.add("Concat", batch.masked(emissions, batch.real).name, inside, axis=2)
    return graph.add("Pad", graph.sliced(both, 1, _TO_THE_END), graph.constant([0, 0, 0, 1, 0, 0]))


def _split(graph: ModelGraph, x_t: str, tags: int) -> tuple[str, str]:
    sizes = graph.constant([tags, 1])
    emission, inside = graph.add_all("Split", x_t, sizes, outputs=2, axis=1)
    return emission, graph.add("Greater", inside, graph.number(0.5))
