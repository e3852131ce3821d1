"""A model, part by part: every part is what it describes, or the operators that it states."""

from collections.abc import Iterator
from typing import Any

from throughtime.errors import InputTypeError
from throughtime.export._batch import Batch, Value
from throughtime.export._function_of_tokens import add_function_of_tokens
from throughtime.export._merges import add_merge
from throughtime.export._place import Place, kind_of
from throughtime.export._translations import OF_TOKENS, translate
from throughtime.nn.description import (
    NoSequence,
    OfTokens,
    Operator,
    Reversed,
    Series,
    SideBySide,
    description_of,
    operators_of,
)


def add_part(batch: Batch, part: Any, value: Value, path: str = "") -> Value:
    """Add a part of a model to the graph as it computes in evaluation mode.

    Raises
    ------
    InputTypeError
        If it neither states operators nor is made of parts that do, or an operator has no form here.
    ShapeError
        If it has an option that cannot be exported, or does not fit to what comes before it.
    """
    place, operators = Place.of(part, path), operators_of(part, path)
    if operators is None and isinstance(part, OfTokens):
        return _observed(batch, path, add_function_of_tokens(batch, part, value, place), part)
    if operators is not None:
        for operator in operators:
            value = translate(batch, operator, value, place)
        return _observed(batch, path, value, part)
    parts = _parts_of(part, path)
    if isinstance(parts, Series):
        for name, inner in parts.parts:
            value = _add_named(batch, inner, value, path, name)
        return value
    outputs = [_add_named(batch, inner, value, path, name) for name, inner in parts.parts]
    return add_merge(batch, parts.merge, outputs, place)


def _add_named(batch: Batch, part: Any, value: Value, path: str, name: str) -> Value:
    output = add_part(batch, part, value, _join(path, name))
    return _observed(batch, _join(path, name), output, part) if name else output


def _observed(batch: Batch, path: str, value: Value, part: Any) -> Value:
    """Return a value, which also becomes an intermediate."""
    if batch.intermediates is not None:
        batch.intermediates.add(path, value, f"Output of {kind_of(part)}.")
    return value


def operators_in(part: Any, path: str = "") -> Iterator[Operator]:
    """Yield all operators of a model, in the order in which they run."""
    operators = operators_of(part, path)
    if operators is not None:
        yield from operators
        return
    if isinstance(part, OfTokens):
        yield Operator.of(OF_TOKENS, features=part.features)
        return
    for name, inner in _parts_of(part, path).parts:
        yield from operators_in(inner, _join(path, name))


def _parts_of(part: Any, path: str) -> Series | SideBySide:
    description = description_of(part, path)
    if isinstance(description, Series | SideBySide):
        return description
    where = path or "the model"
    if isinstance(description, NoSequence):
        raise InputTypeError(
            f"{where} is {kind_of(part)}, which {description.reason}; it is not exported here"
        )
    if isinstance(description, Reversed):
        raise InputTypeError(f"{where} reads in reversed time, which has no form in ONNX here")
    raise InputTypeError(
        f"{where} is {kind_of(part)}, which has no form in ONNX here: it states no operators(), see "
        "throughtime.nn.description"
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
