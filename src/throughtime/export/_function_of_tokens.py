"""A function of tokens that states no operators: they are recorded."""

from math import prod

import torch

from throughtime.export._batch import Batch, Steps, Value, Vectors, steps_of
from throughtime.export._function import add_function
from throughtime.export._place import Place
from throughtime.nn.description import OfTokens

_ROWS = 2  # of the tensor with which it is recorded


def add_function_of_tokens(batch: Batch, part: OfTokens, value: Value, place: Place) -> Steps:
    """Add the operators that it calls on the values of all steps, (L·B, …).

    Raises
    ------
    InputTypeError
        If an operator has no form here.
    ShapeError
        If it follows a pool, or reads other features.
    """
    graph = batch.graph
    if isinstance(value, Vectors) or (value.features is not None and part.features != "any"):
        value = steps_of(value, place.name, None if part.features == "any" else part.features)
    if value.features is None:
        tokens, flat = torch.zeros(_ROWS, dtype=torch.int64), graph.reshaped(value.name, [-1])
    else:
        sizes = value.sizes or (value.features,)
        tokens, flat = torch.zeros(_ROWS, *sizes), graph.reshaped(value.name, [-1, *sizes])
    results: list[torch.Tensor] = []

    def function(x: torch.Tensor) -> list[torch.Tensor]:
        results.append(part.function(x))
        return results

    (name,) = add_function(graph, function, [(tokens, flat)], _weights_of(part), place.name)
    if name == flat:
        return value
    sizes = tuple(results[0].shape[1:])
    leading = graph.add("Shape", value.name, start=0, end=2)
    shape = graph.add("Concat", leading, graph.constant([prod(sizes)]), axis=0)
    steps = graph.add("Reshape", name, shape)
    return Steps(steps, prod(sizes), sizes if len(sizes) > 1 else ())


def _weights_of(part: OfTokens) -> dict[str, torch.Tensor]:
    """Return the parameters of the module whose method it is."""
    owner = getattr(part.function, "__self__", None)
    return dict(owner.named_parameters()) if isinstance(owner, torch.nn.Module) else {}
