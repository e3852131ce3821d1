"""The operators of a graph: their PyTorch implementation, their gradient, and whether they are recomputed.

A gradient rule gets g, the gradient of the result, and returns those of the inputs; None is zero everywhere.
Where the derivative does not exist (maximum and relu at ties), the rule is torch's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.ops.program.graph import Node
from throughtime.ops.recurrent.bounds import bounded_gradient

if TYPE_CHECKING:
    from throughtime.ops.program.builder import Value

Gradients = tuple["Value | None", ...]


class Call(NamedTuple):
    """An application of an operator, whose gradient is asked for: its result, inputs and numbers."""

    y: "Value"
    inputs: "tuple[Value, ...]"
    numbers: tuple[float, ...]

    @property
    def a(self) -> "Value":
        """Return the first input."""
        return self.inputs[0]

    @property
    def b(self) -> "Value":
        """Return the second input."""
        return self.inputs[1]

    @property
    def c(self) -> "Value":
        """Return the third input."""
        return self.inputs[2]


@dataclass(frozen=True)
class Operator:
    """One operator.

    Parameters
    ----------
    arity : int
        Number of its inputs; -1 for any.
    compute : callable
        Of its inputs (n, width) each and the node: the result (n, width).
    gradient : callable
        Of g and the call: the gradients of the inputs.
    cheap : bool
        Whether a backward pass computes the result again from the inputs; else it reads what the forward pass
        wrote.
    """

    arity: int
    compute: Callable[[Sequence[Tensor], Node], Tensor]
    gradient: "Callable[[Value, Call], Gradients]"
    cheap: bool


def _cheap(
    arity: int, function: Callable[..., Tensor], gradient: "Callable[[Value, Call], Gradients]"
) -> Operator:
    """Return a pointwise operator of inputs and numbers that is recomputed in the backward pass."""
    return Operator(arity, lambda inputs, node: function(*inputs, *node.numbers), gradient, cheap=True)


def _kept(
    arity: int, function: Callable[..., Tensor], gradient: "Callable[[Value, Call], Gradients]"
) -> Operator:
    """Return a pointwise operator whose result is saved for the backward pass."""
    return Operator(arity, lambda inputs, node: function(*inputs, *node.numbers), gradient, cheap=False)


def _layout(
    function: Callable[[Tensor, int], Tensor],
    gradient: "Callable[[Value, Call], Gradients]",
    *,
    cheap: bool,
) -> Operator:
    """Return an operator of one input and the width of the result."""
    return Operator(1, lambda inputs, node: function(inputs[0], node.width), gradient, cheap)


def _comparison(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return _cheap(2, lambda a, b: function(a, b).to(a.dtype), lambda *_: (None, None))


def _unless(loses: "Value", ties: "Value", g: "Value") -> "Value":
    """Return the gradient of one of two inputs: g unless the other is chosen, half of it where both are."""
    return loses.where(0.0, ties.where(g * 0.5, g))


def _maximum_gradient(g: "Value", at: Call) -> Gradients:
    ties = at.a.call("eq", at.b)
    return _unless(at.a.call("lt", at.b), ties, g), _unless(at.a.call("gt", at.b), ties, g)


def _minimum_gradient(g: "Value", at: Call) -> Gradients:
    ties = at.a.call("eq", at.b)
    return _unless(at.a.call("gt", at.b), ties, g), _unless(at.a.call("lt", at.b), ties, g)


def _max_gradient(g: "Value", at: Call) -> Gradients:
    """Return g in equal parts for all places of the maximum, as `torch.amax` has it."""
    places = at.a.call("eq", at.y.repeat(at.a.width))
    return ((g / places.sum(g.width)).repeat(at.a.width) * places,)


def _groups(x: Tensor, count: int) -> Tensor:
    """Return so many groups of adjacent values."""
    return x.view(*x.shape[:-1], count, x.shape[-1] // count)


def _concat_gradient(g: "Value", at: Call) -> Gradients:
    parts, begin = [], 0
    for one in at.inputs:
        parts.append(g.slice(begin, one.width))
        begin += one.width
    return tuple(parts)


def _bounded(g: "Value", at: Call) -> Gradients:
    """Return g with entries within ±value, then each row's norm at most ``norm``; no bound is infinity."""
    value, norm = at.numbers
    if value < math.inf:
        g = g.call("minimum", value).call("maximum", -value)
    if norm < math.inf:
        length = (g * g).sum(1).call("sqrt")
        g = g * length.call("gt", norm).where(norm / length, 1.0).repeat(g.width)
    return (g,)


