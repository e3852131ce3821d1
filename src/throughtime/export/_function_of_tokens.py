"""Functions of tokens, of pooled vectors and of outputs side by side that state no operators: recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ThroughtimeError, UnsupportedError
from throughtime.export._batch import Batch, Steps, Value, Vectors, steps_of
from throughtime.export._function import ROWS, add_function
from throughtime.export._graph import Graph
from throughtime.export._place import Place
from throughtime.nn.description import OfTokens
from throughtime.nn.inputs.output import unwrapped
from throughtime.ragged import Ragged

_LEAST, _MOST = -1.0, 1.0
_TOLERANCE = 1e-4


def add_function_of_tokens(batch: Batch, part: Any, value: Value, place: Place) -> Value:
    """Add the operators that a function calls on the values of steps, (L·B, …), or on one row per sequence.

    Raises
    ------
    InputTypeError
        If an operator has no form here, or a row of the result depends on other rows.
    ShapeError
        If it reads other features.
    """
    if isinstance(part, OfTokens):
        if isinstance(value, Vectors) or (value.features is not None and part.features != "any"):
            value = steps_of(value, place.name, None if part.features == "any" else part.features)
        function = part.function
    elif isinstance(value, Steps):
        function = _on_ragged(part)
    else:
        function = part
    return _recorded(batch, lambda values: function(*values), [value], _weights_of(part), place)


def add_recorded_merge(batch: Batch, merge: Any, values: Sequence[Value], place: Place) -> Value:
    """Add a function that joins a list of outputs, each row by itself.

    Raises
    ------
    InputTypeError
        As of `add_function_of_tokens`.
    """

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        if isinstance(values[0], Vectors):
            result: Tensor = merge(list(tensors))
            return result
        parts = [_as_ragged(tensor) for tensor in tensors]
        return _values_of(merge([parts[0], *(parts[0].with_values(part.values) for part in parts[1:])]))

    return _recorded(batch, joined, values, {}, place)


def add_recorded_steps(
    batch: Batch, function: Callable[..., Tensor], values: Sequence[Steps], place: Place
) -> Steps:
    """Add a function of several values of each step.

    Raises
    ------
    InputTypeError
        As of `add_function_of_tokens`.
    """
    result = _recorded(batch, lambda tensors: function(*tensors), values, {}, place)
    return steps_of(result, place.name)


def add_recorded_scores(
    batch: Batch, score: Callable[[Tensor, Tensor], Any], states: Steps, targets: Steps, place: Place
) -> Steps:
    """Add the losses (L, B, 1) that a model scores what came with, given its states before it.

    Raises
    ------
    InputTypeError
        As of `add_function_of_tokens`.
    """

    def losses(tensors: Sequence[Tensor]) -> Tensor:
        return torch.unsqueeze(score(*tensors).losses, 1)

    return steps_of(_recorded(batch, losses, [states, targets], {}, place), place.name)


def add_rows(graph: Graph, model: nn.Module, x: str, row: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Add the operators of a model on rows (N, *row), and return its result and the sizes of a row of it.

    Raises
    ------
    InputTypeError
        As of `add_function_of_tokens`.
    """
    name, example, results = type(model).__name__, _example(row), []

    def record(rows: Tensor) -> list[Tensor]:
        results.append(model(rows))
        return results

    (output,) = add_function(graph, record, [(example, x)], dict(model.named_parameters()), name)
    return output, tuple(results[0].shape[1:])


def _recorded(
    batch: Batch,
    function: Callable[[Sequence[Tensor]], Any],
    values: Sequence[Value],
    weights: Mapping[str, Tensor],
    place: Place,
) -> Value:
    operands = [_operand(batch, value) for value in values]
    tensors = [operand.example for operand in operands]
    results: list[Tensor] = []

    def record(*examples: Tensor) -> list[Tensor]:
        results.append(function(examples))
        return results

    try:
        _check_rows(function, tensors, place)
        pairs = [(operand.example, operand.name) for operand in operands]
        (name,) = add_function(batch.graph, record, pairs, weights, place.name)
    except UnsupportedError as error:
        raise InputTypeError(
            f"{place.name} does not run on rows of features to be exported: {error}"
        ) from error
    except ThroughtimeError:
        raise
    except (TypeError, AttributeError, ValueError, RuntimeError, IndexError) as error:
        first = str(error).split("\n", 1)[0]
        raise InputTypeError(
            f"{place.name} does not run on rows of {tuple(tensors[0].shape[1:]) or 'token numbers'} to be "
            f"exported: {first}"
        ) from error
    if name == operands[0].name:
        return values[0]
    return _result(batch, name, values[0], results[0].shape[1:])


class _Operand(NamedTuple):
    name: str
    example: Tensor


def _operand(batch: Batch, value: Value) -> _Operand:
    """Return a value with all its rows in one dimension, and an example of it."""
    if isinstance(value, Vectors):
        rows = () if value.rows is None else (value.rows,)
        return _Operand(value.name, _example((*rows, value.features)))
    if value.features is None:
        return _Operand(batch.graph.reshaped(value.name, [-1]), torch.zeros(ROWS, dtype=torch.int64))
    sizes = value.sizes or (value.features,)
    return _Operand(batch.graph.reshaped(value.name, [-1, *sizes]), _example(sizes))


def _example(sizes: Sequence[int]) -> Tensor:
    numbers = torch.linspace(_LEAST, _MOST, ROWS * prod(sizes))
    return numbers.sin().view(ROWS, *sizes)


def _check_rows(function: Callable[[Sequence[Tensor]], Any], tensors: Sequence[Tensor], place: Place) -> None:
    """Check that a row of the result depends on the same row alone."""
    with torch.no_grad():
        whole, alone = (function([tensor[:rows].clone() for tensor in tensors]) for rows in (ROWS, 1))
    same = isinstance(whole, Tensor) and whole.shape[:1] == (ROWS,) and alone.shape == (1, *whole.shape[1:])
    if not same or not torch.allclose(whole[:1], alone, _TOLERANCE, _TOLERANCE, equal_nan=True):
        raise InputTypeError(
            f"{place.name} gives a token another result in another batch, so it is not exported; it has to "
            "treat each token by itself"
        )


def _result(batch: Batch, name: str, value: Value, sizes: torch.Size) -> Value:
    if isinstance(value, Vectors):
        rows = sizes[0] if len(sizes) == 2 else None
        return Vectors(name, sizes[-1], rows)
    leading = batch.graph.add("Shape", value.name, start=0, end=2)
    shape = batch.graph.add("Concat", leading, batch.graph.constant([prod(sizes)]), axis=0)
    steps = batch.graph.add("Reshape", name, shape)
    return replace(value, name=steps, features=prod(sizes), sizes=tuple(sizes) if len(sizes) > 1 else ())


def _on_ragged(part: Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
    """Return a function of ragged batches as one of their values."""
    return lambda values: _values_of(part(_as_ragged(values)))


def _as_ragged(values: Tensor) -> Ragged:
    return Ragged.from_lengths(values, [len(values)])


def _values_of(result: Any) -> Tensor:
    result = unwrapped(result)
    if not isinstance(result, Ragged):
        raise TypeError(f"it returned a {type(result).__name__} for a Ragged")
    return result.values


def _weights_of(part: Any) -> dict[str, Tensor]:
    """Return the parameters of a module, or of the module whose method a function is."""
    owner = (
        part if isinstance(part, nn.Module) else getattr(getattr(part, "function", part), "__self__", None)
    )
    return dict(owner.named_parameters()) if isinstance(owner, nn.Module) else {}
