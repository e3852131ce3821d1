"""Linear scores of hashed n-grams of a padded batch."""

import numpy as np
import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Value, Vectors
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
    weight, known = arguments["weight"], arguments["known"]
    keys = _sorted_buckets(batch, value.name, arguments["longest"], len(known))
    table = graph.constant(_rows(weight, known), place.weight("weight"))
    flags = graph.constant(np.append(known.cpu().numpy(), [False]).astype(graph.dtype), place.weight("known"))
    counted = graph.add("Mul", graph.add("Gather", flags, keys, axis=0), _is_first(batch, keys))
    each = graph.add("Unsqueeze", counted, graph.constant([2]))
    rows = graph.add("Mul", graph.add("Gather", table, keys, axis=0), each)
    count = graph.add("Max", graph.sum_over(each, [0]), graph.number(1.0))
    scores = graph.add("Div", graph.sum_over(rows, [0]), graph.add("Sqrt", count))
    bias = graph.constant(arguments["bias"], place.weight("bias"))
    return Vectors(graph.add("Add", scores, bias), weight.shape[0])


def _rows(weight: Tensor, known: Tensor) -> Tensor:
    """Return the weights of each bucket (buckets + 1, N), zeros of unknown ones and of the last."""
    rows = weight.detach().t() * known[:, None]
    return torch.cat([rows, rows.new_zeros(1, rows.shape[1])])


def _sorted_buckets(batch: Batch, tokens: str, longest: int, buckets: int) -> str:
    """(n · L + …, B): buckets of the n-grams of each sequence, ascending; ``buckets`` where there is none."""
    graph = batch.graph
    size = graph.constant(np.array(buckets, np.int64), f"integer_{buckets}")
    numbers = graph.add("Add", tokens, graph.constant([1]))
    key, parts = numbers, []
    for before in range(longest):
        if before:
            ahead = graph.add("Mul", graph.sliced(key, 0, -1), graph.constant([MULTIPLIER]))
            total = graph.add("Add", ahead, graph.sliced(numbers, before, _TO_THE_END))
            key = graph.add("Mod", total, graph.constant([MODULUS]))
        inside = graph.sliced(batch.inside, before, _TO_THE_END)
        parts.append(graph.add("Where", inside, graph.add("Mod", key, size), size))
    keys = graph.add("Concat", *parts, axis=0) if longest > 1 else parts[0]
    count = graph.add("Shape", keys, start=0, end=1)
    return graph.add_all("TopK", keys, count, outputs=2, axis=0, largest=0)[0]


def _is_first(batch: Batch, keys: str) -> str:
    """(…, B): 1 where a bucket is not the one before it, else 0."""
    graph = batch.graph
    none = graph.constant(np.array(-1, np.int64), "integer_minus_1")
    before = graph.add("Pad", graph.sliced(keys, 0, -1), graph.constant([1, 0, 0, 0]), none)
    return graph.numbers(graph.add("Not", graph.add("Equal", keys, before)))
