"""Encoding of a graph as instructions of the native interpreter: register allocation and scheduling.

A value that a product reads or writes, or that is live across a product, is in a row register, which holds
all rows of a step. All others are in local registers, which hold a block of rows. Registers are reused when
their value is dead. A slice is a part of the register of another value; the parts of a concatenation are
computed in place. Next states, and outputs that no instruction reads, are written directly to their
destination.
"""

from dataclasses import dataclass

from throughtime.ops.program.fusing import PRODUCTS
from throughtime.ops.program.graph import Graph, Node
from throughtime.ops.program.operators import RESHAPING
from throughtime.ops.program.registers import Instruction, Place, allocated
from throughtime.ops.program.schedule import scheduled, with_addends

READ = frozenset({"token", "previous", "sequence", "state", "vector"})
_ALIASES = frozenset({"slice", "stop", "bound_gradient"})


@dataclass(frozen=True)
class Encoded:
    """A program of the native interpreter.

    Parameters
    ----------
    instructions
        Operator, place of the result, places of the operands, width, index and numbers of each. The index of
        a product is its slot; of an operator whose operand has another width than the result, that width.
    rows, locals, states, outputs
        Widths.
    matrices
        For each slot, the number of the matrix, and whether it belongs to ``product_transposed``.
    constants
        Numbers of one more vector, after those of the caller.
    vectors
        Number of vectors of the call.
    """

    instructions: tuple[Instruction, ...]
    rows: tuple[int, ...]
    locals: tuple[int, ...]
    states: tuple[int, ...]
    outputs: tuple[int, ...]
    matrices: tuple[tuple[int, bool], ...]
    constants: tuple[float, ...]
    vectors: int


def encode(graph: Graph, vectors: int) -> Encoded:
    """Return the instructions of a graph, for a call with this number of vectors."""
    encoder = _Encoder(with_addends(graph), vectors)
    instructions, rows, local = allocated(encoder.instructions, encoder.widths)
    return Encoded(
        instructions,
        rows,
        local,
        tuple(graph.nodes[position].width for position in graph.states),
        tuple(graph.nodes[position].width for position in graph.outputs),
        tuple(encoder.slots),
        tuple(number for number, width in encoder.constants.items() for _ in range(width)),
        vectors,
    )


