"""How outputs of parts side by side become one value."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

from throughtime.errors import ShapeError
from throughtime.export._batch import Batch, Steps, Value, Vectors, features_of
from throughtime.export._function_of_tokens import add_recorded_merge
from throughtime.export._lengths import check_same_lengths
from throughtime.export._place import Place
from throughtime.nn.description import Added, WeightedSum, concatenated


def add_merge(batch: Batch, merge: Any, values: list[Value], place: Place) -> Value:
    """Add the function that joins the outputs of parts side by side.

    Raises
    ------
    InputTypeError
        If an operator of it has no form here; the message names it.
    ShapeError
        If the outputs do not fit together.
    """
    rows = [value.rows if isinstance(value, Vectors) else None for value in values]
    if len({type(value) for value in values}) > 1 or len(set(rows)) > 1:
        raise ShapeError(f"{place.name}: some outputs side by side have a value for every step, others not")
    if isinstance(values[0], Steps):
        check_same_lengths([batch.at(value) for value in values], place)
    add = _MERGES.get(type(merge)) or (_MERGES.get(merge) if isinstance(merge, Hashable) else None)
    if add is None:
        return add_recorded_merge(batch.at(values[0]), merge, values, place)
    return add(batch, values, place, merge)


def _concatenated(batch: Batch, values: list[Value], place: Place, merge: Any) -> Value:
    del merge
    if isinstance(values[0], Vectors) and values[0].rows is not None:
        raise ShapeError(f"{place.name}: Pool('top-k') side by side is not exported; put a Flatten behind it")
    axis = 2 if isinstance(values[0], Steps) else 1
    joined = batch.graph.add("Concat", *(value.name for value in values), axis=axis)
    return replace(values[0], name=joined, features=sum(features_of(value, place.name) for value in values))


def _added(batch: Batch, values: list[Value], place: Place, merge: Any) -> Value:
    del merge
    body, shortcut = values
    features_of(shortcut, place.name, features_of(body, place.name))
    return replace(body, name=batch.graph.add("Add", body.name, shortcut.name))


def _weighted_sum(batch: Batch, values: list[Value], place: Place, merge: WeightedSum) -> Value:
    total = ""
    for value, weight in zip(values, merge.weights, strict=True):
        features_of(value, place.name, features_of(values[0], place.name))
        part = batch.graph.add("Mul", value.name, batch.graph.constant(weight, "weight"))
        total = batch.graph.add("Add", total, part) if total else part
    return replace(values[0], name=total)


_MERGES: dict[Any, Callable[[Batch, list[Value], Place, Any], Value]] = {
    concatenated: _concatenated,
    Added: _added,
    WeightedSum: _weighted_sum,
}