def _mean(x: "Value") -> "Value":
    """Return the mean of a row, in every place."""
    return (x.sum(1) * (1 / x.width)).repeat(x.width)


def _inverse_deviation(inputs: Sequence[Tensor], node: Node) -> Tensor:
    return (_groups(inputs[0], node.width).var(-1, correction=0) + node.numbers[0]).rsqrt()


def _inverse_deviation_gradient(g: "Value", at: Call) -> Gradients:
    count = at.a.width // g.width
    if g.width == 1:  # the forward pass has saved the standardized row, mostly
        row = g.builder.apply("standardize", [at.a, at.y], count)
        return ((g * (at.y * at.y) * (-1 / count)).repeat(count) * row,)
    centred = at.a - (at.a.sum(g.width) * (1 / count)).repeat(at.a.width)
    return ((g * (at.y * at.y * at.y) * (-1 / count)).repeat(at.a.width) * centred,)


def _standardized_gradient(g: Tensor, y: Tensor, r: Tensor) -> Tensor:
    return r * (g - g.mean(-1, keepdim=True) - y * (g * y).mean(-1, keepdim=True))


def _standardize_gradient_gradient(g: "Value", at: Call) -> Gradients:
    scaled = g * at.c.repeat(g.width)
    of_y = -(scaled * _mean(at.a * at.b)) - at.a * _mean(scaled * at.b)
    one = g.builder.constant(1.0, 1)
    of_r = (g * g.builder.apply("standardize_gradient", [at.a, at.b, one], g.width)).sum(1)
    return g.builder.apply("standardize_gradient", [g, at.b, at.c], g.width), of_y, of_r


def _no_gradient(g: "Value", at: Call) -> Gradients:
    raise NotImplementedError(f"{at} of {g}: `derive` puts the gradients of all slices of a value together")


