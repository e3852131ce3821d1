"""The two meanings of the GRU's update gate, and how weights go from one to the other."""

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
    r"""Return a GRU that computes the same with the other meaning of its update gate.

    With "old", h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}; with "new", h_t = (1 − z) ⊙ h_{t−1} + z ⊙ n. As
    σ(−a) = 1 − σ(a), the rows of z in weights and biases are negated.

    Parameters
    ----------
    layer : GRU
        Stays as it is.
    update : "old" or "new"
        What z multiplies in the result; if the layer has that already, the result is a copy.

    Returns
    -------
    GRU
        With parameters of its own, the layer's other options, dtype, device, mode and bounds on
        gradients.

    Raises
    ------
    InputTypeError
        If it is not a GRU, or its weights have no values.
    ShapeError
        If ``update`` is another word, or f(−a) = 1 − f(a) does not hold for the gates' activation f.

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
        raise ShapeError(f"with_update: update is 'old' or 'new', got {update!r}")
    stack = directions_of(layer) if layer.spec.update == update else negated(layer, "with_update")
    weight = layer.weight_ih_l0
    options = {**options_of(layer), "update": update}
    other = built("GRU", **options, device=weight.device, dtype=weight.dtype)
    copy_parameters(other, {**layer.weight_plan.named(stack), **initial_states(layer)})
    other = _gru(other.train(layer.training))
    other.bound_gradients(value=_given(layer.spec.gradient_value), norm=_given(layer.spec.gradient_norm))
    return other


def _given(bound: float) -> float | None:
    return bound if bound < math.inf else None


def _gru(layer: object) -> GRU:
    if isinstance(checked_layer(layer, "with_update"), GRU):
        return layer  # type: ignore[return-value]
    raise InputTypeError(f"with_update takes a GRU, got {type(layer).__name__}, which has no update gate")


def with_old_update(layer: Recurrent, function: str) -> list[tuple[Weights, ...]]:
    """Return the layer's weights with z keeping the old value."""
    new = isinstance(layer, GRU) and layer.spec.update == "new"
    return negated(layer, function) if new else directions_of(layer)


def negated(layer: Recurrent, function: str) -> list[tuple[Weights, ...]]:
    """Return the weights of a GRU with the rows of z negated.

    Raises
    ------
    ShapeError
        If that is not the same as 1 − z.
    """
    gate = layer.spec.activations[0]
    if gate.name != "sigmoid" and not (gate.name in {"hard_sigmoid", "affine"} and gate.beta == 0.5):
        raise ShapeError(
            f"{function}: the gates' activation is {tuple(gate)}, of which 1 − f(a) is not f(−a), so the "
            "two meanings of z do not convert; sigmoid does, and hard_sigmoid with β = 0.5"
        )
    return [tuple(_negated(weights) for weights in row) for row in directions_of(layer)]


def _negated(weights: Weights) -> Weights:
    def turned(part: Tensor) -> Tensor:
        r, z, n = part.chunk(3)
        return torch.cat([r, -z, n])

    def optional(part: Tensor | None) -> Tensor | None:
        return None if part is None else turned(part)

    return weights._replace(
        ih=turned(weights.ih),
        hh=turned(weights.hh),
        bias_ih=optional(weights.bias_ih),
        bias_hh=optional(weights.bias_hh),
        context=optional(weights.context),
    )
