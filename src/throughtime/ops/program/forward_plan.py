"""The plan of a call of a graph, computed once for each choice of wanted states and needed gradients."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from throughtime.ops.program.backward_plan import BackwardPlan
from throughtime.ops.program.counts import Counts
from throughtime.ops.program.derive import Backward, Needs, Seeds, derive
from throughtime.ops.program.encode import encode
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.native import Machine, Places
from throughtime.ops.recurrent.steps import Steps

Key = TypeVar("Key", bound=Hashable)


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
        self.places = [place for place in self.state_places if place is not None]
        self.output_places = [places[position] for position in graph.outputs]
        self.written = self._written() if any(map(any, self.needs)) else self.results
        """Nodes whose values are written for all tokens: first the results."""
        self.begin_final = len(self.written)
        read = dict(zip(Counts._fields, counts.divided(range(sum(counts))), strict=True))
        self._machine = Machine(encode(replace(graph, outputs=self.written), counts.vectors), Places(**read))
        self._backward: dict[tuple[tuple[bool, ...], tuple[bool, ...]], BackwardPlan] = {}
        self._variants: dict[Hashable, ForwardPlan] = {}

    def _written(self) -> tuple[int, ...]:
        """Return the results, the states that the backward pass reads, and what else it reads.

        What is written has a gradient, too, where a backward pass is differentiated.
        """
        written, states = self.results, frozenset(self.graph.states)
        while True:
            present = (True,) * (len(written) + len(self.graph.states))
            read = sorted(self._derived(self.needs, present, written).written.difference(written))
            if not read:
                return written
            written += tuple([node for node in read if node in states] or read)

    def _derived(self, needs: Needs, present: Sequence[bool], written: Sequence[int]) -> Backward:
        """Return the backward pass for gradients of these: what is written, then final states."""
        nodes = frozenset(node for node, one in zip(written, present, strict=False) if one)
        return derive(self.graph, needs, Seeds(nodes, tuple(present[len(written) :])), written)

    def run(
        self, tensors: tuple[Tensor | None, ...], steps: Steps, dtype: torch.dtype, *, from_end: bool
    ) -> tuple[Tensor, ...]:
        """Return the matrix of each node of ``written``, and then the final states."""
        return self._machine.run(tensors, steps, dtype, from_end=from_end)

    def backward(self, present: tuple[bool, ...], needed: tuple[bool, ...]) -> BackwardPlan:
        """Return the backward pass for gradients of these: ``written``, then final states.

        Parameters
        ----------
        present
            Which of them have one.
        needed
            For each tensor whether its gradient is asked for.
        """
        plan = self._backward.get((present, needed))
        if plan is None:
            needs = Needs(*map(tuple, self.counts.divided(needed)))
            backward = self._derived(needs, present, self.written)
            plan = BackwardPlan(self.graph, self.counts, needs, backward, self.written)
            self._backward[present, needed] = plan
        return plan

    def variant(self, key: Key, of: "Callable[[ForwardPlan, Key], ForwardPlan]") -> "ForwardPlan":
        """Return ``of(self, key)``, computed once for each key."""
        plan = self._variants.get(key)
        if plan is None:
            plan = self._variants[key] = of(self, key)
        return plan
