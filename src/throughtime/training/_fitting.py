"""A model for weights that are there already: built only if it has as many, of the same names and shapes."""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

# Constructors make some parameters that they put others in the place of.
_SLACK, _FEW = 4, 1000


class MisfitError(Exception):
    """Weights are not those of a model; the message says in what they differ."""


def fitting_model(build: Callable[[], nn.Module], sizes: Any, weights: Any) -> nn.Module:
    """Build a model, whose weights are not set yet, without touching the random state.

    It is built without memory for its weights first (on torch's device "meta"), and no further than it could
    have these weights. So what a damaged configuration asks for takes neither memory nor time.

    Parameters
    ----------
    build : callable
        Makes the model.
    sizes : Any
        JSON values that it is built by.
    weights : mapping of str to Tensor
        By their names in the model's ``state_dict``.

    Raises
    ------
    MisfitError
        If these are not the model's weights.
    """
    if not isinstance(weights, dict) or not all(isinstance(part, Tensor) for part in weights.values()):
        raise MisfitError("it holds no weights")
    _require_plausible(sizes, sum(map(torch.numel, weights.values())), "")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # Of an empty parameter; whether it should be empty the weights tell, which are put in place of it.
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors is a no-op")
        with torch.device("meta"), _no_larger_than(weights):
            outline = build()
        require_fit(outline.state_dict(), weights)
        return build()


def require_fit(expected: Mapping[str, Tensor], weights: Any) -> None:
    """Compare weights with those of a model.

    Raises
    ------
    MisfitError
        If something differs.
    """
    if not isinstance(weights, dict):
        raise MisfitError("it holds no weights")
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            raise MisfitError(f"{name} is missing")
        if name not in expected:
            raise MisfitError(f"{name} is not in the model")
        was, has = (_described(tensors[name]) for tensors in (expected, weights))
        if was != has:
            raise MisfitError(f"{name} has {has}, the model's is {was}")


def _described(tensor: Any) -> str:
    if not isinstance(tensor, Tensor):
        return f"no numbers but a {type(tensor).__name__}"
    return f"shape {tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def _require_plausible(value: Any, numbers: int, place: str) -> None:
    """Check that no size is beyond the number of all weights: each unit has one at least."""
    if isinstance(value, int) and not isinstance(value, bool) and value > numbers:
        raise MisfitError(f"{place} = {value} is beyond the {numbers} numbers that it holds")
    if isinstance(value, dict):
        for key, part in value.items():
            _require_plausible(part, numbers, f"{place}.{key}" if place else key)
    if isinstance(value, list):
        for i, part in enumerate(value):
            _require_plausible(part, numbers, f"{place}.{i}")


@contextmanager
def _no_larger_than(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """End the building of a model, in this thread, that has far more parameters than there are weights."""
    thread, count, most = threading.get_ident(), 0, _SLACK * len(weights) + _FEW

    def counting(*registered: Any) -> None:
        nonlocal count
        count += threading.get_ident() == thread and isinstance(registered[-1], Tensor)
        if count > most:
            raise MisfitError(f"it holds {len(weights)} tensors, and the model is far larger")

    hook = register_module_parameter_registration_hook(counting)
    try:
        yield
    finally:
        hook.remove()
