"""The operators of a graph: what each computes in PyTorch, its gradient, and what that gradient costs.

A gradient rule gets g, the gradient of the result, and returns those of the inputs; None is zero everywhere. Where
torch's own gradient is not unique (maximum and relu at ties), the rule is torch's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from throughtime.ops.program.graph import Node

if TYPE_CHECKING:
    from throughtime.ops.program.builder import Value

Gradients = tuple["Value | None", ...]


class Call(NamedTuple):
    """An application of an operator whose gradient is asked for: result, inputs and node."""

    y: "Value"
    inputs: "tuple[Value, ...]"
    node: Node


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
        Whether a backward pass computes the result again from the inputs; else it reads what the forward pass wrote.
    """

    arity: int
    compute: Callable[[Sequence[Tensor], Node], Tensor]
    gradient: "Callable[[Value, Call], Gradients]"
    cheap: bool


def _pointwise(
    function: Callable[..., Tensor], gradient: "Callable[..., Gradients]", arity: int, *, cheap: bool
) -> Operator:
    """Return an operator whose function takes inputs and numbers, and whose gradient takes g, y, inputs and numbers."""
    return Operator(
        arity,
        lambda inputs, node: function(*inputs, *node.numbers),
        lambda g, call: gradient(g, call.y, *call.inputs, *call.node.numbers),
        cheap,
    )


