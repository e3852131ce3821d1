"""Simpler forms of expressions, found when a graph is built.

Values stay the same but for rounding; NaN and infinity pass through as before, so 0 · x stays what it is.
"""

from itertools import permutations
from typing import TYPE_CHECKING

import torch

from throughtime.ops.program.graph import Node
from throughtime.ops.program.operators import OPERATORS, RESHAPING, ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from throughtime.ops.program.builder import Builder, Value


def simplified(
    builder: "Builder",
    operator: str,
    inputs: "Sequence[Value]",
    width: int,
    index: int,
    numbers: tuple[float, ...],
) -> "Value | None":
    """Return a simpler value that is the same, None if there is none."""
    if operator == "slice":
        return _slice(builder, inputs[0], index, width)
    if operator == "concat":
        return _concat(builder, inputs)
    if operator in RESHAPING:
        return _reshaped(builder, operator, inputs[0], width)
    return None if operator in ROWS else _pointwise(builder, operator, inputs, width, numbers)


def _pointwise(
    builder: "Builder", operator: str, inputs: "Sequence[Value]", width: int, numbers: tuple[float, ...]
) -> "Value | None":
    if inputs and all(is_constant(one) for one in inputs):
        return builder.constant(_computed(operator, inputs, numbers), width)
    if operator in _RULES:
        simple = _RULES[operator](builder, *inputs, *numbers)
        if simple is not None:
            return simple
    return _before_repeat(builder, operator, inputs, width, numbers)


def is_constant(value: "Value") -> bool:
    """Tell whether a value is one number, known now."""
    return value.node.operator == "constant"


def _number(value: "Value") -> float | None:
    return value.node.numbers[0] if is_constant(value) else None


def _input(value: "Value", operator: str) -> "Value | None":
    """Return the first input of a value that is the result of an operator, else None."""
    return _inputs(value)[0] if value.node.operator == operator else None


def _inputs(value: "Value") -> "list[Value]":
    return [type(value)(value.builder, position) for position in value.node.inputs]


def _same(a: "Value", b: "Value") -> bool:
    return a.position == b.position


def _computed(operator: str, inputs: "Sequence[Value]", numbers: tuple[float, ...]) -> float:
    rows = [torch.tensor([one.node.numbers], dtype=torch.float64) for one in inputs]
    return float(OPERATORS[operator].compute(rows, Node(operator, (), 1, 0, numbers)))


def _affine(builder: "Builder", a: "Value", factor: float, addend: float) -> "Value":
    return builder.apply("affine", [a], a.width, numbers=(float(factor), float(addend)))


def _simple_affine(builder: "Builder", a: "Value", factor: float, addend: float) -> "Value | None":
    if (factor, addend) == (1.0, 0.0):
        return a
    if a.node.operator == "affine":
        inner, shift = a.node.numbers
        return _affine(builder, _inputs(a)[0], factor * inner, factor * shift + addend)
    if (negated := _input(a, "neg")) is not None:
        return _affine(builder, negated, -factor, addend)
    return -a if (factor, addend) == (-1.0, 0.0) else None


def _add(builder: "Builder", a: "Value", b: "Value") -> "Value | None":
    for one, other in ((a, b), (b, a)):
        if (number := _number(one)) is not None:
            return _affine(builder, other, 1.0, number)
        if (negated := _input(one, "neg")) is not None:
            return other - negated
    return None


def _sub(builder: "Builder", a: "Value", b: "Value") -> "Value | None":
    if (number := _number(b)) is not None:
        return _affine(builder, a, 1.0, -number)
    if (number := _number(a)) is not None:
        return _affine(builder, b, -1.0, number)
    negated = _input(b, "neg")
    return None if negated is None else a + negated


def _mul(builder: "Builder", a: "Value", b: "Value") -> "Value | None":
    for one, other in ((a, b), (b, a)):
        if (number := _number(one)) is not None:
            return _affine(builder, other, number, 0.0)
        if (negated := _input(one, "neg")) is not None:
            return -(negated * other)
        if one.node.operator == "affine" and one.node.numbers[1] == 0 and other.node.operator == "repeat":
            return _inputs(one)[0] * (other * one.node.numbers[0])
    return a.call("square") if _same(a, b) else None


def _div(builder: "Builder", a: "Value", b: "Value") -> "Value | None":
    if number := _number(b):
        return _affine(builder, a, 1 / number, 0.0)
    if (number := _number(a)) is not None:
        return b.call("reciprocal") * number
    return None


def _neg(builder: "Builder", a: "Value") -> "Value | None":
    if (negated := _input(a, "neg")) is not None:
        return negated
    if a.node.operator == "affine":
        factor, addend = a.node.numbers
        return _affine(builder, _inputs(a)[0], -factor, -addend)
    if a.node.operator == "sub":
        left, right = _inputs(a)
        return right - left
    return None


def _fma(_: "Builder", a: "Value", b: "Value", c: "Value") -> "Value | None":
    return a * b + c if is_constant(a) or is_constant(b) else None