class _Encoder:
    """Instructions with a register for each value: places of kind "register", before registers are shared."""

    def __init__(self, graph: Graph, vectors: int) -> None:
        self.graph = graph
        self.instructions: list[Instruction] = []
        self.widths: list[int] = []
        self.slots: dict[tuple[int, bool], int] = {}
        self.constants = _constants(graph)
        self._vectors = vectors
        self._writes = _writes(graph)
        self._reads = _reads(graph, self._writes)
        self._places: dict[int, Place] = {}
        self._within: dict[int, Place] = {}
        self._compose()
        self._postponed: list[Instruction] = []
        for position in scheduled(graph):
            self._encode(position)
        self.instructions += self._postponed

    def _compose(self) -> None:
        """Give a concatenation that is read a register, and its parts their places within it."""
        for position in reversed(range(len(self.graph.nodes))):
            node = self.graph.nodes[position]
            if node.operator != "concat" or not self._reads[position]:
                continue
            place = self._places[position] = self._target(position, node.width)
            kind, index, begin = place
            for source in node.inputs:
                part = self.graph.nodes[source]
                if part.inputs and part.operator not in _ALIASES:
                    self._within.setdefault(source, (kind, index, begin))
                begin += part.width

    def _encode(self, position: int) -> None:
        node = self.graph.nodes[position]
        if node.operator in PRODUCTS:
            self._compute(position, node)
            self._postponed += self._copies(position)
            return
        # Products that follow each other run together: what is written of them is copied after the last.
        self.instructions += self._postponed
        self._postponed = []
        if node.operator == "concat":
            self._join(position, node)
        elif node.inputs and node.operator not in _ALIASES:
            self._compute(position, node)
        self.instructions += self._copies(position)

    def _compute(self, position: int, node: Node) -> None:
        operands = [self._place(source) for source in node.inputs]
        operator, index = node.operator, node.index
        if operator in PRODUCTS:
            slot = (node.index, operator == "product_transposed")
            operator, index = "product", self.slots.setdefault(slot, len(self.slots))
            operands[0] = self._factor(operands[0], self.graph.nodes[node.inputs[0]].width)
        elif operator in RESHAPING:
            index = self.graph.nodes[node.inputs[0]].width
        place = self._places[position] = self._target(position, node.width)
        self.instructions.append((operator, place, tuple(operands), node.width, index, node.numbers))

    def _factor(self, place: Place, width: int) -> Place:
        """Return a place that products read: a register or a state."""
        if place[0] in {"register", "state", "next"}:
            return place
        register = self._register(width)
        self.instructions.append(_copy(register, place, width))
        return register

    def _target(self, position: int, width: int) -> Place:
        """Return where to compute a value: within a concatenation, as state or output, or in a register."""
        if position in self._within:
            return self._within[position]
        writes = self._writes[position]
        chosen = next((target for target in writes if target[0] == "next"), None)
        if chosen is None and len(writes) == 1 and not self._reads[position]:
            chosen = writes[0]
        if chosen is None:
            return self._register(width)
        writes.remove(chosen)
        return chosen

    def _join(self, position: int, node: Node) -> None:
        """Copy the parts of a concatenation that are not in their place."""
        if position not in self._places:
            return
        kind, index, begin = self._places[position]
        for source in node.inputs:
            width, place = self.graph.nodes[source].width, self._place(source)
            if place != (kind, index, begin):
                self.instructions.append(_copy((kind, index, begin), place, width))
            begin += width

    def _copies(self, position: int) -> list[Instruction]:
        """Return the instructions that write a value where else it has to be."""
        width = self.graph.nodes[position].width
        return [_copy(target, self._place(position), width) for target in self._writes[position]]

    def _place(self, position: int) -> Place:
        node = self.graph.nodes[position]
        if node.operator in READ:
            return node.operator, node.index, 0
        if node.operator == "constant":
            return "vector", self._vectors, self._begin(node.numbers[0])
        if node.operator in _ALIASES:
            kind, index, begin = self._place(node.inputs[0])
            return kind, index, begin + node.index
        return self._places[position]

    def _begin(self, number: float) -> int:
        """Return where the copies of a constant begin."""
        begin = 0
        for other, width in self.constants.items():
            if other == number:
                break
            begin += width
        return begin

    def _register(self, width: int) -> Place:
        self.widths.append(width)
        return "register", len(self.widths) - 1, 0


def _copy(target: Place, source: Place, width: int) -> Instruction:
    return "copy", target, (source,), width, 0, ()


def _constants(graph: Graph) -> dict[float, int]:
    """Return the constants of a graph, each with the greatest width that it has."""
    widths: dict[float, int] = {}
    for node in graph.nodes:
        if node.operator == "constant":
            (number,) = node.numbers
            widths[number] = max(widths.get(number, 0), node.width)
    return widths


def _writes(graph: Graph) -> list[list[Place]]:
    """Return for each node where its value has to be written."""
    writes: list[list[Place]] = [[] for _ in graph.nodes]
    for kind, positions in (("next", graph.states), ("output", graph.outputs)):
        for number, position in enumerate(positions):
            writes[position].append((kind, number, 0))
    return writes


def _reads(graph: Graph, writes: list[list[Place]]) -> list[bool]:
    """Return for each node whether an instruction reads it.

    A concatenation that nothing reads is written part by part: ``writes`` of it become those of its parts.
    """
    reads = [False] * len(graph.nodes)
    for position in reversed(range(len(reads))):
        node = graph.nodes[position]
        if node.operator == "concat" and not reads[position]:
            _distribute(graph, position, writes)
        elif node.operator not in _ALIASES or reads[position] or writes[position]:
            for source in node.inputs:
                reads[source] = True
    return reads


def _distribute(graph: Graph, position: int, writes: list[list[Place]]) -> None:
    begin = 0
    for source in graph.nodes[position].inputs:
        writes[source] += [(kind, index, offset + begin) for kind, index, offset in writes[position]]
        begin += graph.nodes[source].width
    writes[position] = []
