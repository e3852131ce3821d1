"""Conversion between attributes of the ONNX operators RNN, LSTM and GRU and options of layers."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from throughtime.errors import ShapeError
from throughtime.ops.recurrent.activations import ACTIVATIONS, activations_of
from throughtime.ops.recurrent.spec import CellSpec, OnnxLayout

_NAMES = {name.replace("_", ""): name for name in ACTIVATIONS}
_SHARED = {
    "activation_alpha",
    "activation_beta",
    "activations",
    "clip",
    "direction",
    "hidden_size",
    "layout",
}
_DIRECTIONS = {"forward": 1, "bidirectional": 2}


def attributes_of(
    spec: CellSpec, layout: OnnxLayout, hidden_size: int, *, bidirectional: bool
) -> dict[str, Any]:
    """Return the attributes of the operator for this cell, with all parameters of activations explicit."""
    attributes: dict[str, Any] = {
        "hidden_size": hidden_size,
        "direction": "bidirectional" if bidirectional else "forward",
    }
    if "activations" in spec.options():
        activations = spec.activations * (2 if bidirectional else 1)
        attributes["activations"] = [_onnx_name(activation.name) for activation in activations]
        # The lists have entries for activations with parameters only.
        counts = [len(ACTIVATIONS[activation.name].defaults) for activation in activations]
        alpha = [activation.alpha for activation, n in zip(activations, counts, strict=True) if n >= 1]
        beta = [activation.beta for activation, n in zip(activations, counts, strict=True) if n >= 2]
        attributes |= {"activation_alpha": alpha} if alpha else {}
        attributes |= {"activation_beta": beta} if beta else {}
    if spec.clip < math.inf:
        attributes["clip"] = spec.clip
    return {**attributes, **layout.attributes}


def _onnx_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def directions_in(kind: str, attributes: Mapping[str, Any]) -> int:
    """Return the number of directions of an operator.

    Raises
    ------
    ShapeError
        If the direction is "reverse" alone, which the layers do not support, or is unknown.
    """
    direction = attributes.get("direction", "forward")
    if direction == "reverse":
        raise ShapeError(
            "from_onnx: direction 'reverse' alone is not supported; give the weights twice with "
            f"'bidirectional', and use the second half of the output features of the {kind}"
        )
    if direction not in _DIRECTIONS:
        raise ShapeError(f"from_onnx: direction must be 'forward' or 'bidirectional', got {direction!r}")
    return _DIRECTIONS[direction]


def options_in(
    spec: CellSpec, layout: OnnxLayout, attributes: Mapping[str, Any], *, peephole: bool
) -> dict[str, Any]:
    """Return the options of the layer for an operator.

    Parameters
    ----------
    spec, layout
        The cell of the operator with default options, and its layout.
    peephole
        Whether the operator has the input P.

    Raises
    ------
    ShapeError
        If an attribute is unknown, or its value is not supported by the layers.
    """
    unknown = sorted(attributes.keys() - _SHARED - set(layout.attribute_names))
    if unknown:
        names = ", ".join(sorted(_SHARED | set(layout.attribute_names)))
        raise ShapeError(
            f"from_onnx: {layout.operator} has no attribute {unknown[0]!r}; its attributes are {names}"
        )
    options: dict[str, Any] = {"batch_first": bool(attributes.get("layout", 0))}
    if attributes.get("clip"):  # 0 is no clip
        options["clip"] = float(attributes["clip"])
    options |= spec.options_from_onnx(attributes, own=peephole)
    if attributes.get("activations"):
        activations = _activations(layout.operator, len(spec.activations), attributes)
        options |= replace(
            spec, activations=activations_of(activations, spec.activation_roles, layout.operator)
        ).layer_options()
    return options


def _activations(kind: str, per_direction: int, attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the activations of a direction with their parameters; both directions must have the same."""
    names = [str(name) for name in attributes["activations"]]
    directions = directions_in(kind, attributes)
    if len(names) != per_direction * directions:
        raise ShapeError(
            f"from_onnx: {kind} with {directions} directions has {per_direction * directions} activations, "
            f"got {len(names)}"
        )
    alpha, beta = (list(attributes.get(f"activation_{which}") or ()) for which in ("alpha", "beta"))
    activations = [_activation(kind, name, alpha, beta) for name in names]
    if alpha or beta:
        raise ShapeError(
            f"from_onnx: activation_alpha and activation_beta have {len(alpha)} and {len(beta)} values more "
            f"than {', '.join(names)} take; give values only for activations with parameters"
        )
    first, second = activations[:per_direction], activations[per_direction:]
    if second and first != second:
        raise ShapeError(
            f"from_onnx: the two directions have different activations, {first} and {second}, but a layer "
            "has one set; convert each direction separately"
        )
    return tuple(first)


def _activation(kind: str, name: str, alpha: list[float], beta: list[float]) -> Any:
    activation = _NAMES.get(name.lower())
    if activation is None:
        raise ShapeError(
            f"from_onnx: {kind} has an unknown activation {name!r}; choose one of {', '.join(_NAMES)}"
        )
    defaults = ACTIVATIONS[activation].defaults
    if not defaults:
        return activation
    if activation in {"affine", "scaled_tanh"} and not (alpha and beta):
        raise ShapeError(
            f"from_onnx: {name} needs activation_alpha and activation_beta; the standard has no defaults, "
            "and runtimes differ"
        )
    parameters = [float(alpha.pop(0)) if alpha else defaults[0]]
    if len(defaults) == 2:
        parameters.append(float(beta.pop(0)) if beta else defaults[1])
    return (activation, *parameters)
