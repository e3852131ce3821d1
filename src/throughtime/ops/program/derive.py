"""The backward pass of a graph, as a graph: reverse-mode differentiation over nodes.

It runs against the order of the forward pass. The gradients of the states are its states; the gradient of a
``sequence`` leaf is a state that each step adds to. Forward values are read or computed again, by a rule
for each operator: leaves, and results that the forward pass writes anyway, are read; a cheap result is
computed again from its inputs, unless it is the sum of a product and something else; any other is written by
the forward pass and read. The gradient of a matrix
is one product after the loop, over all tokens, of the gradient of the product and its input; that of a
vector is a sum over all tokens.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby, islice, pairwise
from operator import itemgetter
from typing import NamedTuple

from throughtime.ops.program.builder import Builder, Value
from throughtime.ops.program.fusing import PRODUCTS
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.operators import OPERATORS, Call
from throughtime.ops.program.pruning import use_counts

TOKEN, WRITTEN, GRADIENT, EMITTED = "token", "written", "gradient", "emitted"
"""Matrices with a row for each token: the k-th token matrix, what the forward pass wrote of node k, the
gradient of that, and the k-th output of the backward pass."""


class Needs(NamedTuple):
    """Which inputs need a gradient."""

    tokens: tuple[bool, ...]
    sequences: tuple[bool, ...]
    vectors: tuple[bool, ...]
    matrices: tuple[bool, ...]
    states: tuple[bool, ...]


class Seeds(NamedTuple):
    """Which results have a gradient: nodes whose values were written for all tokens, and final states."""

    nodes: frozenset[int]
    final: tuple[bool, ...]


class Columns(NamedTuple):
    """Columns of a matrix with a row for each token."""

    kind: str
    number: int
    begin: int
    width: int


class Factor(NamedTuple):
    """One matrix of a product whose gradients are rows begin … of Gᵀ A, or of a transposed one columns."""

    matrix: int
    transposed: bool
    width: int


class MatrixGradient(NamedTuple):
    """Gᵀ A over all tokens: G, in one or more parts, has the gradients of the products of the value A."""

    gradient: tuple[Columns, ...]
    input: Columns
    factors: tuple[Factor, ...]


@dataclass(frozen=True)
class Backward:
    """A backward pass.

    Parameters
    ----------
    graph
        Its step. States: gradients of the forward ``states``, then sums for the ``sequences``.
    tokens
        Kind and number of what its token leaves read.
    previous
        Forward states that its ``previous`` leaves read, before the step.
    states, sequences
        Forward states and sequence leaves that the states of its graph belong to.
    token_gradients : dict
        By leaf, the columns that are its gradient.
    vector_gradients : dict
        By leaf, the columns that are its gradient when summed over tokens, in one or more parts.
    matrix_gradients
        What is computed after the loop.
    written
        Forward nodes whose values are read, for all tokens.
    """

    graph: Graph
    tokens: tuple[tuple[str, int], ...]
    previous: tuple[int, ...]
    states: tuple[int, ...]
    sequences: tuple[int, ...]
    token_gradients: dict[int, Columns]
    vector_gradients: dict[int, tuple[Columns, ...]]
    matrix_gradients: tuple[MatrixGradient, ...]
    written: frozenset[int]


def derive(graph: Graph, needs: Needs, seeds: Seeds, available: Iterable[int]) -> Backward:
    """Return the backward pass of a graph.

    Parameters
    ----------
    needs
        Which inputs need a gradient; no other is computed.
    seeds
        Which results have one.
    available
        Nodes that the forward pass writes for all tokens in any case.
    """
    gradients = _Gradients(graph, needs, seeds)
    return _Assembly(gradients, frozenset(available)).backward()


class _Gradients:
    """The gradients of a graph's leaves and products, beside the forward values that they depend on."""

    def __init__(self, graph: Graph, needs: Needs, seeds: Seeds) -> None:
        self.graph, self.needs = graph, needs
        self.active = _active(graph, needs)
        flowing = _flowing(graph, seeds)
        self.states = [
            k for k, position in enumerate(graph.states) if flowing[k] and self._state_is_active(k, position)
        ]
        self.builder = Builder()
        self.values = self._forward()
        self.of_leaves: dict[tuple[str, int], Value] = {}
        self.of_products: list[tuple[int, Value]] = []
        self._parts: dict[int, list[tuple[int, Value]]] = defaultdict(list)
        self._seed(seeds)
        for position in reversed(range(len(graph.nodes))):
            if self.active[position] and position in self._parts:
                self._through(position)

    def _state_is_active(self, state: int, position: int) -> bool:
        return self.needs.states[state] or self.active[position]

    def _forward(self) -> list[Value]:
        values: list[Value] = []
        for node in self.graph.nodes:
            if node.operator == "state":
                values.append(self.builder.leaf("previous", node.index, node.width))
            else:
                values.append(self.builder.copied(node, [values[source] for source in node.inputs]))
        return values

    def _seed(self, seeds: Seeds) -> None:
        for number, k in enumerate(self.states):
            position = self.graph.states[k]
            self._add(position, self.builder.leaf("state", number, self.graph.nodes[position].width))
        for position in sorted(seeds.nodes):
            width = self.graph.nodes[position].width
            self._add(position, self.builder.leaf(GRADIENT, position, width))

    def _add(self, position: int, gradient: Value, begin: int = 0) -> None:
        if self.active[position]:
            self._parts[position].append((begin, gradient))

    def _through(self, position: int) -> None:
        """Pass the gradient of a node on to its inputs."""
        node, gradient = self.graph.nodes[position], self._gradient(position)
        if node.operator == "slice":
            self._add(node.inputs[0], gradient, node.index)
        elif node.operator in PRODUCTS:
            self._through_product(position, gradient)
        elif node.operator in OPERATORS:
            inputs = tuple(self.values[source] for source in node.inputs)
            rule = OPERATORS[node.operator].gradient
            for source, part in zip(
                node.inputs, rule(gradient, Call(self.values[position], inputs, node.numbers)), strict=True
            ):
                if part is not None:
                    self._add(source, part)
        else:
            leaf = (node.operator, node.index)
            known = self.of_leaves.get(leaf)
            self.of_leaves[leaf] = gradient if known is None else known + gradient

    def _through_product(self, position: int, gradient: Value) -> None:
        node = self.graph.nodes[position]
        if self.needs.matrices[node.index]:
            self.of_products.append((position, gradient))
        (source,) = node.inputs
        if self.active[source]:
            transposed = node.operator == "product"
            width = self.graph.nodes[source].width
            self._add(source, self.builder.product(node.index, gradient, width, transposed=transposed))

    def _gradient(self, position: int) -> Value:
        """Return the sum of the parts that came to a node, each at its own columns."""
        width, parts = self.graph.nodes[position].width, self._parts[position]
        ends = sorted({0, width, *(end for begin, part in parts for end in (begin, begin + part.width))})
        pieces = []
        for left, right in pairwise(ends):
            addends = [
                part.slice(left - begin, right - left)
                for begin, part in parts
                if begin <= left and right <= begin + part.width
            ]
            pieces.append(
                reduce(Value.__add__, addends) if addends else self.builder.constant(0.0, right - left)
            )
        return self.builder.concat(pieces)


