"""Linear scores of hashed n-grams of a padded batch."""

import numpy as np
import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Value, Vectors
from throughtime.export._graph import Graph
from throughtime.export._linear import add_product
from throughtime.export._place import Place
from throughtime.nn.description import Operator
from throughtime.ops.ngrams import MODULUS, MULTIPLIER

_TO_THE_END = 2**31 - 1


def add_ngram_scores(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add throughtime::ngram_scores, and its bias.

    Raises
    ------
    ShapeError
        If it reads features.
    """
    if isinstance(value, Vectors) or value.features is not None:
        raise ShapeError(f"{place.name} reads token numbers, but gets features; put it first")
    graph, arguments = batch.graph, operator.arguments
    weight, idf = _with_a_row(arguments["weight"].detach().t()), _with_a_row(arguments["idf"])
    keys = _sorted_buckets(batch, value.name, arguments["longest"], len(idf) - 1)
    once = graph.add("Unsqueeze", _is_first(batch, keys), graph.constant([2]))

    def summed(table: Tensor, name: str) -> str:
        rows = graph.add("Gather", graph.constant(table, place.weight(name)), keys, axis=0)
        return graph.sum_over(graph.add("Mul", rows, once), [0])

    squares = summed(idf.square()[:, None], "squares")
    none = graph.add("Equal", squares, graph.number(0.0))
    norms = graph.add("Where", none, graph.number(1.0), graph.add("Sqrt", squares))
    scores = graph.add("Div", summed(weight * idf[:, None], "weight"), norms)
    bias = graph.constant(arguments["bias"], place.weight("bias"))
    total = graph.add("Add", scores, bias)
    if arguments["extra"]:
        of_extra = add_product(
            graph, batch.extra.name, arguments["extra_weight"], None, place.weight("extra")
        )
        total = graph.add("Add", total, of_extra)
    return Vectors(total, weight.shape[1])


def _with_a_row(values: Tensor) -> Tensor:
    """Return values of buckets, and zeros for what is in none."""
    return torch.cat([values, values.new_zeros(1, *values.shape[1:])])


def _sorted_buckets(batch: Batch, tokens: str, longest: int, buckets: int) -> str:
    """(n · L + …, B): buckets of the n-grams of each sequence, ascending; ``buckets`` where there is none."""
    graph = batch.graph
    size = graph.constant(np.array(buckets, np.int64), f"integer_{buckets}")
    numbers = graph.add("Add", tokens, graph.constant([1]))
    key, parts = numbers, [graph.add("Where", batch.inside, graph.add("Mod", numbers, size), size)]
    for skipped in range(longest - 1):
        previous = graph.sliced(key, 0, -1) if skipped else _shifted(graph, numbers, MODULUS - 1)
        product = graph.add("Mul", previous, graph.constant([MULTIPLIER]))
        total = graph.add("Add", product, graph.sliced(numbers, skipped, _TO_THE_END))
        key = graph.add("Mod", total, graph.constant([MODULUS]))
        inside = graph.sliced(batch.inside, skipped, _TO_THE_END)
        parts.append(graph.add("Where", inside, graph.add("Mod", key, size), size))
    keys = graph.add("Concat", *parts, axis=0) if longest > 1 else parts[0]
    count = graph.add("Shape", keys, start=0, end=1)
    return graph.add_all("TopK", keys, count, outputs=2, axis=0, largest=0)[0]


def _is_first(batch: Batch, keys: str) -> str:
    """(…, B): 1 where a bucket is not the one before it, else 0."""
    graph = batch.graph
    return graph.numbers(graph.add("Not", graph.add("Equal", keys, _shifted(graph, keys, -1))))


def _shifted(graph: Graph, values: str, first: int) -> str:
    """Return the row before each row; the first one has a number before it."""
    number = graph.constant(np.array(first, np.int64), f"integer_{first}".replace("-", "minus_"))
    return graph.add("Pad", graph.sliced(values, 0, -1), graph.constant([1, 0, 0, 0]), number)
