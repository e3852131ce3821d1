"""Tables and matrix products: embedding, linear, flatten."""

from dataclasses import replace

from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps, Value, Vectors, features_of
from throughtime.export._graph import Graph
from throughtime.export._place import Place
from throughtime.nn.description import Operator


def add_embedding(batch: Batch, operator: Operator, value: Value, place: Place) -> Steps:
    """Add aten::embedding.

    Raises
    ------
    ShapeError
        If it reads features, or renormalizes its table.
    """
    if isinstance(value, Vectors) or value.features is not None:
        raise ShapeError(f"{place.name} reads token numbers, but gets features; put it first")
    if operator.arguments["max_norm"] is not None:
        raise ShapeError(
            f"{place.name}: an Embedding with max_norm changes its weights as it reads; leave it out"
        )
    table = operator.arguments["weight"]
    weight = batch.graph.constant(table, place.weight("weight"))
    return Steps(batch.graph.add("Gather", weight, value.name, axis=0), table.shape[1])


def add_linear(batch: Batch, operator: Operator, value: Value, place: Place) -> Value:
    """Add aten::linear."""
    weight, bias = operator.arguments["weight"], operator.arguments["bias"]
    features_of(value, place.name, weight.shape[1])
    result = add_product(batch.graph, value.name, weight, bias, place.path)
    return replace(value, name=result, features=weight.shape[0])


def add_product(graph: Graph, x: str, weight: Tensor, bias: Tensor | None, path: str) -> str:
    """Return x Wᵀ + b; the weights are called after the path of the layer."""
    prefix = f"{path}." if path else ""
    result = graph.add("MatMul", x, graph.constant(weight.t(), f"{prefix}weight"))
    return result if bias is None else graph.add("Add", result, graph.constant(bias, f"{prefix}bias"))


def add_flatten(batch: Batch, operator: Operator, value: Value, place: Place) -> Vectors:
    """Add aten::flatten of one value for each sequence.

    Raises
    ------
    ShapeError
        If there are steps, or it keeps other dimensions.
    """
    first, last = operator.arguments["start_dim"], operator.arguments["end_dim"]
    if not isinstance(value, Vectors) or (first, last) != (1, -1):
        raise ShapeError(
            f"{place.name}: a Flatten is exported behind a Pool, with start_dim=1 and end_dim=-1; "
            f"this one has {first} and {last}"
        )
    if value.rows is None:
        return value
    return Vectors(batch.graph.add("Flatten", value.name, axis=1), value.rows * value.features)