OPERATORS: dict[str, Operator] = {
    "affine": _cheap(1, lambda a, x, y: x * a + y, lambda g, at: (g * at.numbers[0],)),
    "add": _cheap(2, torch.add, lambda g, _: (g, g)),
    "sub": _cheap(2, torch.sub, lambda g, _: (g, -g)),
    "mul": _cheap(2, torch.mul, lambda g, at: (g * at.b, g * at.a)),
    "div": _kept(2, torch.div, lambda g, at: (g / at.b, -(g / at.b * at.y))),
    "neg": _cheap(1, torch.neg, lambda g, _: (-g,)),
    "fma": _cheap(3, lambda a, b, c: a * b + c, lambda g, at: (g * at.b, g * at.a, g)),
    "lerp": _cheap(
        3,
        lambda a, b, c: a + c * (b - a),
        lambda g, at: (g * (1.0 - at.c), g * at.c, g * (at.b - at.a)),
    ),
    "maximum": _cheap(2, torch.maximum, _maximum_gradient),
    "minimum": _cheap(2, torch.minimum, _minimum_gradient),
    "where": _cheap(
        3,
        lambda c, a, b: torch.where(c != 0, a, b),
        lambda g, at: (None, at.a.where(g, 0.0), at.a.where(0.0, g)),
    ),
    "lt": _comparison(torch.lt),
    "le": _comparison(torch.le),
    "gt": _comparison(torch.gt),
    "ge": _comparison(torch.ge),
    "eq": _comparison(torch.eq),
    "ne": _comparison(torch.ne),
    "sigmoid": _kept(1, torch.sigmoid, lambda g, at: (g.call("sigmoid_gradient", at.y),)),
    "tanh": _kept(1, torch.tanh, lambda g, at: (g.call("tanh_gradient", at.y),)),
    # Kept although it is cheap: its gradient reads its result, so that its input need not be kept.
    "relu": _kept(1, torch.relu, lambda g, at: (at.y.call("le", 0.0).where(0.0, g),)),
    "exp": _kept(1, torch.exp, lambda g, at: (g * at.y,)),
    "log": _kept(1, torch.log, lambda g, at: (g / at.a,)),
    "log1p": _kept(1, torch.log1p, lambda g, at: (g / (at.a + 1.0),)),
    "expm1": _kept(1, torch.expm1, lambda g, at: (g * (at.y + 1.0),)),
    "sqrt": _kept(1, torch.sqrt, lambda g, at: (g / (at.y * 2.0),)),
    "rsqrt": _kept(1, torch.rsqrt, lambda g, at: (g * (at.y * at.y * at.y) * -0.5,)),
    "reciprocal": _kept(1, torch.reciprocal, lambda g, at: (-(g * (at.y * at.y)),)),
    "abs": _cheap(1, torch.abs, lambda g, at: (g * at.a.call("sign"),)),
    "sign": _cheap(1, torch.sign, lambda *_: (None,)),
    "sin": _kept(1, torch.sin, lambda g, at: (g * at.a.call("cos"),)),
    "cos": _kept(1, torch.cos, lambda g, at: (-(g * at.a.call("sin")),)),
    "erf": _kept(
        1, torch.erf, lambda g, at: (g * ((-(at.a * at.a)).call("exp") * (2 / math.sqrt(math.pi))),)
    ),
    "softplus": _kept(1, F.softplus, lambda g, at: (g * at.a.call("sigmoid"),)),
    "pow": _kept(
        1,
        torch.pow,
        lambda g, at: (g * (at.a.call("pow", numbers=(at.numbers[0] - 1.0,)) * at.numbers[0]),),
    ),
    "square": _cheap(1, torch.square, lambda g, at: (g * 2.0 * at.a,)),
    # g y (1 − y) and g (1 − y²).
    "sigmoid_gradient": _cheap(
        2,
        lambda g, y: g * y * (1 - y),
        lambda g, at: (g.call("sigmoid_gradient", at.b), g * at.a * (1.0 - at.b * 2.0)),
    ),
    "tanh_gradient": _cheap(
        2,
        lambda g, y: g * (1 - y * y),
        lambda g, at: (g.call("tanh_gradient", at.b), g * at.a * (at.b * -2.0)),
    ),
    # Its input, whose gradient is bounded.
    "bound_gradient": _cheap(1, bounded_gradient, _bounded),
    # No gradient goes through it.
    "stop": _cheap(1, Tensor.detach, lambda *_: (None,)),
    "slice": Operator(
        1, lambda inputs, node: inputs[0].narrow(-1, node.index, node.width), _no_gradient, cheap=True
    ),
    "concat": Operator(-1, lambda inputs, _: torch.cat(tuple(inputs), -1), _concat_gradient, cheap=True),
    "repeat": _layout(
        lambda x, width: x.repeat_interleave(width // x.shape[-1], -1),
        lambda g, at: (g.sum(at.a.width),),
        cheap=True,
    ),
    "tile": _layout(
        lambda x, width: torch.cat([x] * (width // x.shape[-1]), -1),
        lambda g, at: (g.sum_strided(at.a.width),),
        cheap=True,
    ),
    "sum": _layout(
        lambda x, width: _groups(x, width).sum(-1), lambda g, at: (g.repeat(at.a.width),), cheap=False
    ),
    "max": _layout(lambda x, width: _groups(x, width).amax(-1), _max_gradient, cheap=False),
    # Of rows a: (a − mean of a) r, where r is the ``inverse_deviation`` of a. So the gradient of a is the
    # whole one, and none goes by way of r.
    "standardize": _kept(
        2,
        lambda a, r: (a - a.mean(-1, keepdim=True)) * r,
        lambda g, at: (g.builder.apply("standardize_gradient", [g, at.y, at.b], g.width), None),
    ),
    "standardize_gradient": _kept(3, _standardized_gradient, _standardize_gradient_gradient),
    "inverse_deviation": Operator(1, _inverse_deviation, _inverse_deviation_gradient, cheap=False),
    "sum_strided": _layout(
        lambda x, width: _groups(x, x.shape[-1] // width).sum(-2),
        lambda g, at: (g.tile(at.a.width),),
        cheap=False,
    ),
}
"""All operators but leaves, constants and products, by name."""

RESHAPING = frozenset({"slice", "concat", "repeat", "tile", "sum", "max", "sum_strided", "inverse_deviation"})
"""Operators whose inputs and result differ in width."""

ROWS = frozenset({"standardize", "standardize_gradient"})
"""Operators of whole rows, whose last input is one number for each row; all others are pointwise."""

COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum", "eq", "ne"})
