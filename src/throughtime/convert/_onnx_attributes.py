"""The attributes of ONNX's RNN, LSTM and GRU operators, to and from the options of our layers."""

import math
from collections.abc import Mapping
from typing import Any

from throughtime.convert._layer import TAKES
from throughtime.errors import ShapeError
from throughtime.ops.cell import ACTIVATIONS, CellSpec, plain_spec

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
_OWN = {"RNN": set[str](), "LSTM": {"input_forget"}, "GRU": {"linear_before_reset"}}
_DIRECTIONS = {"forward": 1, "bidirectional": 2}


def attributes_of(spec: CellSpec, hidden_size: int, *, bidirectional: bool) -> dict[str, Any]:
    """Return the attributes of the operator that computes this cell, every number written out."""
    attributes: dict[str, Any] = {
        "hidden_size": hidden_size,
        "direction": "bidirectional" if bidirectional else "forward",
    }
    if spec.activations != plain_spec(spec.kind).activations:
        both = spec.activations * (2 if bidirectional else 1)
        attributes["activations"] = [_onnx_name(one.name) for one in both]
        # The lists have no gaps: only activations that have a number have an entry.
        alpha = [one.alpha for one in both if TAKES.get(one.name, 0) >= 1]
        beta = [one.beta for one in both if TAKES.get(one.name, 0) >= 2]
        attributes |= {"activation_alpha": alpha} if alpha else {}
        attributes |= {"activation_beta": beta} if beta else {}
    if spec.clip < math.inf:
        attributes["clip"] = spec.clip
    if spec.coupled:
        attributes["input_forget"] = 1
    if spec.kind == "GRU":
        attributes["linear_before_reset"] = int(spec.reset_after)
    return attributes


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


def options_in(kind: str, attributes: Mapping[str, Any], *, peephole: bool) -> dict[str, Any]:
    """Return the options of the layer that computes an operator.

    Raises
    ------
    ShapeError
        If an attribute is unknown, or has a value that our layers cannot take.
    """
    unknown = sorted(attributes.keys() - _SHARED - _OWN[kind])
    if unknown:
        raise ShapeError(f"from_onnx: {kind} has no attribute {unknown[0]!r}")
    options: dict[str, Any] = {"batch_first": bool(attributes.get("layout", 0))}
    if attributes.get("clip"):  # 0 stands for none
        options["clip"] = float(attributes["clip"])
    if kind == "LSTM":
        options |= {"peephole": peephole, "coupled": bool(attributes.get("input_forget", 0))}
    if kind == "GRU":
        options["reset_after"] = bool(attributes.get("linear_before_reset", 0))
    if attributes.get("activations"):
        given = _activations(kind, attributes)
        options |= {"nonlinearity": given[0]} if kind == "RNN" else {"activations": given}
    return options


def _activations(kind: str, attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return those of one direction, with their numbers; they have to be the same in both."""
    names = [str(name) for name in attributes["activations"]]
    each = len(plain_spec(kind).activations)  # type: ignore[arg-type]
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
    takes = TAKES.get(known, 0)
    if not takes:
        return known
    if known in {"affine", "scaled_tanh"} and not (alpha and beta):
        raise ShapeError(
            f"from_onnx: {name} needs its numbers, activation_alpha and activation_beta; the standard names "
            "no defaults, and runtimes differ"
        )
    numbers = [float(alpha.pop(0)) if alpha else ACTIVATIONS[known][0]]
    if takes == 2:
        numbers.append(float(beta.pop(0)) if beta else ACTIVATIONS[known][1])
    return (known, *numbers)
