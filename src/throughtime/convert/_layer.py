"""A recurrent layer taken apart and put together: its options, and the weights of one direction at a time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from throughtime.errors import KindError, ShapeError
from throughtime.nn import GRU, LSTM, RNN
from throughtime.ops.cell import CellSpec, plain_spec

Layer = RNN | LSTM | GRU

CLASSES: Mapping[str, type[Layer]] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}


@dataclass(frozen=True)
class Direction:
    """Parameters of one layer in one direction, blocks of rows in our order; None where there is none."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    weight_hr: Tensor | None = None
    weight_peephole: Tensor | None = None
    weight_context: Tensor | None = None

    @property
    def bias(self) -> Tensor | None:
        """The sum of both biases."""
        if self.bias_ih is None or self.bias_hh is None:
            return None
        return self.bias_ih + self.bias_hh


_PARTS = tuple(field.name for field in fields(Direction))


def checked_layer(layer: object, function: str) -> Layer:
    """Return the layer if it is one of ours.

    Raises
    ------
    KindError
        If it is not, or its weights have no values.
    """
    if not isinstance(layer, Layer):
        raise KindError(
            f"{function} takes a throughtime.nn.RNN, LSTM or GRU, got {type(layer).__name__}; "
            "of a model, give the layer itself"
        )
    require_values(layer, function)
    return layer


def require_values(module: nn.Module, function: str) -> None:
    """Refuse a module with weights on the device "meta".

    Raises
    ------
    KindError
        If there are any.
    """
    for name, parameter in module.named_parameters():
        if parameter.is_meta:
            raise KindError(
                f"{function}: {name} is on the device 'meta' and has no values to convert; "
                "give the layer its weights first (to_empty, then load_state_dict)"
            )


def directions_of(layer: Layer) -> list[tuple[Direction, ...]]:
    """Return detached weights: for each layer of the stack one entry per direction.

    They are read as attributes, since a parametrization or pruning may have put them there.
    """

    def value(name: str) -> Any:
        found = getattr(layer, name, None)
        return found.detach() if isinstance(found, Tensor) else None

    suffixes = ("", "_reverse") if layer.bidirectional else ("",)
    return [
        tuple(Direction(**{part: value(f"{part}_l{k}{suffix}") for part in _PARTS}) for suffix in suffixes)
        for k in range(layer.num_layers)
    ]


def initial_states(layer: Layer) -> dict[str, Tensor]:
    """Return the learned initial states by the names that they have in the layer, detached."""
    names = ("initial_h", "initial_c") if layer.spec.kind == "LSTM" else ("initial_h",)
    return {name: getattr(layer, name).detach() for name in names if layer.learn_initial_state}


def options_of(layer: Layer) -> dict[str, Any]:
    """Return the arguments that make another layer like this one."""
    spec = layer.spec
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
    if spec.kind == "LSTM":
        options["proj_size"] = layer.proj_size
    return {**options, **cell_options(spec)}


def cell_options(spec: CellSpec) -> dict[str, Any]:
    """Return the arguments of a layer's constructor that make this cell, those that are not defaults."""
    plain = plain_spec(spec.kind)
    options: dict[str, Any] = {}
    if spec.activations != plain.activations:
        given = tuple(_argument(activation) for activation in spec.activations)
        options |= {"nonlinearity": given[0]} if spec.kind == "RNN" else {"activations": given}
    for name in ("peephole", "coupled", "reset_after"):
        if getattr(spec, name) != getattr(plain, name):
            options[name] = getattr(spec, name)
    if spec.update_new:
        options["update"] = "new"
    for name in ("clip", "cell_clip"):
        if getattr(spec, name) < math.inf:
            options[name] = getattr(spec, name)
    return options


TAKES = {
    "affine": 2,
    "elu": 1,
    "hard_sigmoid": 2,
    "leaky_relu": 1,
    "scaled_tanh": 2,
    "thresholded_relu": 1,
}
"""How many numbers (α, β) an activation has, 0 for those that are not here."""


def _argument(activation: tuple[str, float, float]) -> Any:
    name, *numbers = activation
    return (name, *numbers[: TAKES[name]]) if name in TAKES else name


def built(kind: str, **options: Any) -> Layer:
    """Make a layer whose weights are going to be replaced, so without touching the random state."""
    with torch.random.fork_rng(devices=[]):
        return CLASSES[kind](**options)


def parameters_of(stack: Sequence[Sequence[Direction]]) -> dict[str, Tensor]:
    """Return the weights by the names that they have in a layer."""
    return {
        f"{part}_l{k}{suffix}": value
        for k, directions in enumerate(stack)
        for direction, suffix in zip(directions, ("", "_reverse"), strict=False)
        for part in _PARTS
        if (value := getattr(direction, part)) is not None
    }


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
    KindError
        If numpy has no such numbers.
    """
    if tensor.dtype not in {torch.float16, torch.float32, torch.float64}:
        raise KindError(f"numpy has no {tensor.dtype}; convert a copy of the layer first, with .float()")
    return np.array(tensor.detach().cpu().numpy())


def as_tensor(value: Any, shape: tuple[int | None, ...], name: str) -> Tensor:
    """Return a foreign array as a tensor of a checked shape, None standing for any size but 0.

    Raises
    ------
    KindError
        If it is not an array of floating-point numbers, in this machine's byte order.
    ShapeError
        If it has another shape.
    """
    tensor = value.detach() if isinstance(value, Tensor) else torch.from_numpy(_numbers(value, name))
    if tensor.is_meta:
        raise KindError(f"{name} is on the device 'meta' and has no values; give a tensor with values")
    if not tensor.is_floating_point():
        raise KindError(f"{name} is {tensor.dtype}, expected floating-point numbers")
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
        raise KindError(f"{name} is a masked array, and weights have no gaps; give array.filled(value)")
    try:
        array = np.array(value)
    except (TypeError, ValueError) as error:
        raise KindError(f"{name} is no array of numbers ({error}); give a numpy array or a tensor") from error
    if array.dtype.kind not in "biufc":
        raise KindError(f"{name} is no array of numbers but of {array.dtype}; give array.astype('float32')")
    if not array.dtype.isnative:
        native = array.dtype.newbyteorder("=")
        raise KindError(
            f"{name} is an array of {array.dtype.str!r}, in another byte order than this machine's; give "
            f"array.astype({native.str!r})"
        )
    if array.dtype.itemsize > 8 and array.dtype.kind == "f":
        raise KindError(
            f"{name} is an array of {array.dtype}, which torch has not; give array.astype('float64')"
        )
    return array


def refuse(layer: Layer, function: str, unable: Mapping[str, str]) -> None:
    """Refuse the options that a layout does not have: names of options, with what to do about each.

    Raises
    ------
    ShapeError
        If the layer uses one of them.
    """
    spec = layer.spec
    used = {
        "proj_size": layer.proj_size > 0,
        "peephole": spec.peephole,
        "coupled": spec.coupled,
        "clip": spec.clip < math.inf,
        "cell_clip": spec.cell_clip < math.inf,
        "activations": spec.activations != plain_spec(spec.kind).activations,
        "reset_after": not spec.reset_after,
        "context_size": layer.context_size > 0,
        "learn_initial_state": layer.learn_initial_state,
    }
    for option, advice in unable.items():
        if used[option]:
            raise ShapeError(f"{function}: this {spec.kind} uses {option}, {advice}")
