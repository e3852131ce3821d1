"""The graph of a step while it is put together; equal nodes are there once."""

from collections.abc import Iterable, Sequence

from throughtime.ops.program.graph import Graph, Node


class GraphBuilder:
    """Nodes of a step in an order in which they can be computed."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._positions: dict[Node, int] = {}

    def add(self, node: Node) -> int:
        """Return the position of a node, which is added unless there is an equal one."""
        position = self._positions.setdefault(node, len(self.nodes))
        if position == len(self.nodes):
            self.nodes.append(node)
        return position

    def leaf(self, operator: str, index: int, width: int) -> int:
        """Add a leaf."""
        return self.add(Node(operator, (), width, index))

    def call(self, operator: str, *inputs: int, numbers: tuple[float, ...] = ()) -> int:
        """Add a pointwise operator."""
        return self.add(Node(operator, inputs, self.nodes[inputs[0]].width, 0, numbers))

    def product(self, a: int, matrix: int, width: int) -> int:
        """Add a product with a matrix (width, width of a)."""
        return self.add(Node("product", (a,), width, matrix))

    def slice(self, a: int, begin: int, width: int) -> int:
        """Add a part of a row; the whole row is the row itself, and a slice of a slice one slice."""
        node = self.nodes[a]
        if begin == 0 and width == node.width:
            return a
        if node.operator == "slice":
            return self.slice(node.inputs[0], node.index + begin, width)
        return self.add(Node("slice", (a,), width, begin))

    def concat(self, parts: Sequence[int]) -> int:
        """Add rows one after the other; adjacent slices become one."""
        joined: list[int] = []
        for part in parts:
            joined[-1:] = self._joined(joined[-1], part) if joined else [part]
        if len(joined) == 1:
            return joined[0]
        return self.add(Node("concat", tuple(joined), sum(self.nodes[part].width for part in joined)))

    def _joined(self, a: int, b: int) -> list[int]:
        first, second = self.nodes[a], self.nodes[b]
        if first.operator == second.operator == "slice" and first.inputs == second.inputs:
            if first.index + first.width == second.index:
                return [self.slice(first.inputs[0], first.index, first.width + second.width)]
        return [a, b]

    def repeat(self, a: int, width: int) -> int:
        """Add each value several times in a row."""
        return self._reshaped("repeat", a, width)

    def tile(self, a: int, width: int) -> int:
        """Add the row several times."""
        return self._reshaped("tile", a, width)

    def group(self, operator: str, a: int, width: int) -> int:
        """Add a reduction: ``sum``, ``max`` or ``sum_strided``."""
        return self._reshaped(operator, a, width)

    def _reshaped(self, operator: str, a: int, width: int) -> int:
        return a if self.nodes[a].width == width else self.add(Node(operator, (a,), width))

    def graph(self, states: Iterable[int]) -> Graph:
        """Return the graph, with all its nodes."""
        return Graph(tuple(self.nodes), tuple(states))
