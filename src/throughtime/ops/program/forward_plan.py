"""What a call of a graph does, worked out once for each choice of wanted states and needed gradients."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from throughtime.ops.program.backward_plan import BackwardPlan
from throughtime.ops.program.counts import Counts
from throughtime.ops.program.derive import Backward, Needs, Seeds, derive
from throughtime.ops.program.encode import encode
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.native import Machine
from throughtime.ops.recurrent.steps import Steps


class ForwardPlan:
    """A forward pass.

    Parameters
    ----------
    graph, counts
        What runs, on how many tensors.
    wanted
        For each state, whether its value after every step is a result.
    needed
        For each tensor, whether a backward pass may ask for its gradient.
    """

    def __init__(self, graph: Graph, counts: Counts, wanted: Sequence[bool], needed: Sequence[bool]) -> None:
        self.graph, self.counts = graph, counts
        self.needs = Needs(*map(tuple, counts.divided(needed)))
        states = [position for position, one in zip(graph.states, wanted, strict=True) if one]
        self.results = tuple(dict.fromkeys([*states, *graph.outputs]))
        places = {position: place for place, position in enumerate(self.results)}
        self.state_places = [
            places[position] if one else None for position, one in zip(graph.states, wanted, strict=True)
        ]
        self.output_places = [places[position] for position in graph.outputs]
        self.written = self._written() if any(map(any, self.needs)) else self.results
        """Nodes whose values are written for all tokens: first the results."""
        self._machine = Machine(encode(replace(graph, outputs=self.written), counts.vectors))
        self._backward: dict[tuple[bool, ...], BackwardPlan] = {}

    def _written(self) -> tuple[int, ...]:
        """Return the results, the states that the backward pass reads, and what else it reads."""
        present = (True,) * (len(self.results) + len(self.graph.states))
        written = self.results
        for others in (self.graph.states, range(len(self.graph.nodes))):
            read = self._derived(present, written).written.intersection(others)
            written += tuple(sorted(read.difference(written)))
        return written

    def _derived(self, present: Sequence[bool], written: Sequence[int]) -> Backward:
        """Return the backward pass for gradients of these: results, then final states."""
        nodes = frozenset(node for node, one in zip(self.results, present, strict=False) if one)
        seeds = Seeds(nodes, tuple(present[len(self.results) :]))
        return derive(self.graph, self.needs, seeds, written)

    def run(
        self, tensors: Sequence[Tensor | None], steps: Steps, dtype: torch.dtype, *, from_end: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the final states, and the matrix of each node of ``written``."""
        tokens, sequences, vectors, matrices, states = self.counts.divided(tensors)
        return self._machine.run(
            tokens, (), (), sequences, vectors, matrices, states, steps, dtype, from_end=from_end
        )

    def backward(self, present: tuple[bool, ...]) -> BackwardPlan:
        """Return the backward pass for gradients of these: ``results``, then final states."""
        plan = self._backward.get(present)
        if plan is None:
            backward = self._derived(present, self.written)
            plan = BackwardPlan(
                self.graph, self.counts, self.needs, backward, self.written, len(self.results)
            )
            self._backward[present] = plan
        return plan