def _where(_: "Builder", condition: "Value", a: "Value", b: "Value") -> "Value | None":
    if (number := _number(condition)) is not None:
        return b if number == 0 else a
    return a if _same(a, b) else None


def _reciprocal(_: "Builder", a: "Value") -> "Value | None":
    root = _input(a, "sqrt")
    return None if root is None else root.call("rsqrt")


def _pow(builder: "Builder", a: "Value", power: float) -> "Value | None":
    if power == 0:
        return builder.constant(1.0, a.width)
    if power == 1:
        return a
    other = {2.0: "square", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}.get(power)
    return None if other is None else a.call(other)


_RULES: "dict[str, Callable[..., Value | None]]" = {
    "affine": _simple_affine,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "fma": _fma,
    "where": _where,
    "reciprocal": _reciprocal,
    "pow": _pow,
}


def _before_repeat(
    builder: "Builder", operator: str, inputs: "Sequence[Value]", width: int, numbers: tuple[float, ...]
) -> "Value | None":
    """Compute on the values that are repeated, not on all repetitions of them."""
    sources = [_input(one, "repeat") for one in inputs]
    widths = {source.width for source in sources if source is not None}
    if len(widths) != 1 or any(
        source is None and not is_constant(one) for source, one in zip(sources, inputs, strict=True)
    ):
        return None
    (narrow,) = widths
    few = [
        builder.constant(one.node.numbers[0], narrow) if source is None else source
        for source, one in zip(sources, inputs, strict=True)
    ]
    return builder.apply(operator, few, narrow, numbers=numbers).repeat(width)


def _slice(builder: "Builder", a: "Value", begin: int, width: int) -> "Value | None":
    if width == a.width:
        return a
    node = a.node
    if node.operator == "constant":
        return builder.constant(node.numbers[0], width)
    if node.operator == "slice":
        return _inputs(a)[0].slice(node.index + begin, width)
    return _slice_of_parts(builder, _inputs(a), begin, width) if node.operator == "concat" else None


def _slice_of_parts(builder: "Builder", parts: "list[Value]", begin: int, width: int) -> "Value | None":
    """Return what of the parts of a concatenation lies in a slice of it."""
    pieces, place = [], 0
    for part in parts:
        first, last = max(begin, place), min(begin + width, place + part.width)
        if first < last:
            pieces.append(part.slice(first - place, last - first))
        place += part.width
    return builder.concat(pieces)


def _concat(builder: "Builder", parts: "Sequence[Value]") -> "Value | None":
    merged: list[Value] = []
    for part in parts:
        for piece in _inputs(part) if part.node.operator == "concat" else [part]:
            joined = _joined(builder, merged[-1], piece) if merged else None
            if joined is None:
                merged.append(piece)
            else:
                merged[-1] = joined
    if len(merged) == 1:
        return merged[0]
    unchanged = [one.position for one in merged] == [one.position for one in parts]
    return None if unchanged else builder.concat(merged)


def _joined(builder: "Builder", a: "Value", b: "Value") -> "Value | None":
    """Return two adjacent pieces as one, if they are constants or slices that continue each other."""
    first, second = a.node, b.node
    if first.operator == second.operator == "constant" and first.numbers == second.numbers:
        return builder.constant(first.numbers[0], a.width + b.width)
    if not (first.operator == second.operator == "slice" and first.inputs == second.inputs):
        return None
    if first.index + first.width != second.index:
        return None
    return _inputs(a)[0].slice(first.index, a.width + b.width)


def _reshaped(builder: "Builder", operator: str, a: "Value", width: int) -> "Value | None":
    if operator == "inverse_deviation":
        return None
    if width == a.width:
        return a
    times = a.width // width if width < a.width else width // a.width
    if (number := _number(a)) is not None:
        return builder.constant(number * times if operator.startswith("sum") else number, width)
    if operator in {"repeat", "sum", "max"} and (inner := _input(a, operator)) is not None:
        return builder.apply(operator, [inner], width)
    if operator == "sum" and (sums := _sum(a, width, times)) is not None:
        return sums
    # Two operators are the same on one value.
    same = {("tile", a.width): "repeat", ("sum_strided", width): "sum"}.get((operator, 1))
    return None if same is None else builder.apply(same, [a], width)


def _sum(a: "Value", width: int, times: int) -> "Value | None":
    """Return the sums of groups of ``times`` values without a factor that each group has in common."""
    if (inner := _input(a, "repeat")) is not None and inner.width == width:
        return inner * float(times)
    if (inner := _input(a, "neg")) is not None:
        return -inner.sum(width)
    if a.node.operator == "affine" and a.node.numbers[1] == 0:
        return _inputs(a)[0].sum(width) * a.node.numbers[0]
    if a.node.operator == "mul":
        for factor, other in permutations(_inputs(a)):
            if (common := _input(factor, "repeat")) is not None and common.width == width:
                return common * other.sum(width)
    return None
