"""A model, part by part: every part is what it describes, or the operators that it states."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from throughtime.errors import InputTypeError, NotCausalError
from throughtime.export._batch import Batch, Value, steps_of
from throughtime.export._function_of_tokens import add_function_of_tokens
from throughtime.export._merges import add_merge
from throughtime.export._place import Place, kind_of
from throughtime.export._stream import Stream
from throughtime.export._translations import OF_TOKENS, translate
from throughtime.nn.description import (
    NoSequence,
    OfTokens,
    Operator,
    Reversed,
    Series,
    SideBySide,
    Tokenwise,
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
    place, operators, batch = Place.of(part, path), operators_of(part, path), batch.at(value)
    if operators is not None:
        for operator in operators:
            value = translate(batch.at(value), operator, value, place)
        return _observed(batch, path, value, part)
    parts = part if isinstance(part, OfTokens) else description_of(part, path)
    if isinstance(parts, OfTokens | Tokenwise):
        recorded = batch.holding(add_function_of_tokens(batch, part, value, place))
        return _observed(batch, path, recorded, part)
    if isinstance(parts, Series):
        for name, inner in parts.parts:
            value = add_named(batch.at(value), inner, value, path, name)
        return value
    if isinstance(parts, Reversed):
        return _reversed(batch, add_part(batch, parts.part, _reversed(batch, value, place), path), place)
    if not isinstance(parts, SideBySide):
        raise _without_form(parts, part, path)
    outputs = [add_named(batch, inner, value, path, name) for name, inner in parts.parts]
    return add_merge(batch, parts.merge, outputs, place)


def _reversed(batch: Batch, value: Value, place: Place) -> Value:
    """Return the steps of each sequence in reversed time."""
    batch, steps = batch.at(value), steps_of(value, place.name)
    if isinstance(batch, Stream):
        raise NotCausalError(
            f"{place.described} reads from the end, which a stream does not have yet; leave it out"
        )
    name = batch.graph.add("ReverseSequence", steps.name, batch.lengths, batch_axis=1, time_axis=0)
    return replace(steps, name=name)


def add_named(batch: Batch, part: Any, value: Value, path: str, name: str) -> Value:
    """Add a part of a part, by its name in it."""
    output = add_part(batch, part, value, _join(path, name))
    return _observed(batch, _join(path, name), output, part) if name else output


def _observed(batch: Batch, path: str, value: Value, part: Any) -> Value:
    """Return a value, which also becomes an intermediate."""
    if batch.intermediates is not None:
        batch.intermediates.add(path, batch.holding(value), f"Output of {kind_of(part)}.")
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
    description = description_of(part, path)
    if isinstance(description, Reversed):
        yield from operators_in(description.part, path)
    elif isinstance(description, Series | SideBySide):
        for name, inner in description.parts:
            yield from operators_in(inner, _join(path, name))
    elif not isinstance(description, Tokenwise):
        raise _without_form(description, part, path)


def _without_form(description: Any, part: Any, path: str) -> InputTypeError:
    """Return the error for a part that is not exported."""
    where = path or "the model"
    if isinstance(description, NoSequence):
        return InputTypeError(
            f"{where} is {kind_of(part)}, which {description.reason}; it is not exported here"
        )
    return InputTypeError(
        f"{where} is {kind_of(part)}, which has no form in ONNX here: it states no operators(), see "
        "throughtime.nn.description"
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
