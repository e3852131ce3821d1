"""The plan of a backward pass: the sources of its inputs, and the destinations of its results."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple, cast

import torch
from torch import Tensor

from throughtime.ops.program.counts import Counts
from throughtime.ops.program.derive import (
    EMITTED,
    GRADIENT,
    TOKEN,
    WRITTEN,
    Backward,
    Columns,
    MatrixGradient,
    Needs,
)
from throughtime.ops.program.encode import encode
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.program.native import Machine, Places
from throughtime.ops.program.shift import states_before
from throughtime.ops.recurrent.steps import Steps

_MANY_TOKENS = 4096


Call = Callable[[Graph, Inputs, Sequence[Tensor | None], Steps, bool], tuple[list[Tensor], list[Tensor]]]
"""Runs a graph, the last argument ``from_end``; returns final states and outputs."""


class _Part(NamedTuple):
    """Columns of one of the tensors of a backward pass; a width of None for all."""

    place: int
    begin: int
    width: int | None

    def of(self, tensors: Sequence[Tensor | None]) -> Tensor:
        tensor = cast("Tensor", tensors[self.place])
        return tensor if self.width is None else tensor.narrow(1, self.begin, self.width)


class _Rows(NamedTuple):
    """Rows of Gᵀ A that are the gradient of a matrix, or of its transpose."""

    place: int
    transposed: bool
    begin: int
    width: int


class _Product(NamedTuple):
    gradient: tuple[_Part, ...]
    factor: _Part
    rows: tuple[_Rows, ...]


class BackwardPlan:
    """A backward pass for one choice of results that have a gradient.

    All its tensors are numbered: those of the forward call, the matrices that this wrote, the gradients of
    these and of its final states, and the outputs of the backward program.
    """

    def __init__(
        self,
        graph: Graph,
        counts: Counts,
        needs: Needs,
        backward: Backward,
        written: Sequence[int],
    ) -> None:
        self._graph, self._counts, self._backward = graph, counts, backward
        self._written = {node: place for place, node in enumerate(written)}
        begin_gradients = sum(counts) + len(written)
        self._begins = {
            TOKEN: 0,
            WRITTEN: sum(counts),
            GRADIENT: begin_gradients,
            EMITTED: begin_gradients + len(written) + counts.states,
        }
        sequences, vectors, matrices, states = counts.tokens, *(sum(counts[:kind]) for kind in (2, 3, 4))
        self._tokens = [self._place(kind, number) for kind, number in backward.tokens]
        self._previous = [self._place(WRITTEN, graph.states[k]) for k in backward.previous]
        self._previous_initial = [states + k for k in backward.previous]
        self._initial = [begin_gradients + len(written) + k for k in backward.states]
        self._no_sums = [None] * len(backward.sequences)
        self._of_tokens = [(index, self._part(part)) for index, part in backward.token_gradients.items()]
        self._of_vectors = [
            (vectors + index, tuple(map(self._part, parts)))
            for index, parts in backward.vector_gradients.items()
        ]
        self._of_matrices = [self._product(one, matrices) for one in backward.matrix_gradients]
        self._of_states = [
            *((states + k, number) for number, k in enumerate(backward.states) if needs.states[k]),
            *((sequences + k, number) for number, k in enumerate(backward.sequences, len(backward.states))),
        ]
        self._needed = [place for place, one in enumerate(sum(needs, ())) if one]
        graph_is_empty = not (backward.graph.states or backward.graph.outputs)
        places = Places(
            tokens=self._tokens,
            previous=self._previous,
            previous_initial=self._previous_initial,
            sequences=range(sequences, vectors),
            vectors=range(vectors, matrices),
            matrices=range(matrices, states),
            states=[*self._initial, *(-1 for _ in self._no_sums)],
        )
        self._machine = None if graph_is_empty else Machine(encode(backward.graph, counts.vectors), places)

    def run(
        self, tensors: tuple[Tensor | None, ...], steps: Steps, dtype: torch.dtype, *, from_end: bool
    ) -> list[Tensor | None]:
        """Return the gradient of each tensor of the forward call, None where none is needed.

        Parameters
        ----------
        tensors
            Those of the forward call, what it wrote, and the gradients of its results and final states.
        from_end
            Of the forward pass.
        """
        if self._machine is None:
            return self._gradients(tensors, ())
        results = self._machine.run(tensors, steps, dtype, from_end=not from_end)
        return self._gradients((*tensors, *results), results[self._machine.count :])

    def run_as_call(
        self, tensors: Sequence[Tensor | None], steps: Steps, call: Call, *, from_end: bool
    ) -> list[Tensor | None]:
        """Return the same as `run`, differentiable: the graph is run by a differentiable ``call``.

        The states before each step are token matrices of it.
        """
        if self._machine is None:
            return self._gradients(tensors, ())
        _, sequences, vectors, matrices, _ = self._counts.divided(tensors)
        before = [
            states_before(cast("Tensor", tensors[place]), tensors[initial], steps, from_end=from_end)
            for place, initial in zip(self._previous, self._previous_initial, strict=True)
        ]
        read = [[tensors[place] for place in self._tokens] + before, sequences, vectors, matrices]
        inputs = Inputs(*(cast("tuple[Tensor, ...]", tuple(part)) for part in read))
        states = [*(tensors[place] for place in self._initial), *self._no_sums]
        final, emitted = call(self._graph_of_tokens, inputs, states, steps, not from_end)
        return self._gradients([*tensors, *emitted], final)

    @cached_property
    def _graph_of_tokens(self) -> Graph:
        """The graph with token leaves in the place of ``previous`` leaves."""
        nodes = [
            node._replace(operator=TOKEN, index=len(self._tokens) + node.index)
            if node.operator == "previous"
            else node
            for node in self._backward.graph.nodes
        ]
        return replace(self._backward.graph, nodes=tuple(nodes))

    def _gradients(self, everything: Sequence[Tensor | None], final: Sequence[Tensor]) -> list[Tensor | None]:
        gradients: list[Tensor | None] = [None] * sum(self._counts)
        for place, part in self._of_tokens:
            gradients[place] = part.of(everything)
        for place, parts in self._of_vectors:
            sums = [part.of(everything).sum(0) for part in parts]
            gradients[place] = sums[0] if len(sums) == 1 else torch.cat(sums)
        for product in self._of_matrices:
            _multiply(product, everything, gradients)
        for place, number in self._of_states:
            gradients[place] = final[number]
        for place in self._needed:
            tensor = everything[place]
            if gradients[place] is None and tensor is not None:
                gradients[place] = torch.zeros_like(tensor)
        return gradients

    def _place(self, kind: str, number: int) -> int:
        return self._begins[kind] + (self._written[number] if kind in {WRITTEN, GRADIENT} else number)

    def _part(self, columns: Columns) -> _Part:
        whole = columns.begin == 0 and columns.width == self._width(columns.kind, columns.number)
        place = self._place(columns.kind, columns.number)
        return _Part(place, columns.begin, None if whole else columns.width)

    def _width(self, kind: str, number: int) -> int:
        if kind == EMITTED:
            return self._backward.graph.nodes[self._backward.graph.outputs[number]].width
        if kind == TOKEN:
            return next(
                node.width for node in self._graph.nodes if (node.operator, node.index) == (TOKEN, number)
            )
        return self._graph.nodes[number].width

    def _product(self, gradient: MatrixGradient, matrices: int) -> _Product:
        rows, begin = [], 0
        for factor in gradient.factors:
            rows.append(_Rows(matrices + factor.matrix, factor.transposed, begin, factor.width))
            begin += factor.width
        parts = tuple(map(self._part, gradient.gradient))
        return _Product(parts, self._part(gradient.input), tuple(rows))


def _multiply(product: _Product, tensors: Sequence[Tensor | None], gradients: list[Tensor | None]) -> None:
    """Add Gᵀ A, cut into rows, to the gradients of the matrices."""
    factor = product.factor.of(tensors)
    parts = [_product(part.of(tensors), factor) for part in product.gradient]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    for place, transposed, begin, width in product.rows:
        part = whole if len(product.rows) == 1 else whole.narrow(0, begin, width)
        part = part.t() if transposed else part
        known = gradients[place]
        gradients[place] = part if known is None else known + part


def _product(gradient: Tensor, factor: Tensor) -> Tensor:
    """Return Gᵀ A; of many tokens as the transpose of Aᵀ G, which the BLAS of torch computes faster."""
    if gradient.shape[0] < _MANY_TOKENS:
        return torch.mm(gradient.t(), factor)
    return torch.mm(factor.t(), gradient).t()