def _active(graph: Graph, needs: Needs) -> list[bool]:
    """Return for each node whether a gradient that is needed goes through it."""
    leaves = {"token": needs.tokens, "sequence": needs.sequences, "vector": needs.vectors}
    states = list(needs.states)
    while True:
        active: list[bool] = []
        for node in graph.nodes:
            if node.operator == "state":
                active.append(states[node.index])
            elif node.operator in leaves:
                active.append(leaves[node.operator][node.index])
            else:
                own = node.operator in PRODUCTS and needs.matrices[node.index]
                active.append(own or any(active[source] for source in node.inputs))
        after = [state or active[position] for state, position in zip(states, graph.states, strict=True)]
        if after == states:
            return active
        states = after


def _flowing(graph: Graph, seeds: Seeds) -> list[bool]:
    """Return for each state whether any step after it may have an influence on a result with a gradient."""
    flowing = list(seeds.final)
    while True:
        marks = [position in seeds.nodes for position in range(len(graph.nodes))]
        for k, position in enumerate(graph.states):
            marks[position] = marks[position] or flowing[k]
        for position in reversed(range(len(marks))):
            for source in graph.nodes[position].inputs:
                marks[source] = marks[source] or marks[position]
        after = list(flowing)
        for node, mark in zip(graph.nodes, marks, strict=True):
            if node.operator == "state" and mark:
                after[node.index] = True
        if after == flowing:
            return flowing
        flowing = after


