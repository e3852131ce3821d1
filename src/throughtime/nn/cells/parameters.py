"""Registration and initialisation of the parameters of a cell."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from throughtime.errors import ShapeError


def add_parameters(
    cell: nn.Module,
    shapes: Mapping[str, tuple[int, ...] | None],
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> None:
    """Register uninitialised parameters by name and shape; a shape of None registers None."""
    for name, shape in shapes.items():
        empty = None if shape is None else nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        cell.register_parameter(name, empty)


def set_uniform(cell: nn.Module, size: int) -> None:
    """Set a cell's parameters, without those of child modules, uniformly within ±1/√size, as in torch."""
    bound = 1 / math.sqrt(size)
    for parameter in cell.parameters(recurse=False):
        nn.init.uniform_(parameter, -bound, bound)


def checked_choice(value: str, choices: tuple[str, ...], name: str, layer: str) -> str:
    """Return the value of an option if it is one of the choices."""
    if value not in choices:
        listed = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
        raise ShapeError(f"{layer}: {name} must be {listed}, got {value!r}")
    return value