def _comparison(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return _pointwise(lambda a, b: function(a, b).to(a.dtype), lambda *_: (None, None), 2, cheap=True)


def _maximum_gradient(g: "Value", is_less: "Value", is_equal: "Value") -> "Value":
    """Return the gradient of the input that is ``is_less`` than the other: half of g at a tie, as torch has it."""
    return is_less.where(0.0, is_equal.where(g * 0.5, g))


def _groups(x: Tensor, width: int) -> Tensor:
    return x.unflatten(-1, (width, x.shape[-1] // width if width else 0))


def _max_gradient(g: "Value", call: Call) -> Gradients:
    """Return g in equal parts for all places of the maximum, as `torch.amax` has it."""
    (x,) = call.inputs
    places = x.call("eq", call.y.repeat(x.width))
    return ((g / places.sum(g.width)).repeat(x.width) * places,)


def _concat_gradient(g: "Value", call: Call) -> Gradients:
    begins = [sum(part.width for part in call.inputs[:number]) for number in range(len(call.inputs))]
    return tuple(g.slice(begin, part.width) for begin, part in zip(begins, call.inputs, strict=True))


def _no_slice_gradient(g: "Value", call: Call) -> Gradients:
    raise NotImplementedError  # `derive` puts the gradients of all slices of a value together


OPERATORS: dict[str, Operator] = {
    "affine": _pointwise(lambda a, x, y: x * a + y, lambda g, y, a, alpha, beta: (g * alpha,), 1, cheap=True),
    "add": _pointwise(torch.add, lambda g, *_: (g, g), 2, cheap=True),
    "sub": _pointwise(torch.sub, lambda g, *_: (g, -g), 2, cheap=True),
    "mul": _pointwise(torch.mul, lambda g, y, a, b: (g * b, g * a), 2, cheap=True),
    "div": _pointwise(torch.div, lambda g, y, a, b: (g / b, -(g / b * y)), 2, cheap=False),
    "neg": _pointwise(torch.neg, lambda g, *_: (-g,), 1, cheap=True),
    "fma": _pointwise(lambda a, b, c: a * b + c, lambda g, y, a, b, c: (g * b, g * a, g), 3, cheap=True),
    "lerp": _pointwise(
        lambda a, b, c: a + c * (b - a),
        lambda g, y, a, b, c: (g * (1.0 - c), g * c, g * (b - a)),
        3,
        cheap=True,
    ),
    "maximum": _pointwise(
        torch.maximum,
        lambda g, y, a, b: (
            _maximum_gradient(g, a.call("lt", b), a.call("eq", b)),
            _maximum_gradient(g, a.call("gt", b), a.call("eq", b)),
        ),
        2,
        cheap=True,
    ),
    "minimum": _pointwise(
        torch.minimum,
        lambda g, y, a, b: (
            _maximum_gradient(g, a.call("gt", b), a.call("eq", b)),
            _maximum_gradient(g, a.call("lt", b), a.call("eq", b)),
        ),
        2,
        cheap=True,
    ),
    "where": _pointwise(
        lambda c, a, b: torch.where(c != 0, a, b),
        lambda g, y, c, a, b: (None, c.where(g, 0.0), c.where(0.0, g)),
        3,
        cheap=True,
    ),
    "lt": _comparison(torch.lt),
    "le": _comparison(torch.le),
    "gt": _comparison(torch.gt),
    "ge": _comparison(torch.ge),
    "eq": _comparison(torch.eq),
    "ne": _comparison(torch.ne),
    "sigmoid": _pointwise(torch.sigmoid, lambda g, y, a: (g.call("sigmoid_gradient", y),), 1, cheap=False),
    "tanh": _pointwise(torch.tanh, lambda g, y, a: (g.call("tanh_gradient", y),), 1, cheap=False),
    # Kept although it is cheap: its result has its gradient, and its input need not be kept.
    "relu": _pointwise(torch.relu, lambda g, y, a: (y.call("le", 0.0).where(0.0, g),), 1, cheap=False),
    "exp": _pointwise(torch.exp, lambda g, y, a: (g * y,), 1, cheap=False),
    "log": _pointwise(torch.log, lambda g, y, a: (g / a,), 1, cheap=False),
    "log1p": _pointwise(torch.log1p, lambda g, y, a: (g / (a + 1.0),), 1, cheap=False),
    "expm1": _pointwise(torch.expm1, lambda g, y, a: (g * (y + 1.0),), 1, cheap=False),
    "sqrt": _pointwise(torch.sqrt, lambda g, y, a: (g / (y * 2.0),), 1, cheap=False),
    "rsqrt": _pointwise(torch.rsqrt, lambda g, y, a: (g * (y * y * y) * -0.5,), 1, cheap=False),
    "reciprocal": _pointwise(torch.reciprocal, lambda g, y, a: (-(g * (y * y)),), 1, cheap=False),
    "abs": _pointwise(torch.abs, lambda g, y, a: (g * a.call("sign"),), 1, cheap=True),
    "sign": _pointwise(torch.sign, lambda *_: (None,), 1, cheap=True),
    "sin": _pointwise(torch.sin, lambda g, y, a: (g * a.call("cos"),), 1, cheap=False),
    "cos": _pointwise(torch.cos, lambda g, y, a: (-(g * a.call("sin")),), 1, cheap=False),
    "erf": _pointwise(
        torch.erf,
        lambda g, y, a: (g * ((-(a * a)).call("exp") * (2 / math.sqrt(math.pi))),),
        1,
        cheap=False,
    ),
    "softplus": _pointwise(F.softplus, lambda g, y, a: (g * a.call("sigmoid"),), 1, cheap=False),
    "pow": _pointwise(
        torch.pow,
        lambda g, y, a, power: (g * (a.call("pow", numbers=(power - 1.0,)) * power),),
        1,
        cheap=False,
    ),
    "square": _pointwise(torch.square, lambda g, y, a: (g * (a * 2.0),), 1, cheap=True),
    "sigmoid_gradient": _pointwise(
        lambda g, y: g * y * (1 - y),
        lambda g, _, a, y: (g.call("sigmoid_gradient", y), g * a * (1.0 - y * 2.0)),
        2,
        cheap=True,
    ),
    "tanh_gradient": _pointwise(
        lambda g, y: g * (1 - y * y),
        lambda g, _, a, y: (g.call("tanh_gradient", y), g * a * (y * -2.0)),
        2,
        cheap=True,
    ),
    # No gradient goes through it.
    "stop": _pointwise(lambda a: a.detach(), lambda *_: (None,), 1, cheap=True),
    "slice": Operator(
        1,
        lambda inputs, node: inputs[0].narrow(-1, node.index, node.width),
        _no_slice_gradient,
        cheap=True,
    ),
    "concat": Operator(-1, lambda inputs, node: torch.cat(tuple(inputs), -1), _concat_gradient, cheap=True),
    "repeat": Operator(
        1,
        lambda inputs, node: inputs[0].repeat_interleave(node.width // inputs[0].shape[-1], -1),
        lambda g, call: (g.sum(call.inputs[0].width),),
        cheap=True,
    ),
    "tile": Operator(
        1,
        lambda inputs, node: torch.cat([inputs[0]] * (node.width // inputs[0].shape[-1]), -1),
        lambda g, call: (g.sum_strided(call.inputs[0].width),),
        cheap=True,
    ),
    "sum": Operator(
        1,
        lambda inputs, node: _groups(inputs[0], node.width).sum(-1),
        lambda g, call: (g.repeat(call.inputs[0].width),),
        cheap=False,
    ),
    "max": Operator(
        1, lambda inputs, node: _groups(inputs[0], node.width).amax(-1), _max_gradient, cheap=False
    ),
    "sum_strided": Operator(
        1,
        lambda inputs, node: _groups(inputs[0], inputs[0].shape[-1] // node.width).sum(-2),
        lambda g, call: (g.tile(call.inputs[0].width),),
        cheap=False,
    ),
}
"""All operators but leaves, products and constants, by name."""

RESHAPING = frozenset({"slice", "concat", "repeat", "tile", "sum", "max", "sum_strided"})
"""Operators whose inputs and result differ in width; all others are pointwise."""

COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum", "eq", "ne"})
