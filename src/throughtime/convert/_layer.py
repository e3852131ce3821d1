"""A recurrent layer taken apart and put together: its options, and the weights of one direction at a time."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrent.layer import LAYERS, Recurrent
from throughtime.ops.recurrent.weights import Weights


def checked_layer(layer: object, function: str) -> Recurrent:
    """Return the layer if it is one of ours.

    Raises
    ------
    InputTypeError
        If it is not, or its weights have no values.
    """
    if not isinstance(layer, Recurrent):
        raise InputTypeError(
            f"{function} takes a recurrent layer of throughtime.nn ({', '.join(LAYERS)}), got "
            f"{type(layer).__name__}; "
            "of a model, give the layer itself"
        )
    require_values(layer, function)
    return layer


def require_values(module: nn.Module, function: str) -> None:
    """Refuse a module with weights on the device "meta".

    Raises
    ------
    InputTypeError
        If there are any.
    """
    for name, parameter in module.named_parameters():
        if parameter.is_meta:
            raise InputTypeError(
                f"{function}: {name} is on the device 'meta' and has no values to convert; "
                "give the layer its weights first (to_empty, then load_state_dict)"
            )


def directions_of(layer: Recurrent) -> list[tuple[Weights, ...]]:
    """Return detached weights: for each layer of the stack one entry per direction.

    ``context`` is the parameter, (G·H, C).
    """
    return layer.weight_plan.parameters(layer)


def initial_states(layer: Recurrent) -> dict[str, Tensor]:
    """Return the learned initial states by the names that they have in the layer, detached."""
    names = [f"initial_{state}" for state in layer.spec.states] if layer.learn_initial_state else []
    return {name: getattr(layer, name).detach() for name in names}


def options_of(layer: Recurrent) -> dict[str, Any]:
    """Return the arguments that make another layer like this one."""
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
    """Make a layer whose weights are going to be replaced, so without touching the random state."""
    with torch.random.fork_rng(devices=[]):
        return LAYERS[kind](**options)


def copy_parameters(module: nn.Module, given: Mapping[str, Tensor]) -> None:
    """Give a module these parameters, all of them.

    Raises
    ------
    ShapeError
        If a name is missing or unknown, or a shape differs.
    """
    own = dict(module.named_parameters())
    name = type(module).__name__
    if own.keys() != given.keys():
        missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
        raise ShapeError(
            f"{name}: the weights lack {', '.join(missing) or 'nothing'} and have "
            f"{', '.join(unknown) or 'nothing'} too many; give those of a layer with the same options"
        )
    with torch.no_grad():
        for key, value in given.items():
            if own[key].shape != value.shape:
                raise ShapeError(
                    f"{name}: {key} has shape {tuple(value.shape)}, expected {tuple(own[key].shape)}"
                )
            own[key].copy_(value)


def blocks(tensor: Tensor, count: int, order: Iterable[int]) -> Tensor:
    """Return blocks of rows in another order; −1 stands for a block of zeros."""
    parts = tensor.chunk(count)
    return torch.cat([torch.zeros_like(parts[0]) if i < 0 else parts[i] for i in order])


def as_array(tensor: Tensor) -> np.ndarray:
    """Return a copy for numpy.

    Raises
    ------
    InputTypeError
        If numpy has no such numbers.
    """
    if tensor.dtype not in {torch.float16, torch.float32, torch.float64}:
        raise InputTypeError(f"numpy has no {tensor.dtype}; convert a copy of the layer first, with .float()")
    return np.array(tensor.detach().cpu().numpy())


def as_tensor(value: Any, shape: tuple[int | None, ...], name: str) -> Tensor:
    """Return a foreign array as a tensor of a checked shape, None standing for any size but 0.

    Raises
    ------
    InputTypeError
        If it is not an array of floating-point numbers, in this machine's byte order.
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
    """Return a copy of a numpy array, or of what numpy makes one of, that torch can take."""
    if np.ma.isMaskedArray(value):
        raise InputTypeError(f"{name} is a masked array, and weights have no gaps; give array.filled(value)")
    try:
        array = np.array(value)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"{name} is no array of numbers ({error}); give a numpy array or a tensor"
        ) from error
    if array.dtype.kind not in "biufc":
        raise InputTypeError(
            f"{name} is no array of numbers but of {array.dtype}; give array.astype('float32')"
        )
    if not array.dtype.isnative:
        native = array.dtype.newbyteorder("=")
        raise InputTypeError(
            f"{name} is an array of {array.dtype.str!r}, in another byte order than this machine's; give "
            f"array.astype({native.str!r})"
        )
    if array.dtype.itemsize > 8 and array.dtype.kind == "f":
        raise InputTypeError(
            f"{name} is an array of {array.dtype}, which torch has not; give array.astype('float64')"
        )
    return array


def refuse(layer: Recurrent, function: str, unable: Mapping[str, str]) -> None:
    """Refuse the options that a layout does not have: names of options, with what to do about each.

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