class _Assembly:
    """Chooses what the backward graph reads and what it writes."""

    def __init__(self, gradients: _Gradients, available: frozenset[int]) -> None:
        self._source, self._available = gradients, available
        self._sums = _sums_of_products(gradients.graph)
        self._builder = Builder()
        # Of equal nodes one that is written in any case, else the first.
        by_rank = sorted(enumerate(gradients.values), key=lambda one: (one[0] in available, -one[0]))
        self._forward = {value.position: node for node, value in by_rank}
        self._resolved: dict[int, Value] = {}
        self._tokens: dict[tuple[str, int], int] = {}
        self._previous: dict[int, int] = {}
        self._written: set[int] = set()
        self._outputs: list[Value] = []
        self._whole: set[int] = set()
        self._whole = self._read_whole()
        self._emitted: dict[int, Columns] = {}

    def backward(self) -> Backward:
        """Return the graph and where its results are."""
        source = self._source
        states = [self._next_state(k) for k in source.states]
        sums = self._sequence_sums(len(states))
        products = self._products()
        of_tokens, of_vectors = self._of_leaves("token"), self._of_leaves("vector")
        whole = [*of_tokens.values(), *(factor for _, factor, _ in products)]
        self._emit(whole, [*of_vectors.values(), *(gradient for gradient, *_ in products)])
        graph = self._builder.graph([*states, *sums.values()], self._outputs)
        return Backward(
            graph,
            tuple(self._tokens),
            tuple(self._previous),
            tuple(source.states),
            tuple(sums),
            {index: self._known(gradient) for index, gradient in of_tokens.items()},
            {index: self._parts(gradient) for index, gradient in of_vectors.items()},
            tuple(MatrixGradient(self._parts(g), self._known(a), factors) for g, a, factors in products),
            frozenset(self._written | {source.graph.states[k] for k in self._previous}),
        )

    def _next_state(self, k: int) -> Value:
        gradient = self._source.of_leaves.get(("state", k))
        if gradient is None:
            return self._builder.constant(0.0, self._source.graph.nodes[self._source.graph.states[k]].width)
        return self._resolve(gradient)

    def _sequence_sums(self, begin: int) -> dict[int, Value]:
        sums: dict[int, Value] = {}
        for (kind, index), gradient in self._source.of_leaves.items():
            if kind == "sequence":
                state = self._builder.leaf("state", begin + len(sums), gradient.width)
                sums[index] = state + self._resolve(gradient)
        return sums

    def _of_leaves(self, kind: str) -> dict[int, Value]:
        return {
            index: self._resolve(gradient)
            for (leaf, index), gradient in self._source.of_leaves.items()
            if leaf == kind
        }

    def _products(self) -> list[tuple[Value, Value, tuple[Factor, ...]]]:
        """Return gradient, input and matrices of the products, all products of one value together."""
        nodes = self._source.graph.nodes
        by_input: dict[int, list[tuple[int, Value]]] = defaultdict(list)
        for position, gradient in reversed(self._source.of_products):
            by_input[nodes[position].inputs[0]].append((position, self._resolve(gradient)))
        return [
            (
                self._builder.concat([gradient for _, gradient in group]),
                self._resolve(self._source.values[source]),
                tuple(
                    Factor(
                        nodes[position].index,
                        nodes[position].operator == "product_transposed",
                        gradient.width,
                    )
                    for position, gradient in group
                ),
            )
            for source, group in by_input.items()
        ]

    def _emit(self, whole: Sequence[Value], divisible: Sequence[Value]) -> None:
        """Write values that can be read nowhere; the widest first, as others may be parts of it.

        Of a value that may be read in parts, only those parts are written that are not there, unless they are
        most of it.
        """
        wanted = [*((value, False) for value in whole), *((value, True) for value in divisible)]
        for value, in_parts in sorted(wanted, key=lambda one: -one[0].width):
            if self._find(value) is None:
                for run in self._runs(value) if in_parts else [[value]]:
                    self._write(self._builder.concat(run))

    def _runs(self, value: Value) -> list[list[Value]]:
        """Return what of a concatenation has to be written, adjacent parts together."""
        parts = [Value(self._builder, part) for part in value.node.inputs]
        known = [self._find(part) is not None for part in parts]
        width = sum(part.width for part, one in zip(parts, known, strict=True) if one)
        if value.node.operator != "concat" or 2 * width < value.width:
            return [[value]]
        grouped = groupby(zip(known, parts, strict=True), key=itemgetter(0))
        return [[part for _, part in run] for one, run in grouped if not one]

    def _write(self, value: Value) -> None:
        if self._find(value) is not None:
            return
        columns = self._emitted[value.position] = Columns(EMITTED, len(self._outputs), 0, value.width)
        self._outputs.append(value)
        begin = 0
        for position in value.node.inputs if value.node.operator == "concat" else ():
            width = self._builder.nodes[position].width
            self._emitted.setdefault(position, columns._replace(begin=begin, width=width))
            begin += width

    def _parts(self, value: Value) -> tuple[Columns, ...]:
        """Return where a value can be read, as few parts as there are."""
        whole = self._find(value)
        if whole is not None:
            return (whole,)
        parts: list[Columns] = []
        for position in value.node.inputs:
            part = self._known(Value(self._builder, position))
            joined = _adjacent([parts[-1], part]) if parts else None
            parts[-1:] = [joined] if joined is not None else [*parts[-1:], part]
        return tuple(parts)

    def _known(self, value: Value) -> Columns:
        columns = self._find(value)
        if columns is None:
            raise RuntimeError(f"{value.node} was not written by the backward pass")
        return columns

    def _find(self, value: Value) -> Columns | None:
        """Return where a value can be read for all tokens."""
        node = value.node
        if value.position in self._emitted:
            return self._emitted[value.position]
        if node.operator == "token":
            kind, number = next(islice(self._tokens, node.index, None))
            return Columns(kind, number, 0, node.width)
        if node.operator not in {"slice", "concat"}:
            return None
        found = [self._find(Value(self._builder, source)) for source in node.inputs]
        if node.operator == "slice":
            base = found[0]
            return base and base._replace(begin=base.begin + node.index, width=node.width)
        return _adjacent(found)

    def _resolve(self, value: Value) -> Value:
        """Return a value in the backward graph, by the rule for forward values."""
        pending = [value.position]
        while pending:
            missing = [one for one in self._sources(pending[-1]) if one not in self._resolved]
            if missing:
                pending += missing
            else:
                position = pending.pop()
                self._resolved[position] = self._new(position)
        return self._resolved[value.position]

    def _sources(self, position: int) -> tuple[int, ...]:
        """Return what a value is computed from, nothing if it is read."""
        if position in self._resolved or self._is_read(position):
            return ()
        return self._source.builder.nodes[position].inputs

    def _new(self, position: int) -> Value:
        if position in self._resolved:
            return self._resolved[position]
        node = self._source.builder.nodes[position]
        if node.operator in {TOKEN, GRADIENT}:
            return self._token(node.operator, node.index, node.width)
        if node.operator == "previous":
            number = self._previous.setdefault(node.index, len(self._previous))
            return self._builder.leaf("previous", number, node.width)
        if self._is_read(position):
            forward = self._forward[position]
            self._written.add(forward)
            return self._token(WRITTEN, forward, node.width)
        return self._builder.copied(node, [self._resolved[source] for source in node.inputs])

    def _is_read(self, position: int) -> bool:
        """Tell whether a value is a result of the forward pass that is written there and read here."""
        node = self._source.builder.nodes[position]
        if position not in self._forward or not node.inputs:
            return False
        forward = self._forward[position]
        if forward in self._available or forward in self._sums or node.operator not in OPERATORS:
            return True
        if node.operator == "slice":
            (base,) = node.inputs
            return (
                self._is_read(base) and self._forward[base] not in self._available and base not in self._whole
            )
        return not OPERATORS[node.operator].cheap

    def _read_whole(self) -> set[int]:
        """Return the forward values that are read other than by slices; of others, the slices are written."""
        source = self._source
        inputs = {source.graph.nodes[position].inputs[0] for position, _ in source.of_products}
        pending = [
            *(gradient.position for gradient in source.of_leaves.values()),
            *(gradient.position for _, gradient in source.of_products),
            *(source.values[position].position for position in inputs),
        ]
        seen: set[int] = set()
        while pending:
            position = pending.pop()
            if position not in seen:
                seen.add(position)
                pending += () if self._is_read(position) else source.builder.nodes[position].inputs
        return {position for position in seen if self._is_read(position)}

    def _token(self, kind: str, number: int, width: int) -> Value:
        index = self._tokens.setdefault((kind, number), len(self._tokens))
        return self._builder.leaf("token", index, width)


def _sums_of_products(graph: Graph) -> frozenset[int]:
    """Return the sums that a product computes as it adds to what is there: they cost nothing to write."""
    counts = use_counts(graph)
    products = {
        position
        for position, node in enumerate(graph.nodes)
        if node.operator in PRODUCTS and counts[position] == 1
    }
    return frozenset(
        position
        for position, node in enumerate(graph.nodes)
        if node.operator == "add" and not products.isdisjoint(node.inputs)
    )


def _adjacent(parts: Sequence[Columns | None]) -> Columns | None:
    """Return adjacent columns of one matrix as one, None if they are not."""
    first = parts[0]
    if first is None:
        return None
    whole = first
    for part in parts[1:]:
        if part is None or part != whole._replace(begin=whole.begin + whole.width, width=part.width):
            return None
        whole = whole._replace(width=whole.width + part.width)
    return whole
