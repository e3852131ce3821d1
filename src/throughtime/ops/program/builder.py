"""Building a graph: equal values once, constants folded, and the simplest form of each expression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

from throughtime.ops.program.fusing import fused
from throughtime.ops.program.graph import LEAVES, Graph, Node
from throughtime.ops.program.operators import COMMUTATIVE, OPERATORS, RESHAPING, ROWS
from throughtime.ops.program.pruning import pruned
from throughtime.ops.program.simplify import simplified

Operand = Union["Value", float]


class Builder:
    """Collects the nodes of a graph.

    Examples
    --------
    >>> builder = Builder()
    >>> h, x = builder.leaf("state", 0, 4), builder.leaf("token", 0, 4)
    >>> graph = builder.graph(states=[(builder.product(0, h, 4) + x).call("tanh")])
    >>> [node.operator for node in graph.nodes]
    ['state', 'token', 'product', 'add', 'tanh']
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._positions: dict[Node, int] = {}

    def leaf(self, kind: str, index: int, width: int) -> "Value":
        """Return a leaf, one of `throughtime.ops.program.graph.LEAVES`."""
        return self._value(Node(kind, (), width, index))

    def constant(self, number: float, width: int) -> "Value":
        """Return one number in every place."""
        return self._value(Node("constant", (), width, 0, (float(number),)))

    def product(self, index: int, a: "Value", width: int, *, transposed: bool = False) -> "Value":
        """Return a W_kᵀ for the k-th matrix (width, width of a), or a W_k for (width of a, width)."""
        return self._value(
            Node("product_transposed" if transposed else "product", (a.position,), width, index)
        )

    def concat(self, parts: Sequence["Value"]) -> "Value":
        """Return the parts one after the other."""
        return self.apply("concat", parts, sum(part.width for part in parts))

    def apply(
        self,
        operator: str,
        inputs: Sequence["Value"],
        width: int,
        index: int = 0,
        numbers: tuple[float, ...] = (),
    ) -> "Value":
        """Return the result of an operator, in its simplest form.

        Raises
        ------
        ValueError
            If it is not an operator, or inputs or widths do not fit: these are errors of the calling code.
        """
        _check(operator, inputs, width, index)
        simple = simplified(self, operator, inputs, width, index, numbers)
        if simple is not None:
            return simple
        positions = tuple(one.position for one in inputs)
        if operator in COMMUTATIVE:
            positions = tuple(sorted(positions))
        return self._value(Node(operator, positions, width, index, numbers))

    def copied(self, node: Node, inputs: Sequence["Value"]) -> "Value":
        """Return the value of a node of another graph, whose inputs are here these."""
        if node.operator in OPERATORS:
            return self.apply(node.operator, inputs, node.width, node.index, node.numbers)
        return self._value(node._replace(inputs=tuple(one.position for one in inputs)))

    def graph(self, states: Sequence["Value"], outputs: Sequence["Value"] = ()) -> Graph:
        """Return the graph of the values that states and outputs need."""
        whole = Graph(
            tuple(self.nodes),
            tuple(state.position for state in states),
            tuple(output.position for output in outputs),
        )
        return fused(pruned(whole))

    def _value(self, node: Node) -> "Value":
        position = self._positions.get(node)
        if position is None:
            position = self._positions[node] = len(self.nodes)
            self.nodes.append(node)
        return Value(self, position)


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A value of a step under construction; + − · / take values of its width, and numbers."""

    builder: Builder
    position: int

    @property
    def node(self) -> Node:
        """Return the node that computes it."""
        return self.builder.nodes[self.position]

    @property
    def width(self) -> int:
        """Return how many numbers each row has."""
        return self.node.width

    def call(self, operator: str, *others: Operand, numbers: tuple[float, ...] = ()) -> "Value":
        """Return the result of a pointwise operator whose first input this is."""
        return self.builder.apply(
            operator, [self, *(self._operand(other) for other in others)], self.width, numbers=numbers
        )

    def slice(self, begin: int, width: int) -> "Value":
        """Return the values begin … begin + width."""
        return self.builder.apply("slice", [self], width, begin)

    def repeat(self, width: int) -> "Value":
        """Return each value width / (own width) times in a row."""
        return self.builder.apply("repeat", [self], width)

    def tile(self, width: int) -> "Value":
        """Return the row width / (own width) times."""
        return self.builder.apply("tile", [self], width)

    def sum(self, width: int) -> "Value":
        """Return the sums of ``width`` groups of adjacent values."""
        return self.builder.apply("sum", [self], width)

    def max(self, width: int) -> "Value":
        """Return the maxima of ``width`` groups of adjacent values."""
        return self.builder.apply("max", [self], width)

    def sum_strided(self, width: int) -> "Value":
        """Return the sums of values that lie ``width`` apart."""
        return self.builder.apply("sum_strided", [self], width)

    def where(self, a: Operand, b: Operand) -> "Value":
        """Return a where this is not 0, else b."""
        return self.call("where", a, b)

    def __add__(self, other: Operand) -> "Value":
        return self.call("add", other)

    def __sub__(self, other: Operand) -> "Value":
        return self.call("sub", other)

    def __mul__(self, other: Operand) -> "Value":
        return self.call("mul", other)

    def __truediv__(self, other: Operand) -> "Value":
        return self.call("div", other)

    def __radd__(self, other: float) -> "Value":
        return self.call("add", other)

    def __rmul__(self, other: float) -> "Value":
        return self.call("mul", other)

    def __rsub__(self, other: float) -> "Value":
        return self._operand(other).call("sub", self)

    def __rtruediv__(self, other: float) -> "Value":
        return self._operand(other).call("div", self)

    def __neg__(self) -> "Value":
        return self.call("neg")

    def _operand(self, other: Operand) -> "Value":
        return other if isinstance(other, Value) else self.builder.constant(other, self.width)


def _check(operator: str, inputs: Sequence[Value], width: int, index: int) -> None:
    """Check the inputs of an operator."""
    if operator not in OPERATORS:
        known = ", ".join((*LEAVES, "constant", "product", "product_transposed", *OPERATORS))
        raise ValueError(f"no operator {operator!r}; a graph has {known}")
    arity, widths = OPERATORS[operator].arity, [one.width for one in inputs]
    if arity not in {-1, len(inputs)}:
        raise ValueError(f"{operator} takes {arity} inputs, got {len(inputs)}")
    if operator in ROWS:
        fits = widths == [width] * (arity - 1) + [1]
    elif operator not in RESHAPING:
        fits = all(one == width for one in widths)
    elif operator == "slice":
        fits = 0 <= index <= index + width <= widths[0]
    elif operator == "concat":
        fits = sum(widths) == width
    elif operator in {"repeat", "tile"}:
        fits = widths[0] > 0 and width % widths[0] == 0
    else:
        fits = width > 0 and widths[0] % width == 0
    if not fits:
        raise ValueError(f"{operator} of width {width} got inputs of widths {widths}")
