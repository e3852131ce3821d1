"""Base of layers that run a cell: torch.nn's arguments, stacked and bidirectional layers, states, traces."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import RecurrentOutput, unwrapped
from throughtime.nn.inputs.resets import Pieces, flags_of_step, pieces_of, reversed_flags
from throughtime.nn.inputs.tokens import (
    Input,
    check_dtype_and_device,
    checked,
    from_ragged,
    is_unbatched,
    like_input,
    ragged_of,
)
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.names import Names
from throughtime.nn.recurrence.places import Place, PlacedLayer
from throughtime.nn.recurrence.recurrence import Recurrence
from throughtime.nn.recurrence.trace import RecurrenceGradients, RecurrenceTrace
from throughtime.nn.recurrence.watched import TracedRun, order_from_end, order_of
from throughtime.nn.recurrent.attached import Watchable
from throughtime.nn.recurrent.watching import watcher_of
from throughtime.ops.dropout.layer import dropout
from throughtime.ops.recurrent.steps import ragged_steps
from throughtime.ragged import Ragged


class CellLayer(Watchable, PlacedLayer):
    """Stacked layers of one kind of cell, with a `Recurrence` for each layer and direction.

    Parameters
    ----------
    cell : callable
        Maps a number of input features to a cell.
    sizes
        input_size, hidden_size and num_layers.
    flags
        bias, batch_first and bidirectional.
    dropout
        Probability of dropout on the output of each layer but the last, in training.
    """

    def __init__(
        self,
        cell: Callable[[int], Cell],
        sizes: tuple[int, int, int],
        flags: tuple[bool, bool, bool],
        dropout: float,
    ) -> None:
        super().__init__(sizes, flags, dropout)
        recurrences = {
            place.suffix: Recurrence(cell(place.features), batch_first=self.batch_first)
            for place in self._places
        }
        self.recurrences = nn.ModuleDict(recurrences)

    @property
    def cells(self) -> list[Cell]:
        """The cells of all layers and directions, in the order of the states."""
        return [self._at(place).f for place in self._places]  # type: ignore[misc]

    def _at(self, place: Place) -> Recurrence:
        recurrence: Recurrence = self.recurrences[place.suffix]  # type: ignore[assignment]
        return recurrence

    def bound_gradients(self, *, value: float | None = None, norm: float | None = None) -> None:
        """Clip gradients inside the recurrences, see `throughtime.nn.Recurrence.bound_gradients`."""
        for place in self._places:
            self._at(place).bound_gradients(value=value, norm=norm)

    def recurrent_blocks(self) -> dict[tuple[int, int], dict[str, Tensor]]:
        """Return the blocks that the cells state, for each layer and direction."""
        blocks = {
            divmod(number, self._directions): cell.recurrent_blocks()
            for number, cell in enumerate(self.cells)
        }
        return {place: part for place, part in blocks.items() if part}

    @property
    def _weight(self) -> Tensor:
        """One of the parameters, for its dtype and device."""
        return next(self.parameters())

    def reset_parameters(self) -> None:
        """Set all parameters to new initial values."""
        for cell in self.cells:
            cell.reset_parameters()

    def __repr__(self) -> str:
        """Return the class with its arguments."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def operators(self) -> tuple[Operator, ...]:
        """Return the layer itself, whose cells an exporter reads."""
        return (Operator.of("throughtime.nn.CellLayer", layer=self),)

    def forward(self, input: Any, hx: Any = None, *, reset: Any = None) -> RecurrentOutput:  # noqa: A002 - torch's names
        """Return ``output, state``.

        Parameters
        ----------
        input : Tensor, PackedSequence or Ragged
            (L, I), (L, B, I) or, with ``batch_first``, (B, L, I); or tokens (T, I).
        hx
            The initial state, in the structure of the state that a call returns; None for the default.
        reset : Tensor, PackedSequence or Ragged
            bool, one flag for each token, of the same kind as the input and without its features: where it
            is true, the sequence restarts from the initial state. See `throughtime.nn.LSTM.forward`, also
            for the first token of a sequence and for the backward direction.
        """
        return self._called(input, hx, reset)[0]

    def trace(
        self, x: Any, state: Any = None, *, reset: Any = None, gradients: bool = False
    ) -> RecurrenceTrace:
        """Run as a call does, and return every state and gate of every layer and direction.

        Parameters
        ----------
        x, state, reset
            As in a call.
        gradients
            Whether ``trace.gradients`` will have the whole gradient of every state and gate at every step,
            after ``backward()`` of a loss computed from the result.

        Returns
        -------
        RecurrenceTrace
            ``trace.result`` is what the call returns; ``trace.states[layer, direction]`` maps the names of
            the states, and of the gates that the cell records, to `Ragged`, all part of the autograd graph;
            ``trace.gradients.states`` has their gradients in the same structure.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> trace = tt.nn.LiGRU(3, 5).trace(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
        >>> trace.states[0, 0]["h"]
        Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
        """
        return self._traced(x, state, reset, gradients=gradients)

    def step(self, x_t: Tensor, state: Any = None, *, reset: Any = None) -> tuple[Tensor, Any]:
        """Run one step of a stream.

        Parameters
        ----------
        x_t : Tensor
            (B, I), one token of each of B streams, or (I,) of one.
        state
            State returned by the previous step; None for the first step.
        reset : Tensor or bool
            bool (B,), or one flag for (I,): streams that restart from the initial state at this token.

        Returns
        -------
        y_t : Tensor
            (B, H) or (H,): the output of the last layer.
        state
            For the next step.
        """
        return self._stepped(x_t, state, reset)

    def _stepped(self, x_t: Tensor, state: Any, reset: Any, context: Any = None) -> tuple[Tensor, Any]:
        self._check_step(x_t)
        dim = 1 if self.batch_first and x_t.dim() == 2 else 0
        if reset is not None:
            reset = flags_of_step(reset, x_t.shape[:-1], type(self).__name__).unsqueeze(dim)
        result, _ = self._called(x_t.unsqueeze(dim), state, reset, context)
        return result.output.squeeze(dim), result.state

    def _traced(
        self, x: Any, state: Any, reset: Any, context: Any = None, *, gradients: bool
    ) -> RecurrenceTrace:
        result, seen = self._called(x, state, reset, context, traced=True, gradients=gradients)
        places = {divmod(number, self._directions): place for number, place in enumerate(seen)}
        return RecurrenceTrace(
            result,
            {at: place.values for at, place in places.items()},
            gradients_of=partial(_gradients_of, places) if gradients else None,
        )

    def _called(
        self,
        x: Any,
        state: Any,
        reset: Any,
        context: Any = None,
        *,
        traced: bool = False,
        gradients: bool = False,
    ) -> tuple[RecurrentOutput, list[Any]]:
        """Return the result, and, of a trace, the values of each place."""
        watcher = watcher_of(self)
        if watcher is not None:
            traced = gradients = True
        x = checked(unwrapped(x), self.input_size, self._weight, type(self).__name__)
        begins = self._begins(state, x)
        # A single sequence is a batch of one, and from the end a batch is read as a Ragged.
        as_ragged = self.bidirectional or traced or is_unbatched(x) or reset is not None
        read: Any = ragged_of(x, batch_first=self.batch_first) if as_ragged else x
        if context is not None and is_unbatched(x):
            context = pytree.tree_map(lambda part: part.unsqueeze(0), context)
        pieces = None
        if reset is not None:
            pieces = pieces_of(reset, x, batch_first=self.batch_first, layer=type(self).__name__)
            reset = pieces.flags
        finals, states = [], []
        for number in range(self.num_layers):
            if number and self.dropout:
                read = _on_values(read, lambda values: dropout(values, self.dropout, self.training))
            outputs = []
            for place in self._places[number * self._directions : (number + 1) * self._directions]:
                output, final, seen = self._run(
                    place, read, next(begins), reset, context, traced=traced, gradients=gradients
                )
                outputs.append(output)
                finals.append(final)
                states.append(seen)
            read = (
                outputs[0]
                if len(outputs) == 1
                else read.with_values(torch.cat([o.values for o in outputs], 1))
            )
        if watcher is not None:
            watcher.saw(self, partial(self._runs, [place for place in states if place is not None], pieces))
        output = read
        if isinstance(read, Ragged) and not isinstance(x, Ragged):
            output = from_ragged(read.values, x, batch_first=self.batch_first)
        return RecurrentOutput(output, _stacked(finals, unbatched=is_unbatched(x))), states

    def _runs(self, seen: list["_TracedPlace"], pieces: Pieces | None) -> list[TracedRun]:
        """Return the runs of a call, for who watches it."""
        names = replace(self._at(self._places[0]).names, kind=type(self).__name__)
        return [self._run_of(names, number, traced, pieces) for number, traced in enumerate(seen)]

    def _run_of(self, names: Names, number: int, seen: "_TracedPlace", pieces: Pieces | None) -> TracedRun:
        layer, direction = divmod(number, self._directions)
        kept = seen.trace.kept
        if direction:
            order = order_from_end(seen.x, pieces)
        else:
            order = order_of(ragged_steps(seen.x.layout), kept.run.steps)  # type: ignore[union-attr]
        run = TracedRun(names, order, layer, direction, seen.x.values, kept)  # type: ignore[arg-type]
        run.directions = self._directions
        return run

    def _run(
        self,
        place: Place,
        x: Any,
        state: Any,
        reset: Any,
        context: Any,
        *,
        traced: bool,
        gradients: bool,
    ) -> tuple[Any, Any, "_TracedPlace | None"]:
        """Return output, final state and, of a trace, all values of one direction of one layer."""
        recurrence = self._at(place)
        if place.reverse:
            x, reset = x.reverse(), None if reset is None else reversed_flags(reset)
        if not traced:
            output, final = recurrence(x, state, reset=reset, context=context)
            return output.reverse() if place.reverse else output, final, None
        trace = recurrence.trace(x, state, reset=reset, context=context, gradients=gradients)
        seen = _TracedPlace(trace, self.cells[0].state_names, x, reverse=place.reverse)
        if not place.reverse:
            return trace.result.output, trace.result.state, seen
        structure = pytree.tree_structure(trace.states, is_leaf=_is_ragged)
        values = pytree.tree_unflatten([seen.values[name].values for name in seen.names], structure)
        return x.with_values(recurrence.g(values)), trace.result.state, seen  # type: ignore[misc]

    def _begins(self, state: Any, x: Input) -> Iterator[Any]:
        """Return the state before the first step of each place."""
        count, name = len(self._places), type(self).__name__
        if state is None:
            return iter([None] * count)
        expected = pytree.tree_structure(self.cells[0].initial_state)
        leaves, structure = pytree.tree_flatten(state)
        if structure != expected or not all(isinstance(leaf, Tensor) for leaf in leaves):
            names = ", ".join(self.cells[0].state_names)
            kind = "one tensor" if expected.num_leaves == 1 else f"a tuple of {expected.num_leaves} tensors"
            raise InputTypeError(f"{name} takes {kind} ({names}) as its state, got {type(state).__name__}")
        for label, leaf in zip(self.cells[0].state_names, leaves, strict=True):
            if leaf.dim() < 1 or leaf.shape[0] != count:
                raise ShapeError(
                    f"{name}: {label}_0 has shape {tuple(leaf.shape)}, expected {count} rows, one for each "
                    "layer and direction"
                )
            check_dtype_and_device(leaf, self._weight, f"{label}_0", name)
        leaves = [leaf.unsqueeze(1) for leaf in leaves] if is_unbatched(x) else leaves
        return iter([pytree.tree_unflatten([leaf[i] for leaf in leaves], expected) for i in range(count)])


