"""Random graphs of all operators, whose values stay within the operators' domains."""

import random

from throughtime.ops.program.builder import Builder, Value
from throughtime.ops.program.operators import OPERATORS, RESHAPING

WIDTHS = (1, 2, 3, 4, 6, 12)
_POSITIVE = frozenset({"log", "log1p", "sqrt", "rsqrt", "reciprocal", "pow"})
_NUMBERS = {"affine": (-0.7, 0.3), "pow": (1.7,), "bound_gradient": (0.5, 0.7)}


def applied(operator: str, values: list[Value]) -> Value:
    """Apply a pointwise operator, its inputs changed such that it is defined, and the result is not large."""
    if operator in _POSITIVE:
        values = [value.call("square") + 0.5 for value in values]
    if operator in {"exp", "expm1", "softplus", "sin", "cos"}:
        values = [value.call("tanh") for value in values]
    if operator == "standardize":
        deviation = values[0].builder.apply("inverse_deviation", [values[0]], 1, numbers=(0.5,))
        return values[0].builder.apply(operator, [values[0], deviation], values[0].width)
    if operator == "standardize_gradient":
        return values[0].builder.apply(operator, [*values[:2], values[2].slice(0, 1)], values[0].width)
    if operator == "div":
        values[1] = values[1].call("square") + 0.5
    if operator == "where":
        values[0] = values[0].call("gt", 0.1)
    return values[0].call(operator, *values[1:], numbers=_NUMBERS.get(operator, ()))


class RandomGraph:
    """Draws a graph."""

    def __init__(self, seed: int, nodes: int = 25) -> None:
        self._random = random.Random(seed)
        self._builder = Builder()
        self._matrices: dict[tuple[int, int], list[int]] = {}
        self._matrix_count = 0
        states = [self._leaf("state", k) for k in range(self._random.randint(1, 3))]
        self._values = [
            *states,
            *(self._leaf("token", k) for k in range(self._random.randint(1, 3))),
            *(self._leaf("sequence", k) for k in range(self._random.randint(0, 2))),
            *(self._leaf("vector", k) for k in range(self._random.randint(0, 2))),
        ]
        for _ in range(nodes):
            self._values.append(self._drawn())
        after = [
            self._with_width(self._random.choice(self._values), state.width).call("tanh") for state in states
        ]
        if self._random.random() < 0.3:
            after[-1] = states[-1]
        outputs = self._random.sample(self._values, self._random.randint(0, 3))
        self.graph = self._builder.graph(after, outputs)

    def _leaf(self, kind: str, index: int) -> Value:
        return self._builder.leaf(kind, index, self._random.choice(WIDTHS))

    def _drawn(self) -> Value:
        value = self._random.choice(self._values)
        if self._random.random() < 0.25:
            return self._product(value, self._random.choice(WIDTHS))
        if self._random.random() < 0.4:
            return self._reshaped(value)
        # bound_gradient has no second derivative.
        operator = self._random.choice(sorted(OPERATORS.keys() - RESHAPING - {"bound_gradient"}))
        values = [value]
        while len(values) < OPERATORS[operator].arity:
            if self._random.random() < 0.15:
                values.append(self._builder.constant(self._random.choice([0.0, 1.0, -0.5]), value.width))
            else:
                values.append(self._with_width(self._random.choice(self._values), value.width))
        return applied(operator, values)

    def _product(self, value: Value, width: int) -> Value:
        """Return a product, of a matrix of an earlier one half of the time."""
        transposed = self._random.random() < 0.3
        shape = (value.width, width) if transposed else (width, value.width)
        known = self._matrices.setdefault(shape, [])
        if not known or self._random.random() < 0.5:
            known.append(self._matrix_count)
            self._matrix_count += 1
        return self._builder.product(self._random.choice(known), value, width, transposed=transposed)

    def _reshaped(self, value: Value) -> Value:
        kinds = ["slice", "concat", "repeat", "tile", "sum", "max", "sum_strided", "inverse_deviation"]
        kind = self._random.choice(kinds)
        if kind == "concat":
            return self._builder.concat([value, *self._random.sample(self._values, 2)]).slice(0, value.width)
        if kind == "slice":
            width = self._random.randint(1, value.width)
            return self._builder.concat([value.slice(value.width - width, width), value.slice(0, width)])
        if kind in {"repeat", "tile"}:
            times = self._random.choice([1, 2, 3]) if value.width <= 12 else 1
            return self._builder.apply(kind, [value], value.width * times)
        divisors = [width for width in range(1, value.width + 1) if value.width % width == 0]
        numbers = (0.5,) if kind == "inverse_deviation" else ()
        return self._builder.apply(kind, [value], self._random.choice(divisors), numbers=numbers)

    def _with_width(self, value: Value, width: int) -> Value:
        if value.width > width and self._random.random() < 0.5:
            return value.slice(self._random.randint(0, value.width - width), width)
        if width % value.width == 0 and self._random.random() < 0.5:
            return value.tile(width) if self._random.random() < 0.5 else value.repeat(width)
        return value if value.width == width else self._product(value, width)
