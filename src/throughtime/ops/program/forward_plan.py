"""What a call of a graph does, worked out once for each choice of wanted states and needed gradients."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from throughtime.ops.program.backward_plan import BackwardPlan
from throughtime.ops.program.counts import Counts
from throughtime.ops.program.derive import Needs, Seeds, derive
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
        self.written = (*self.results, *self._read_by_backward())
        """Nodes whose values are written for all tokens: first the results."""
        self._machine = Machine(encode(replace(graph, outputs=self.written), counts.vectors))
        self._backward: dict[tuple[bool, ...], BackwardPlan] = {}

    def _read_by_backward(self) -> list[int]:
        if not any(map(any, self.needs)):
            return []
        seeds = Seeds(frozenset(self.results), (True,) * len(self.graph.states))
        return sorted(derive(self.graph, self.needs, seeds, self.results).written.difference(self.results))

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
            results = dict(zip(self.results, present, strict=False))
            seeds = Seeds(
                frozenset(node for node, one in results.items() if one), present[len(self.results) :]
            )
            backward = derive(self.graph, self.needs, seeds, self.results)
            plan = BackwardPlan(
                self.graph, self.counts, self.needs, backward, self.written, len(self.results)
            )
            self._backward[present] = plan
        return plan
