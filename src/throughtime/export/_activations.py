"""Functions of single elements, and the softmax of features."""

from collections.abc import Callable
from dataclasses import replace

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Value, features_of
from throughtime.export._place import Place
from throughtime.nn.description import Operator


def elementwise(node: str) -> Callable[[Batch, Operator, Value, Place], Value]:
    """Return the translation of an operator that ONNX has under this name."""

    def add(batch: Batch, _operator: Operator, value: Value, place: Place) -> Value:
        features_of(value, place.name)
        return replace(value, name=batch.graph.add(node, value.name))

    return add


def add_softmax(batch: Batch, operator: Operator, value: Value, place: Place) -> Value:
    """Add aten::softmax over features.

    Raises
    ------
    ShapeError
        If it is over another dimension.
    """
    features_of(value, place.name)
    if operator.arguments["dim"] != -1:
        raise ShapeError(
            f"{place.name}: softmax is exported over features, got dim={operator.arguments['dim']}"
        )
    return replace(value, name=batch.graph.add("Softmax", value.name, axis=-1))
