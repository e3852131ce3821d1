"""The attributes of ONNX's RNN, LSTM and GRU operators, to and from the options of our layers."""

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
    """Return the attributes of the operator that computes this cell, every number written out."""
    attributes: dict[str, Any] = {
        "hidden_size": hidden_size,
        "direction": "bidirectional" if bidirectional else "forward",
    }
    if "activations" in spec.options():
        both = spec.activations * (2 if bidirectional else 1)
        attributes["activations"] = [_onnx_name(activation.name) for activation in both]
        # The lists have no gaps: only activations that have a number have an entry.
        counts = [len(ACTIVATIONS[activation.name].defaults) for activation in both]
        alpha = [activation.alpha for activation, count in zip(both, counts, strict=True) if count >= 1]
        beta = [activation.beta for activation, count in zip(both, counts, strict=True) if count >= 2]
        attributes |= {"activation_alpha": alpha} if alpha else {}
        attributes |= {"activation_beta": beta} if beta else {}
    if spec.clip < math.inf:
        attributes["clip"] = spec.clip
    return {**attributes, **layout.attributes}


def _onnx_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def directions_in(kind: str, attributes: Mapping[str, Any]) -> int:
    """Return how many directions an operator has.

    Raises
    ------
    ShapeError
        If it only reads in reverse, which our layers do not, or the word is unknown.
    """
    direction = attributes.get("direction", "forward")
    if direction == "reverse":
        raise ShapeError(
            f"from_onnx: direction 'reverse' alone is no layer of ours; give the weights twice with "
            f"'bidirectional', and take the second half of what the {kind} returns"
        )
    if direction not in _DIRECTIONS:
        raise ShapeError(
            f"from_onnx: direction is 'forward', 'reverse' or 'bidirectional', got {direction!r}"
        )
    return _DIRECTIONS[direction]


def options_in(
    spec: CellSpec, layout: OnnxLayout, attributes: Mapping[str, Any], *, own: bool
) -> dict[str, Any]:
    """Return the options of the layer that computes an operator.

    Parameters
    ----------
    spec, layout
        The cell of the operator with default options, and its layout.
    own
        Whether the operator has the input P.

    Raises
    ------
    ShapeError
        If an attribute is unknown, or has a value that our layers cannot take.
    """
    unknown = sorted(attributes.keys() - _SHARED - set(layout.attribute_names))
    if unknown:
        raise ShapeError(f"from_onnx: {layout.operator} has no attribute {unknown[0]!r}")
    options: dict[str, Any] = {"batch_first": bool(attributes.get("layout", 0))}
    if attributes.get("clip"):  # 0 stands for none
        options["clip"] = float(attributes["clip"])
    options |= spec.options_from_onnx(attributes, own=own)
    if attributes.get("activations"):
        activations = _activations(layout.operator, len(spec.activations), attributes)
        options |= replace(
            spec, activations=activations_of(activations, spec.activation_roles, layout.operator)
        ).layer_options()
    return options


def _activations(kind: str, each: int, attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return those of one direction, with their numbers; they have to be the same in both."""
    names = [str(name) for name in attributes["activations"]]
    directions = directions_in(kind, attributes)
    if len(names) != each * directions:
        raise ShapeError(
            f"from_onnx: {kind} in {directions} directions has {each * directions} activations, "
            f"got {len(names)}"
        )
    alpha, beta = (list(attributes.get(f"activation_{which}") or ()) for which in ("alpha", "beta"))
    every = [_activation(kind, name, alpha, beta) for name in names]
    if alpha or beta:
        raise ShapeError(
            f"from_onnx: activation_alpha and activation_beta have {len(alpha)} and {len(beta)} numbers more "
            f"than {', '.join(names)} take; leave no gaps for activations without numbers"
        )
    first, second = every[:each], every[each:]
    if second and first != second:
        raise ShapeError(
            f"from_onnx: the two directions have different activations, {first} and {second}; a layer "
            "of ours has one set, so give each direction a layer of its own"
        )
    return tuple(first)


def _activation(kind: str, name: str, alpha: list[float], beta: list[float]) -> Any:
    known = _NAMES.get(name.lower())
    if known is None:
        raise ShapeError(f"from_onnx: {kind} has an unknown activation {name!r}; known: {', '.join(_NAMES)}")
    takes = len(ACTIVATIONS[known].defaults)
    if not takes:
        return known
    if known in {"affine", "scaled_tanh"} and not (alpha and beta):
        raise ShapeError(
            f"from_onnx: {name} needs its numbers, activation_alpha and activation_beta; the standard names "
            "no defaults, and runtimes differ"
        )
    numbers = [float(alpha.pop(0)) if alpha else ACTIVATIONS[known].defaults[0]]
    if takes == 2:
        numbers.append(float(beta.pop(0)) if beta else ACTIVATIONS[known].defaults[1])
    return (known, *numbers)
