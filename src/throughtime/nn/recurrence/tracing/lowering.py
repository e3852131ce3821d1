"""From the traced graph of f to the graph of a step: values, and the few ways in which they are combined."""

import operator
from collections.abc import Callable, Sequence
from itertools import product as combinations
from math import prod
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

from throughtime.nn.recurrence.tracing import hoisting
from throughtime.nn.recurrence.tracing.broadcasting import broadcast
from throughtime.nn.recurrence.tracing.errors import UntraceableError
from throughtime.nn.recurrence.tracing.graph_builder import GraphBuilder
from throughtime.nn.recurrence.tracing.rows import pieces, row
from throughtime.nn.recurrence.tracing.rules import RULES
from throughtime.nn.recurrence.tracing.source import VIEWS, Dependence, Source, described, operator_name
from throughtime.ops.plain import HALF
from throughtime.nn.recurrence.tracing.values import (
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
        self.builder = GraphBuilder()
        self.leaves: dict[str, list[fx.Node]] = {"token": [], "sequence": [], "vector": []}
        self.matrices: list[fx.Node] = []
        self._values: dict[fx.Node, Any] = {}

    def add_state(self, node: fx.Node, index: int) -> None:
        """Let a placeholder be a state leaf."""
        sizes, _ = self.source.sizes(node)
        leaf = self.builder.leaf("state", index, contiguous(0, sizes).width)
        self._values[node] = contiguous(leaf, sizes)

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
                return self.value(node.args[0])[node.args[1]]  # type: ignore[arg-type, index]
            return self._lowered(node, name)
        except UntraceableError as error:
            if "line" in str(error) or " at " in str(error):
                raise
            raise UntraceableError(f"{described(node)}: {error}") from None

    def _hoisted(self, node: fx.Node, name: str) -> Any:
        """Return a view of what is hoisted if the node is a view, so that one matrix is read for all views of it."""
        if self.source.dependence(node) and node.op == "call_function":
            if node.target is operator.getitem and operator_name(node.args[0]) in VIEWS:  # type: ignore[arg-type]
                return self.value(node.args[0])[node.args[1]]  # type: ignore[arg-type, index]
            if name in VIEWS:
                return self._lowered(node, name)
        return self.source.hoisted_value(node)

    def _lowered(self, node: fx.Node, name: str) -> Any:
        rule = RULES.get(name)
        if rule is None:
            raise UntraceableError(f"{described(node)} has no native form")
        kwargs = {key: self._argument(value) for key, value in node.kwargs.items()}
        return rule(self, *(self._argument(value) for value in node.args), **kwargs)

    def _check_dtype(self, node: fx.Node) -> None:
        dtype = getattr(node.meta["val"], "dtype", self.dtype)
        same = dtype in {self.dtype, torch.bool} or (dtype == torch.float32 and self.dtype in HALF)
        if not same:
            raise UntraceableError(f"{described(node)} computes in {dtype}, and the state is {self.dtype}")

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
            raise UntraceableError("it computes with the number of sequences")
        return float(value)

    def number(self, operand: Any) -> float | None:
        """Return the number that an operand is, everywhere, if it is one."""
        return _number(self.operand(operand))

    def operand(self, operand: Any) -> Operand:
        """Return a tensor's value, or a number as such."""
        return operand if isinstance(operand, Value) else self.scalar(operand)

    def is_constant(self, value: Value) -> bool:
        """Tell whether a value is a tensor that depends on nothing."""
        return isinstance(value.base, Hoisted) and not self.source.dependence(value.base.node)

    # Rows

    def node(self, value: Value, order: Sequence[int] | None = None) -> int:
        """Return a node whose row has the value's numbers, its features in this order."""
        axes = value.features if order is None else tuple(value.features[position] for position in order)
        if isinstance(value.base, float):
            full = self.source.add(hoisting.constant_row, value.base, value.width, self.dtype)
            return self._leaf(full, value.width)
        if isinstance(value.base, int):
            return row(self.builder, value.base, axes, value.offset)
        base = value.base.node
        numbers = self.source.hoisted_value(base).width
        if self.is_constant(value) and not (is_in_order(axes) and value.offset == 0 and value.width == numbers):
            return self._leaf(self._picked(value, axes), value.width)
        return row(self.builder, self._leaf(base, numbers), axes, value.offset)

    def _leaf(self, node: fx.Node, width: int) -> int:
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
        return contiguous(self.node(value), sizes, merged=value.merged)

    # Pointwise

    def call(self, name: str, *operands: Operand, numbers: tuple[float, ...] = ()) -> Value:
        """Apply a pointwise operator."""
        values = [self._value(operand) for operand in operands]
        return self._apply(lambda *nodes: self.builder.call(name, *nodes, numbers=numbers), values)

    def _apply(self, function: Callable[..., int], values: list[Value]) -> Value:
        values, sizes, merged = broadcast(values)
        order = self._order(values)
        node = function(*(self.node(value, order) for value in values))
        features = [size for size in sizes if size is not None]
        ordered = contiguous(node, tuple(features[position] for position in order)).axes
        axes = {position: axis for position, axis in zip(order, ordered, strict=True)}
        left = iter(range(len(features)))
        result = tuple(None if size is None else axes[next(left)] for size in sizes)
        return Value(node, result, 0, merged)

    def _order(self, values: list[Value]) -> tuple[int, ...]:
        """Return the order of features in which the operands are put together of fewest pieces."""
        varying = [value for value in values if not isinstance(value.base, float) and not self.is_constant(value)]
        plain = tuple(range(len(values[0].features)))
        orders = [plain, *(order_of_strides(value.features) for value in varying)]
        return min(orders, key=lambda order: sum(_pieces(value, order) for value in varying))

    def affine(self, a: Operand, alpha: float, beta: float) -> Value | float:
        """Return α a + β."""
        if isinstance(a, Value) and not isinstance(a.base, float):
            return a if (alpha, beta) == (1, 0) else self.call("affine", a, numbers=(alpha, beta))
        base = a.base if isinstance(a, Value) else a
        result = alpha * base + beta  # type: ignore[operator]
        return number(result, _sizes(a)) if isinstance(a, Value) else result

    def add(self, a: Operand, b: Operand, alpha: float = 1.0) -> Any:
        """Return a + α b."""
        if (value := _number(b)) is not None:
            return self._like(self.affine(a, 1.0, alpha * value), a, b)
        if (value := _number(a)) is not None:
            return self._like(self.affine(b, alpha, value), a, b)
        if alpha == -1:
            return self.call("sub", a, b)
        return self._apply(self._sum, [self._value(a), self._value(self.affine(b, alpha, 0.0))])

    def _value(self, operand: Operand) -> Value:
        return operand if isinstance(operand, Value) else number(operand, ())

    def _sum(self, a: int, b: int) -> int:
        """Add two rows; of what is hoisted all is added before the loop: (a W + b) + t is a W + (b + t)."""
        for row_, hoisted in ((a, b), (b, a)):
            of = self.builder.nodes[row_]
            if of.operator == "add" and (known := self._sum_of_leaves(of.inputs[1], hoisted)) is not None:
                return self.builder.call("add", of.inputs[0], known)
        return self.builder.call("add", a, b)

    def _sum_of_leaves(self, a: int, b: int) -> int | None:
        """Return the leaf with the sum of two leaves, if that is one of all tokens or of all sequences."""
        operators = {self.builder.nodes[node].operator for node in (a, b)}
        if not operators < set(self.leaves) or operators == {"token", "sequence"}:
            return None
        rows = [self._hoisted_row(node) for node in (a, b)]
        total = self.source.add(torch.add, *(row_[1] for row_ in rows if row_ is not None))
        return self._leaf(total, self.builder.nodes[a].width)

    def mul(self, a: Operand, b: Operand) -> Any:
        """Return a b."""
        if (value := _number(b)) is not None:
            return self._like(self.affine(a, value, 0.0), a, b)
        if (value := _number(a)) is not None:
            return self._like(self.affine(b, value, 0.0), a, b)
        return self.call("mul", a, b)

    def div(self, a: Operand, b: Operand) -> Any:
        """Return a / b."""
        if (value := _number(b)) is not None and value:
            return self._like(self.affine(a, 1 / value, 0.0), a, b)
        if _number(a) == 1.0 and isinstance(b, Value):
            return self._like(self.call("reciprocal", b), a, b)
        return self.call("div", a, b)

    def _like(self, result: Any, *operands: Operand) -> Any:
        """Return a result in the shape that the operands have together."""
        values = [operand for operand in operands if isinstance(operand, Value)]
        if not isinstance(result, Value):
            return result
        shaped, _, _ = broadcast([result, *values])
        return shaped[0]

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

    def _reduced(self, name: str, a: Value, reduced: set[int]) -> int:
        positions = [position for position, axis in enumerate(a.axes) if axis is not None]
        kept = [number for number, position in enumerate(positions) if position not in reduced]
        gone = [number for number, position in enumerate(positions) if position in reduced]
        width = prod(a.sizes[number] for number in kept)
        if name == "sum" and _pieces(a, (*gone, *kept)) < _pieces(a, (*kept, *gone)):
            return self.builder.group("sum_strided", self.node(a, (*gone, *kept)), width)
        return self.builder.group(name, self.node(a, (*kept, *gone)), width)

    # Products

    def product(self, a: Value, weight: fx.Node, dim: int = -1, bias: Value | None = None) -> Value:
        """Return a weightᵀ over a dimension of a, for a constant weight (out, in); with a constant bias (out,)."""
        position = a.dim(dim)
        size = int(weight.meta["val"].shape[0])
        lead = [number for number, axis in enumerate(a.axes) if axis is not None and number != position]
        rows = []
        for place in combinations(*(_places(a.axes[number]) for number in lead)):  # type: ignore[arg-type]
            part = Value(a.base, (None, a.axes[position]), a.offset + sum(place))
            rows.append(self._product_of_row(part, weight, bias))
        sizes = [a.axes[number].size for number in lead]  # type: ignore[union-attr]
        stride = iter(contiguous(0, (*sizes, size)).features)
        axes = {number: next(stride) for number in lead} | {position: next(stride)}
        return Value(
            self.builder.concat(rows), tuple(axes.get(n) for n in range(len(a.axes))), 0, a.merged
        )

    def _product_of_row(self, a: Value, weight: fx.Node, bias: Value | None) -> int:
        """Multiply what varies with the state in the loop, and the rest before it."""
        begin = 0
        inside: list[tuple[int, int, int]] = []
        before: dict[str, fx.Node] = {}
        for part in self._parts(self.node(a)):
            width = self.builder.nodes[part].width
            columns = self._columns(weight, begin, width)
            leaf = self._hoisted_row(part)
            if leaf is None:
                inside.append((part, begin, width))
            else:
                kind, node = leaf
                term = self.source.add(F.linear, node, columns)
                before[kind] = self.source.add(torch.add, before[kind], term) if kind in before else term
            begin += width
        return self._sum_of_products(inside, before, weight, bias)

    def _sum_of_products(
        self, inside: list[tuple[int, int, int]], before: dict[str, fx.Node], weight: fx.Node, bias: Value | None
    ) -> int:
        width = int(weight.meta["val"].shape[0])
        if bias is not None:
            vector = self._constant_row(bias, width)
            kind = next(iter(before), "vector")
            before[kind] = self.source.add(torch.add, before[kind], vector) if kind in before else vector
        terms = [self._leaf(hoisting.as_rows(self.source, node, self.dtype), width) for node in before.values()]
        if inside:
            matrix = self._matrix([self._columns(weight, begin, size) for _, begin, size in inside])
            terms.insert(0, self.builder.product(self.builder.concat([part for part, _, _ in inside]), matrix, width))
        result = terms[0]
        for term in terms[1:]:
            result = self.builder.call("add", result, term)
        return result

    def _constant_row(self, bias: Value, width: int) -> fx.Node:
        (bias, _), _, _ = broadcast([bias, number(0.0, (width,))])
        position = self.builder.nodes[self.node(bias)]
        return self.leaves["vector"][position.index]

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
        if operator_name(node) in {"permute", "t", "transpose"}:  # of two dimensions
            return node.args[0]  # type: ignore[return-value]
        return self.source.add(torch.t, node)

    def _picked(self, value: Value, axes: Sequence[Axis]) -> fx.Node:
        places = tuple(value.offset + sum(place) for place in combinations(*(_places(axis) for axis in axes)))
        return self.source.add(hoisting.picked, value.base.node, places)  # type: ignore[union-attr]

    def _parts(self, node: int) -> tuple[int, ...]:
        of = self.builder.nodes[node]
        return of.inputs if of.operator == "concat" else (node,)

    def _hoisted_row(self, node: int) -> tuple[str, fx.Node] | None:
        """Return the hoisted rows that a node reads, if it does nothing but read them."""
        of = self.builder.nodes[node]
        leaf = self.builder.nodes[of.inputs[0]] if of.operator == "slice" else of
        if leaf.operator not in self.leaves:
            return None
        rows = hoisting.as_rows(self.source, self.leaves[leaf.operator][leaf.index], self.dtype)
        if leaf is not of:
            rows = self.source.add(torch.narrow, rows, -1, of.index, of.width)
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


def _number(operand: Operand) -> float | None:
    """Return the number that an operand is, everywhere, if it is one."""
    if isinstance(operand, Value):
        return operand.base if isinstance(operand.base, float) else None
    return float(operand)


def _sizes(value: Value) -> tuple[int | None, ...]:
    return tuple(None if axis is None else axis.size for axis in value.axes)


def _with_ones(value: Value, positions: set[int]) -> Value:
    axes = list(value.axes)
    for position in sorted(positions):
        axes.insert(position, Axis(1, 0))
    return value.with_axes(*axes)
