"""Lowering of the traced graph of f to the graph of a step."""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product as combinations
from math import prod
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from throughtime.ops.plain import HALF
from throughtime.ops.program.builder import Builder
from throughtime.ops.program.builder import Value as Row
from throughtime.ops.program.tracing import hoisting
from throughtime.ops.program.tracing.broadcasting import broadcast
from throughtime.ops.program.tracing.errors import UntraceableError, UntraceableNodeError
from throughtime.ops.program.tracing.rows import pieces, view
from throughtime.ops.program.tracing.rules import RULES
from throughtime.ops.program.tracing.source import VIEWS, Dependence, Source, described, operator_name
from throughtime.ops.program.tracing.values import (
    Axis,
    Hoisted,
    Value,
    contiguous,
    is_in_order,
    number,
    order_of_strides,
)

Operand = Value | float

_LEAVES = {Dependence.TOKEN: "token", Dependence.SEQUENCE: "sequence", Dependence.NOTHING: "vector"}


class Lowering:
    """Turns nodes of a traced graph into nodes of a step's graph.

    Parameters
    ----------
    source : Source
        The traced graph.
    dtype : torch.dtype
        Of the state, in which the loop computes.
    """

    def __init__(self, source: Source, dtype: torch.dtype) -> None:
        self.source = source
        self.dtype = dtype
        self.builder = Builder()
        self.leaves: dict[str, list[fx.Node]] = {"token": [], "sequence": [], "vector": []}
        self.matrices: list[fx.Node] = []
        self._values: dict[fx.Node, Any] = {}

    def add_state(self, node: fx.Node, index: int) -> None:
        """Let a placeholder be a state leaf."""
        sizes, _ = self.source.sizes(node)
        width = prod(1 if size is None else size for size in sizes)
        self._values[node] = contiguous(self.builder.leaf("state", index, width), sizes)

    def value(self, node: fx.Node) -> Any:
        """Return the value of a node, or a tuple of values of one with several results."""
        if node not in self._values:
            self._values[node] = self._computed(node)
        return self._values[node]

    def _computed(self, node: fx.Node) -> Any:
        name = operator_name(node)
        try:
            if self.source.is_hoisted(node):
                return self._hoisted(node, name)
            self._check_dtype(node)
            if node.target is operator.getitem:
                return self.value(node.args[0])[node.args[1]]  # type: ignore[arg-type]
            return self._lowered(node, name)
        except UntraceableNodeError:
            raise
        except UntraceableError as error:
            raise UntraceableNodeError(f"{described(node)}: {error}") from None

    def _hoisted(self, node: fx.Node, name: str) -> Any:
        """Return what is hoisted; a view of it as such, so that one matrix is read for all its views."""
        if node.op == "call_function" and not self.source.dependence(node):
            return self._number_or_tensor(node, name)
        if node.op == "call_function":
            if node.target is operator.getitem and operator_name(node.args[0]) in VIEWS:  # type: ignore[arg-type]
                return self.value(node.args[0])[node.args[1]]  # type: ignore[arg-type]
            if name in VIEWS:
                return self._lowered(node, name)
        return self.source.hoisted_value(node)

    def _number_or_tensor(self, node: fx.Node, name: str) -> Value:
        """Return a constant, which is a number where f has written it as such."""
        if isinstance(node.meta["val"], torch.Tensor) and node.meta["val"].dim() == 0:
            if name in {"full", "scalar_tensor"}:
                return number(float(node.args[-1]), ())  # type: ignore[arg-type]
            made_of: Any = node.args[0] if node.args else None
            literal = self.source.capture.constants.get(made_of)
            if literal is not None and name.startswith("lift_fresh"):
                return number(float(literal), ())
        return self.source.hoisted_value(node)

    def _lowered(self, node: fx.Node, name: str) -> Any:
        rule = RULES.get(name)
        if rule is None:
            raise UntraceableNodeError(f"{described(node)} has no native implementation")
        if _is_sum_of_conditions(node, name):
            raise UntraceableError("a sum of conditions has no native implementation; use | or .to(h.dtype)")
        kwargs = {key: self._argument(value) for key, value in node.kwargs.items()}
        return rule(self, *(self._argument(value) for value in node.args), **kwargs)

    def _check_dtype(self, node: fx.Node) -> None:
        dtype = getattr(node.meta["val"], "dtype", self.dtype)
        same = dtype in {self.dtype, torch.bool} or (dtype == torch.float32 and self.dtype in HALF)
        if not same:
            raise UntraceableNodeError(
                f"{described(node)} computes in {dtype}, and the state is {self.dtype}"
            )

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, list | tuple):
            return [self._argument(part) for part in argument]
        if not isinstance(argument, fx.Node):
            return argument
        value = argument.meta["val"]
        return self.value(argument) if isinstance(value, torch.Tensor) else value

    def scalar(self, value: Any) -> float:
        """Return a number of f as such."""
        if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            raise UntraceableError("it uses the number of sequences as a value")
        return float(value)

    def number(self, operand: Any) -> float | None:
        """Return the number that an operand is, everywhere, if it is one."""
        operand = self.operand(operand)
        base = operand.base if isinstance(operand, Value) else operand
        return base if isinstance(base, float) else None

    def operand(self, operand: Any) -> Operand:
        """Return a tensor's value, or a number as such."""
        return operand if isinstance(operand, Value) else self.scalar(operand)

    def is_constant(self, value: Value) -> bool:
        """Tell whether a value is a tensor that depends on nothing."""
        return isinstance(value.base, Hoisted) and not self.source.dependence(value.base.node)

    # Rows

    def row(self, value: Value, order: Sequence[int] | None = None) -> Row:
        """Return a row of the graph that has the value's numbers, its features in this order."""
        axes = value.features if order is None else tuple(value.features[position] for position in order)
        if isinstance(value.base, float):
            return self.builder.constant(value.base, value.width)
        if isinstance(value.base, Row):
            return view(value.base, axes, value.offset)
        base = value.base.node
        numbers = self.source.hoisted_value(base).width
        if self.is_constant(value) and not (
            is_in_order(axes) and value.offset == 0 and value.width == numbers
        ):
            return self._leaf(self._picked(value, axes), value.width)
        return view(self._leaf(base, numbers), axes, value.offset)

    def _leaf(self, node: fx.Node, width: int) -> Row:
        rows = self.source.dependence(node) & (Dependence.TOKEN | Dependence.SEQUENCE)
        operator_of_leaf = _LEAVES[rows]
        known = self.leaves[operator_of_leaf]
        if node not in known:
            known.append(node)
        return self.builder.leaf(operator_of_leaf, known.index(node), width)

    def contiguous(self, value: Value) -> Value:
        """Return the same tensor with its numbers in order."""
        if isinstance(value.base, float):
            return value
        sizes = tuple(None if axis is None else axis.size for axis in value.axes)
        return contiguous(self.row(value), sizes, merged=value.merged)

    # Pointwise

    def call(self, name: str, *operands: Operand, numbers: tuple[float, ...] = ()) -> Value:
        """Apply a pointwise operator."""
        return self._apply(lambda row, *others: row.call(name, *others, numbers=numbers), operands)

    def _apply(self, function: Callable[..., Row], operands: Sequence[Operand]) -> Value:
        values = [operand if isinstance(operand, Value) else number(operand, ()) for operand in operands]
        values, sizes, merged = broadcast(values)
        order = self._order(values)
        result = function(*(self.row(value, order) for value in values))
        features = [size for size in sizes if size is not None]
        ordered = contiguous(result, tuple(features[position] for position in order)).axes
        axes = dict(zip(order, ordered, strict=True))
        left = iter(range(len(features)))
        return Value(result, tuple(None if size is None else axes[next(left)] for size in sizes), 0, merged)

    def _order(self, values: list[Value]) -> tuple[int, ...]:
        """Return the order of features in which the operands are put together of fewest pieces."""
        varying = [
            value for value in values if not isinstance(value.base, float) and not self.is_constant(value)
        ]
        plain = tuple(range(len(values[0].features)))
        orders = [plain, *(order_of_strides(value.features) for value in varying)]
        return min(orders, key=lambda order: sum(_pieces(value, order) for value in varying))

    def add(self, a: Operand, b: Operand, alpha: float = 1.0) -> Value:
        """Return a + α b."""
        if alpha == -1:
            return self.call("sub", a, b)
        return self._apply(self._sum, (a, b if alpha == 1 else self.mul(b, alpha)))

    def mul(self, a: Operand, b: Operand) -> Value:
        """Return a b."""
        return self.call("mul", a, b)

    def div(self, a: Operand, b: Operand) -> Value:
        """Return a / b."""
        return self.call("div", a, b)

    def _sum(self, a: Row, b: Row) -> Row:
        """Add two rows; of what is hoisted all is added before the loop: (a W + b) + t is a W + (b + t)."""
        for row, hoisted in ((a, b), (b, a)):
            if row.node.operator == "add":
                parts = [Row(self.builder, position) for position in row.node.inputs]
                for part, other in (parts, parts[::-1]):
                    if (known := self._sum_of_leaves(part, hoisted)) is not None:
                        return other + known
        return a + b

    def _sum_of_leaves(self, a: Row, b: Row) -> Row | None:
        """Return the leaf with the sum of two leaves, if that is one of all tokens or of all sequences."""
        operators = {row.node.operator for row in (a, b)}
        if not operators < set(self.leaves) or operators == {"token", "sequence"}:
            return None
        rows = [self._hoisted_row(row) for row in (a, b)]
        first, second = (row[1] for row in rows if row is not None)
        return self._leaf(hoisting.total(self.source, first, second), a.width)

    # Reductions

    def reduce(self, name: str, a: Value, dims: Sequence[int], *, keepdim: bool) -> Value:
        """Return the ``sum`` or ``max`` over dimensions of features."""
        reduced = {a.dim(dim) for dim in dims}
        after = [axis for position, axis in enumerate(a.axes) if position not in reduced]
        count = prod(axis.size for position, axis in enumerate(a.axes) if axis and position in reduced)
        sizes = tuple(None if axis is None else axis.size for axis in after)
        if isinstance(a.base, float):
            result = number(a.base * (count if name == "sum" else 1), sizes)
        elif count == 1:
            result = a.with_axes(*after)
        else:
            result = contiguous(self._reduced(name, a, reduced), sizes, merged=a.merged)
        return _with_ones(result, reduced) if keepdim else result

    def _reduced(self, name: str, a: Value, reduced: set[int]) -> Row:
        positions = [position for position, axis in enumerate(a.axes) if axis is not None]
        kept = [place for place, position in enumerate(positions) if position not in reduced]
        gone = [place for place, position in enumerate(positions) if position in reduced]
        width = prod(a.sizes[place] for place in kept)
        if name == "sum" and _pieces(a, (*gone, *kept)) < _pieces(a, (*kept, *gone)):
            return self.row(a, (*gone, *kept)).sum_strided(width)
        return self.builder.apply(name, [self.row(a, (*kept, *gone))], width)

    # Products

    def product(self, a: Value, weight: fx.Node, dim: int = -1, bias: Value | None = None) -> Value:
        """Return a weightᵀ over a dimension of a, plus a bias, for a constant weight (out, in)."""
        position = a.dim(dim)
        size = int(weight.meta["val"].shape[0])
        lead = [place for place, axis in enumerate(a.axes) if axis is not None and place != position]
        rows = []
        for place in combinations(*(_places(a.axes[axis]) for axis in lead)):  # type: ignore[arg-type]
            part = Value(a.base, (None, a.axes[position]), a.offset + sum(place))
            rows.append(self._product_of_row(part, weight, bias))
        sizes = [a.axes[axis].size for axis in lead]  # type: ignore[union-attr]
        stride = iter(contiguous(rows[0], (*sizes, size)).features)
        axes = {axis: next(stride) for axis in lead} | {position: next(stride)}
        return Value(
            self.builder.concat(rows), tuple(axes.get(axis) for axis in range(len(a.axes))), 0, a.merged
        )

    def _product_of_row(self, a: Value, weight: fx.Node, bias: Value | None) -> Row:
        """Multiply what varies with the state in the loop, and the rest before it."""
        begin = 0
        inside: list[tuple[Row, fx.Node]] = []
        before: dict[str, fx.Node] = {}
        for part in self._parts(self.row(a)):
            columns = self._columns(weight, begin, part.width)
            leaf = self._hoisted_row(part)
            if leaf is None:
                inside.append((part, columns))
            else:
                kind, node = leaf
                term = self.source.add(F.linear, node, columns)
                before[kind] = hoisting.total(self.source, before[kind], term) if kind in before else term
            begin += part.width
        if bias is not None:
            vector = self._constant_row(bias, int(weight.meta["val"].shape[0]))
            kind = next(iter(before), "vector")
            before[kind] = hoisting.total(self.source, before[kind], vector) if kind in before else vector
        return self._sum_of_products(inside, list(before.values()), int(weight.meta["val"].shape[0]))

    def _sum_of_products(self, inside: list[tuple[Row, fx.Node]], before: list[fx.Node], width: int) -> Row:
        terms = [self._leaf(node, width) for node in before]
        if inside:
            matrix = self._matrix([columns for _, columns in inside])
            whole = self.builder.concat([part for part, _ in inside])
            terms.insert(0, self.builder.product(matrix, whole, width))
        return reduce(operator.add, terms)

    def _constant_row(self, bias: Value, width: int) -> fx.Node:
        (bias, _), _, _ = broadcast([bias, number(0.0, (width,))])
        leaf = self._hoisted_row(self.row(bias))
        assert leaf is not None  # noqa: S101 - for mypy: a constant is a leaf
        return leaf[1]

    def matrix(self, value: Value) -> fx.Node:
        """Return a constant of two dimensions as such a tensor."""
        assert isinstance(value.base, Hoisted)  # noqa: S101 - for mypy: a constant is hoisted
        node = value.base.node
        sizes, shape = value.sizes, tuple(node.meta["val"].shape)
        if is_in_order(value.features) and value.width == prod(shape):
            result = node if shape == sizes else self.source.add(torch.reshape, node, sizes)
        elif len(shape) == 2 and is_in_order(value.features[::-1]) and value.width == prod(shape):
            result = self._turned(node)
        else:
            result = self.source.add(torch.reshape, self._picked(value, value.features), sizes)
        if result.meta["val"].dtype != self.dtype:
            result = self.source.add(torch.Tensor.to, result, self.dtype)
        return result

    def transposed(self, value: Value) -> fx.Node:
        """Return a constant of two dimensions, turned."""
        return self.matrix(value.with_axes(*value.axes[::-1]))

    def _turned(self, node: fx.Node) -> fx.Node:
        swaps = operator_name(node) in {"t", "transpose"}  # of two dimensions
        if swaps or (operator_name(node) == "permute" and [dim % 2 for dim in node.args[1]] == [1, 0]):  # type: ignore[union-attr, operator]
            return node.args[0]  # type: ignore[return-value]
        return self.source.add(torch.t, node)

    def _picked(self, value: Value, axes: Sequence[Axis]) -> fx.Node:
        places = tuple(value.offset + sum(place) for place in combinations(*(_places(axis) for axis in axes)))
        return self.source.add(hoisting.picked, value.base.node, places)  # type: ignore[union-attr]

    def _parts(self, row: Row) -> list[Row]:
        inputs = [Row(self.builder, position) for position in row.node.inputs]
        return inputs if row.node.operator == "concat" else [row]

    def _hoisted_row(self, row: Row) -> tuple[str, fx.Node] | None:
        """Return what a row reads, and from which kind of leaf, if it is a part of what is hoisted."""
        node = row.node
        leaf = self.builder.nodes[node.inputs[0]] if node.operator == "slice" else node
        if node.operator == "constant":
            return "vector", self.source.add(hoisting.constant_row, node.numbers[0], node.width, self.dtype)
        if leaf.operator not in self.leaves:
            return None
        rows = hoisting.as_rows(self.source, self.leaves[leaf.operator][leaf.index], self.dtype)
        if leaf is not node:
            rows = self.source.add(torch.narrow, rows, -1, node.index, node.width)
        return leaf.operator, rows

    def _columns(self, weight: fx.Node, begin: int, width: int) -> fx.Node:
        if width == weight.meta["val"].shape[1]:
            return weight
        return self.source.add(torch.narrow, weight, 1, begin, width)

    def _matrix(self, columns: list[fx.Node]) -> int:
        matrix = columns[0] if len(columns) == 1 else self.source.add(torch.cat, columns, 1)
        if matrix not in self.matrices:
            self.matrices.append(matrix)
        return self.matrices.index(matrix)


def _places(axis: Axis) -> range | tuple[int, ...]:
    return tuple(place * axis.stride for place in range(axis.size))


def _pieces(value: Value, order: Sequence[int]) -> int:
    if isinstance(value.base, float):
        return 0
    return pieces(tuple(value.features[position] for position in order))


def _with_ones(value: Value, positions: set[int]) -> Value:
    axes = list(value.axes)
    for position in sorted(positions):
        axes.insert(position, Axis(1, 0))
    return value.with_axes(*axes)


def _is_sum_of_conditions(node: fx.Node, name: str) -> bool:
    return name in {"add", "sum"} and getattr(node.meta["val"], "dtype", None) == torch.bool
