"""`TracedRun`: what `Recurrence` and layers of cells report of a call, from a trace with gradients."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.nn.inputs.resets import Pieces
from throughtime.nn.recurrence._structures import leaves_of, rebuilt
from throughtime.nn.recurrence.names import Names
from throughtime.nn.recurrence.step_inputs import StepInputs
from throughtime.nn.recurrence.trace import Kept, LoopRun
from throughtime.nn.recurrent.watching import Jacobians, LayerRun, ragged_order
from throughtime.nn.trace.reading import Reading
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import Layout, Ragged


@dataclass(frozen=True)
class Order:
    """The order of a run.

    Parameters
    ----------
    read
        Sequences or pieces in the order of the caller.
    sequences
        Those of the call.
    tokens, pieces
        The row of each token, and of each sequence or piece, in the tensors of the loop; None for the same.
    """

    read: Reading
    sequences: Layout
    tokens: Tensor | None = None
    pieces: Tensor | None = None


def order_of(whole: Steps, steps: Steps) -> Order:
    """Return the order of a loop over sequences, or over the pieces of them, from the start.

    Both have the same tokens; pieces are those of sequences end to end.
    """
    layout, place = ragged_order(whole)
    return Order(Reading(layout if steps is whole else ragged_order(steps)[0], reverse=False), layout, place)


def order_from_end(x: Ragged, pieces: Pieces | None) -> Order:
    """Return the order of a loop over reversed sequences, given those that are not."""
    layout = x.layout
    tokens = x.with_values(torch.arange(len(x.values))).reverse().values
    if pieces is None:
        return Order(Reading(layout, reverse=True), layout, tokens)
    counts = torch.from_numpy(pieces.first).diff()
    numbers = Ragged.from_lengths(torch.arange(pieces.count), counts).reverse().values
    return Order(Reading(pieces.layout, reverse=True), layout, tokens, numbers)


class TracedRun(LayerRun):
    """A run of a transition whose trace has gradients.

    Gates are the values that a step records, but for "candidate", whose numbers are all from 0 to 1. The
    gradient of a state that a step records by its name is that of the recorded value.

    Parameters
    ----------
    names, order
        Of the transition and of the run.
    layer, direction
        As of `LayerRun`.
    input
        (T, I), in the order of the loop.
    kept
        Of a trace with gradients.
    """

    def __init__(self, names: Names, order: Order, layer: int, direction: int, x: Tensor, kept: Kept) -> None:
        super().__init__(names.kind, layer, direction, order.read, order.sequences)
        self.stuck_gates = names.stuck_gates
        self._names, self._order, self._x, self._kept = names, order, x, kept
        self._run: LoopRun = kept.run  # type: ignore[assignment]  # that of a trace with gradients

    @property
    def filled(self) -> bool:
        """Whether a backward pass has gone through the layer."""
        return any(part is not None for part in self._gradients.values())

    @property
    def input(self) -> Tensor:
        """(T, I)."""
        return self._rows(self._x)

    @cached_property
    def states(self) -> Mapping[str, Tensor]:
        """The leaves of the state after every step."""
        return {name: self._rows(part) for name, part in self._leaves(self._run.states)}

    @property
    def gates(self) -> Mapping[str, Tensor]:
        """Recorded values from 0 to 1."""
        return {name: part for name, part in self._recorded.items() if name != "candidate" and _is_gate(part)}

    @property
    def intermediates(self) -> Tensor:
        """(T, ·) all recorded values."""
        parts = list(self._recorded.values())
        return torch.cat(parts, 1) if parts else self.input[:, :0]

    @property
    def state_gradients(self) -> Mapping[str, Tensor]:
        """The gradients of the leaves of the state; zeros where there is none."""
        gradients = self._gradients
        return {
            name: torch.zeros_like(part) if (found := gradients[name]) is None else self._rows(found)
            for name, part in self.states.items()
        }

    def jacobians(self, sequence: int) -> tuple[int, Jacobians]:
        """Return the size S of the state, and the transposed Jacobian of a step of a sequence."""
        run, rows = self._run, self.rows_read(sequence)
        places = rows if self._order.tokens is None else self._order.tokens[rows]
        number = sequence if self._order.pieces is None else int(self._order.pieces[sequence])
        before = [self._before(name)[rows] for name in self.states]
        sizes = [part.shape[1] for part in before]
        bounds = dict(zip(self.states, pairwise(accumulate(sizes, initial=0)), strict=True))
        shapes = {name: part.shape[1:] for name, part in self._leaves(run.begun)}

        def pulled_back(t: int, gradients: Tensor) -> Tensor:
            count = len(gradients)
            with torch.enable_grad():
                wanted = [part[t].expand(count, -1).clone().requires_grad_() for part in before]
                leaves = {
                    name: part.view(count, *shapes[name])
                    for name, part in zip(self.states, wanted, strict=True)
                }
                state = self._with_leaves(leaves, number, count)
                token, inputs = self._at(int(places[t]), number, count)
                after = dict(self._leaves(run.step(state, token, inputs)))
                results = {name: part for name, part in after.items() if part.requires_grad}
                seeds = [
                    gradients[:, slice(*bounds[name])].reshape(part.shape).to(part)
                    for name, part in results.items()
                ]
                found = torch.autograd.grad(list(results.values()), wanted, seeds, materialize_grads=True)
            return torch.cat(found, 1).double().cpu()

        return sum(sizes), pulled_back

    def _at(self, row: int, number: int, count: int) -> tuple[Any, StepInputs | None]:
        """Return the token of a row, and the step inputs of its sequence, so many times."""
        run = self._run
        token = _copies(run.tokens, row, count)
        if run.inputs is None:
            return token, None
        context, noise = run.inputs.context, run.inputs.noise
        copies = None if context is None else _copies(context, number, count)
        if noise is None:
            return token, StepInputs(copies)
        of_step = type(noise)(_copies(noise.sequences, number, count), _copies(noise.steps, row, count))
        return token, StepInputs(copies, of_step)

    def _with_leaves(self, leaves: Mapping[str, Tensor], number: int, count: int) -> Any:
        """Return a state with these leaves, and those that have no gradient of the initial state."""
        initial = leaves_of(_copies(self._run.begun, number, count))
        parts = [leaves.get(name, leaf) for name, leaf in zip(self._names.states, initial, strict=True)]
        return rebuilt(parts, self._run.begun)

    def _before(self, name: str) -> Tensor:
        """Return a leaf of the state before each step, (T, ·)."""
        initial = dict(self._leaves(self._run.begun))[name].detach().flatten(1)
        if self._order.pieces is not None:
            initial = initial.index_select(0, self._order.pieces.to(initial.device))
        return self.read.before(self.states[name], initial)

    def _leaves(self, state: Any) -> list[tuple[str, Tensor]]:
        """Return the leaves with gradients by name."""
        leaves = zip(self._names.states, leaves_of(state), strict=True)
        return [(name, part) for name, part in leaves if part.is_floating_point()]

    @cached_property
    def _recorded(self) -> Mapping[str, Tensor]:
        values = self._kept.values.items()
        return {
            name: self._rows(part)
            for name, part in values
            if name not in self._names.states and part.is_floating_point()
        }

    @property
    def _gradients(self) -> Mapping[str, Tensor | None]:
        """The gradients of the leaves of the state, those of recorded values in their place."""
        recorded = self._kept.recorded
        if recorded is None:
            return {}
        leaves = leaves_of(recorded.state_gradients())
        return {**dict(zip(self._names.states, leaves, strict=True)), **recorded.value_gradients()}

    def _rows(self, values: Tensor) -> Tensor:
        """Return rows (T, ·) in the order of ``read``."""
        rows = values.detach().flatten(1)
        return (
            rows if self._order.tokens is None else rows.index_select(0, self._order.tokens.to(rows.device))
        )


def _is_gate(values: Tensor) -> bool:
    return bool(values.numel()) and float(values.min()) >= 0 and float(values.max()) <= 1


def _copies(tree: Any, row: int, count: int) -> Any:
    """Return a row of each leaf, so many times."""
    return pytree.tree_map(lambda leaf: leaf[row : row + 1].detach().expand(count, *leaf.shape[1:]), tree)