class _TracedPlace:
    """States and recorded values of one direction of one layer, by name, in the order of the tokens."""

    def __init__(self, trace: RecurrenceTrace, names: tuple[str, ...], x: Ragged, *, reverse: bool) -> None:
        self.names, self.trace, self.x, self._reverse = names, trace, x, reverse
        self.values = self._by_name(trace.states, trace.recorded)

    def gradients(self) -> dict[str, Ragged]:
        """Return the gradients of the last backward pass, by name."""
        gradients = self.trace.gradients
        return self._by_name(gradients.states, gradients.recorded)

    def _by_name(self, states: Any, recorded: Mapping[str, Ragged]) -> dict[str, Ragged]:
        parts = zip(self.names, pytree.tree_leaves(states, is_leaf=_is_ragged), strict=True)
        values = {**{name: part for name, part in parts if part is not None}, **recorded}
        return {name: part.reverse() for name, part in values.items()} if self._reverse else values


def _gradients_of(places: Mapping[tuple[int, int], _TracedPlace]) -> RecurrenceGradients:
    return RecurrenceGradients({at: place.gradients() for at, place in places.items()}, {})


def _is_ragged(x: object) -> bool:
    return isinstance(x, Ragged)


def _stacked(finals: list[Any], *, unbatched: bool) -> Any:
    """Return the states of all places as one, each leaf (layers · directions, …)."""
    structure = pytree.tree_structure(finals[0])
    leaves = [torch.stack(parts) for parts in zip(*map(pytree.tree_leaves, finals), strict=True)]
    return pytree.tree_unflatten([leaf.squeeze(1) for leaf in leaves] if unbatched else leaves, structure)


def _on_values(x: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to the values of an input of any kind."""
    if isinstance(x, Tensor):
        return function(x)
    return like_input(function(x.values if isinstance(x, Ragged) else x.data), x)
