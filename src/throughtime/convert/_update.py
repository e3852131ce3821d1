"""Conversion between the two conventions for the update gate of a GRU."""

import math
from typing import Literal

import torch
from torch import Tensor

from throughtime.convert._layer import (
    built,
    checked_layer,
    copy_parameters,
    directions_of,
    initial_states,
    options_of,
)
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn import GRU
from throughtime.nn.recurrent.layer import Recurrent
from throughtime.ops.recurrent.weights import Weights


def with_update(layer: GRU, update: Literal["old", "new"]) -> GRU:
    r"""Convert a GRU to the given convention for its update gate.

    With "old", h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}; with "new", h_t = (1 − z) ⊙ h_{t−1} + z ⊙ n. As
    σ(−a) = 1 − σ(a), the rows of z in weights and biases are negated.

    Parameters
    ----------
    layer : GRU
        The layer; it is not changed.
    update : "old" or "new"
        The value that z multiplies in the result. If the layer has this convention, the result is a copy.

    Returns
    -------
    GRU
        Equivalent layer with the same other options, dtype, device, mode and bounds on gradients.

    Raises
    ------
    InputTypeError
        If it is not a GRU, or its weights have no values.
    ShapeError
        If ``update`` is not "old" or "new", or f(−a) = 1 − f(a) does not hold for the gate activation f.

    References
    ----------
    .. [1] K. Cho et al., EMNLP (2014): the old value; R. Kiros et al., "Skip-thought vectors", NeurIPS
       (2015): the new one.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> old = tt.nn.GRU(3, 5)
    >>> new = tt.convert.with_update(old, "new")
    >>> x = torch.randn(7, 3)
    >>> torch.allclose(new(x).output, old(x).output, atol=1e-6)
    True
    """
    layer = _gru(layer)
    if update not in {"old", "new"}:
        raise ShapeError(f"with_update: update must be 'old' or 'new', got {update!r}")
    stack = directions_of(layer) if layer.spec.update == update else negated(layer, "with_update")
    weight = layer.weight_ih_l0
    options = {**options_of(layer), "update": update}
    converted = built("GRU", **options, device=weight.device, dtype=weight.dtype)
    copy_parameters(converted, {**layer.weight_plan.named(stack), **initial_states(layer)})
    converted = _gru(converted.train(layer.training))
    value, norm = _finite(layer.spec.gradient_value), _finite(layer.spec.gradient_norm)
    converted.bound_gradients(value=value, norm=norm)
    return converted


def _finite(bound: float) -> float | None:
    return bound if bound < math.inf else None


def _gru(layer: object) -> GRU:
    if isinstance(checked_layer(layer, "with_update"), GRU):
        return layer  # type: ignore[return-value]
    raise InputTypeError(f"with_update takes a GRU, got {type(layer).__name__}, which has no update gate")


def with_old_update(layer: Recurrent, function: str) -> list[tuple[Weights, ...]]:
    """Return the weights of a layer, for a GRU with the convention "old"."""
    new = isinstance(layer, GRU) and layer.spec.update == "new"
    return negated(layer, function) if new else directions_of(layer)


def negated(layer: Recurrent, function: str) -> list[tuple[Weights, ...]]:
    """Return the weights of a GRU with the rows of z negated.

    Raises
    ------
    ShapeError
        If f(−a) = 1 − f(a) does not hold for the gate activation f.
    """
    gate = layer.spec.activations[0]
    if gate.name != "sigmoid" and not (gate.name in {"hard_sigmoid", "affine"} and gate.beta == 0.5):
        raise ShapeError(
            f"{function}: the gate activation f is {tuple(gate)}, for which 1 − f(a) differs from f(−a), so "
            "the conventions for z cannot be converted; use sigmoid, or hard_sigmoid with β = 0.5"
        )
    return [tuple(_negated(weights) for weights in row) for row in directions_of(layer)]


def _negated(weights: Weights) -> Weights:
    def negate_z(tensor: Tensor) -> Tensor:
        r, z, n = tensor.chunk(3)
        return torch.cat([r, -z, n])

    def optional(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else negate_z(tensor)

    return weights._replace(
        ih=negate_z(weights.ih),
        hh=negate_z(weights.hh),
        bias_ih=optional(weights.bias_ih),
        bias_hh=optional(weights.bias_hh),
        context=optional(weights.context),
    )
