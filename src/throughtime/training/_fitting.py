"""Construction of a model for given weights, with a check of their number, names and shapes beforehand."""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

# Constructors create some parameters that are replaced later.
_SLACK, _FEW = 4, 1000


class MisfitError(Exception):
    """Weights do not match a model; the message gives the difference."""


def fitting_model(build: Callable[[], nn.Module], sizes: Any, weights: Any) -> nn.Module:
    """Build a model for given weights, without setting them and without changing the random state.

    The model is first built on the device "meta", which stops if it is too large for these weights. So a
    damaged configuration takes little memory and time.

    Parameters
    ----------
    build : callable
        Function that builds the model.
    sizes : Any
        JSON values that determine the size of the model.
    weights : mapping of str to Tensor
        Weights by their names in the ``state_dict`` of the model.

    Raises
    ------
    MisfitError
        If the weights do not match the model.
    """
    if not isinstance(weights, dict) or not all(isinstance(part, Tensor) for part in weights.values()):
        raise MisfitError("it has no weights")
    _require_plausible(sizes, sum(map(torch.numel, weights.values())), "")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # Shapes of parameters, including empty ones, are compared with the weights below.
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors is a no-op")
        with torch.device("meta"), _no_larger_than(weights):
            outline = build()
        require_fit(outline.state_dict(), weights)
        return build()


def require_fit(expected: Mapping[str, Tensor], weights: Any) -> None:
    """Check that weights have the names, shapes and dtypes of the expected ones.

    Raises
    ------
    MisfitError
        If they differ.
    """
    if not isinstance(weights, dict):
        raise MisfitError("it has no weights")
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            raise MisfitError(f"{name} is missing")
        if name not in expected:
            raise MisfitError(f"{name} is not in the model")
        wanted, actual = (_described(tensors[name]) for tensors in (expected, weights))
        if wanted != actual:
            raise MisfitError(f"{name} has {actual}, but the model has {wanted}")


def _described(tensor: Any) -> str:
    if not isinstance(tensor, Tensor):
        return f"type {type(tensor).__name__}"
    return f"shape {tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def _require_plausible(value: Any, numbers: int, place: str) -> None:
    """Check that no size exceeds the number of weights, as each unit has at least one."""
    if isinstance(value, int) and not isinstance(value, bool) and value > numbers:
        raise MisfitError(f"{place} = {value} exceeds the number of weights, {numbers}")
    if isinstance(value, dict):
        for key, part in value.items():
            _require_plausible(part, numbers, f"{place}.{key}" if place else key)
    if isinstance(value, list):
        for i, part in enumerate(value):
            _require_plausible(part, numbers, f"{place}.{i}")


@contextmanager
def _no_larger_than(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Stop building a model in this thread if it has far more parameters than weights are given."""
    thread, count, limit = threading.get_ident(), 0, _SLACK * len(weights) + _FEW

    def counting(*registered: Any) -> None:
        nonlocal count
        count += threading.get_ident() == thread and isinstance(registered[-1], Tensor)
        if count > limit:
            raise MisfitError(f"it has {len(weights)} tensors, but the model has more than {limit}")

    hook = register_module_parameter_registration_hook(counting)
    try:
        yield
    finally:
        hook.remove()
