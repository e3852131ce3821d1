"""Helpers of the conversions: options and weights of a recurrent layer, and checks of foreign arrays."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrent.layer import LAYERS, Recurrent
from throughtime.ops.recurrent.weights import Weights


def checked_layer(layer: object, function: str) -> Recurrent:
    """Return the layer if it is a recurrent layer of `throughtime.nn`.

    Raises
    ------
    InputTypeError
        If it is not, or its weights have no values.
    """
    if not isinstance(layer, Recurrent):
        raise InputTypeError(
            f"{function} takes a recurrent layer of throughtime.nn ({', '.join(LAYERS)}), got "
            f"{type(layer).__name__}; give the layer itself, not the model that has it"
        )
    require_values(layer, function)
    return layer


def require_values(module: nn.Module, function: str) -> None:
    """Check that no parameter is on the device "meta".

    Raises
    ------
    InputTypeError
        If one is.
    """
    for name, parameter in module.named_parameters():
        if parameter.is_meta:
            raise InputTypeError(
                f"{function}: {name} is on the device 'meta' and has no values to convert; "
                "give the layer its weights first (to_empty, then load_state_dict)"
            )


def directions_of(layer: Recurrent) -> list[tuple[Weights, ...]]:
    """Return detached weights, for each layer of the stack one entry per direction.

    ``context`` is the parameter, (G·H, C).
    """
    return layer.weight_plan.parameters(layer)


def initial_states(layer: Recurrent) -> dict[str, Tensor]:
    """Return the detached learned initial states by their parameter names."""
    names = [f"initial_{state}" for state in layer.spec.states] if layer.learn_initial_state else []
    return {name: getattr(layer, name).detach() for name in names}


def options_of(layer: Recurrent) -> dict[str, Any]:
    """Return the constructor arguments of a layer."""
    options: dict[str, Any] = {
        "input_size": layer.input_size,
        "hidden_size": layer.hidden_size,
        "num_layers": layer.num_layers,
        "bias": layer.bias,
        "batch_first": layer.batch_first,
        "dropout": layer.dropout,
        "bidirectional": layer.bidirectional,
        "context_size": layer.context_size,
        "learn_initial_state": layer.learn_initial_state,
    }
    if layer.proj_size:
        options["proj_size"] = layer.proj_size
    return {**options, **layer.spec.layer_options()}


def built(kind: str, **options: Any) -> Recurrent:
    """Construct a layer whose weights are replaced later, without changing the random state."""
    with torch.random.fork_rng(devices=[]):
        return LAYERS[kind](**options)


def copy_parameters(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy values to all parameters of a module.

    Raises
    ------
    ShapeError
        If a name is missing or unknown, or a shape differs.
    """
    parameters = dict(module.named_parameters())
    name = type(module).__name__
    if parameters.keys() != values.keys():
        missing = ", ".join(sorted(parameters.keys() - values.keys())) or "none"
        unexpected = ", ".join(sorted(values.keys() - parameters.keys())) or "none"
        raise ShapeError(
            f"{name}: missing weights: {missing}; unexpected weights: {unexpected}; give those of a layer "
            "with the same options"
        )
    with torch.no_grad():
        for key, value in values.items():
            if parameters[key].shape != value.shape:
                raise ShapeError(
                    f"{name}: {key} has shape {tuple(value.shape)}, expected {tuple(parameters[key].shape)}"
                )
            parameters[key].copy_(value)


def blocks(tensor: Tensor, count: int, order: Iterable[int]) -> Tensor:
    """Return blocks of rows in another order; −1 is a block of zeros."""
    parts = tensor.chunk(count)
    return torch.cat([torch.zeros_like(parts[0]) if i < 0 else parts[i] for i in order])


def as_array(tensor: Tensor) -> np.ndarray:
    """Return a copy as a numpy array.

    Raises
    ------
    InputTypeError
        If numpy does not support the dtype.
    """
    if tensor.dtype not in {torch.float16, torch.float32, torch.float64}:
        raise InputTypeError(f"numpy has no {tensor.dtype}; convert a copy of the layer first, with .float()")
    return np.array(tensor.detach().cpu().numpy())


def as_tensor(value: Any, shape: tuple[int | None, ...], name: str) -> Tensor:
    """Convert an array to a tensor and check its shape; None is any size from 1.

    Raises
    ------
    InputTypeError
        If it is not an array of floating-point numbers in native byte order.
    ShapeError
        If it has another shape.
    """
    tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(_numbers(value, name))
    if tensor.is_meta:
        raise InputTypeError(f"{name} is on the device 'meta' and has no values; give a tensor with values")
    if not tensor.is_floating_point():
        raise InputTypeError(f"{name} is {tensor.dtype}, expected floating-point numbers")
    fits = len(shape) == tensor.dim() and all(
        want in {None, got} for want, got in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ShapeError(f"{name} has shape {tuple(tensor.shape)}, expected ({wanted})")
    if not tensor.numel():
        raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; sizes are at least 1")
    return tensor


def _numbers(value: Any, name: str) -> np.ndarray:
    """Return a copy of an array-like that torch supports."""
    if np.ma.isMaskedArray(value):
        raise InputTypeError(f"{name} is a masked array, expected all values; give array.filled(value)")
    try:
        array = np.array(value)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"{name} is not an array of numbers ({error}); give a numpy array or a tensor"
        ) from error
    if array.dtype.kind not in "biufc":
        raise InputTypeError(
            f"{name} is an array of {array.dtype}, expected numbers; give array.astype('float32')"
        )
    if not array.dtype.isnative:
        native = array.dtype.newbyteorder("=")
        raise InputTypeError(
            f"{name} is an array of {array.dtype.str!r}, expected native byte order; give "
            f"array.astype({native.str!r})"
        )
    if array.dtype.itemsize > 8 and array.dtype.kind == "f":
        raise InputTypeError(
            f"{name} is an array of {array.dtype}, which torch does not support; give array.astype('float64')"
        )
    return array


def refuse(layer: Recurrent, function: str, unable: Mapping[str, str]) -> None:
    """Check that a layer uses no option of ``unable``, which maps unsupported options to advice.

    Raises
    ------
    ShapeError
        If the layer uses one of them.
    """
    used = layer.spec.options().keys() | {
        name for name in ("proj_size", "context_size", "learn_initial_state") if getattr(layer, name)
    }
    for option, advice in unable.items():
        if option in used:
            raise ShapeError(f"{function}: this {layer.spec.kind} uses {option}, {advice}")
