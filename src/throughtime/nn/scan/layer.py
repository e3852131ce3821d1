"""What `MinGRU`, `MinLSTM`, `QRNN` and `SRU` share: parameters, states, the recurrence of each direction."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import RecurrentOutput, unwrapped
from throughtime.nn.inputs.precision import under_autocast
from throughtime.nn.inputs.resets import Pieces, flags_of_step, pieces_of
from throughtime.nn.inputs.tokens import Input, checked, from_ragged, ragged_of
from throughtime.nn.recurrence.places import Place, PlacedLayer
from throughtime.nn.recurrence.trace import RecurrenceGradients, RecurrenceTrace
from throughtime.nn.recurrent.attached import CarriesState, Watchable
from throughtime.nn.recurrent.carrying import Carrier, carrier_of, states_after
from throughtime.nn.recurrent.state import Sizes, batched_state, like_state
from throughtime.nn.recurrent.watching import watcher_of
from throughtime.nn.scan.tracing import Added
from throughtime.nn.scan.watched import STUCK_GATES, ScanRun
from throughtime.nn.trace.reading import Reading
from throughtime.ops.dropout.layer import dropout
from throughtime.ops.linear import linear
from throughtime.ops.plain import HALF
from throughtime.ops.recurrent.steps import ragged_steps
from throughtime.ops.scan.gates import BLOCKS, Candidate, Gates, coefficients_of, gate_values
from throughtime.ops.scan.layer import gated_scan, linear_scan
from throughtime.ragged import Layout, Ragged

Values = dict[str, Tensor]


class PlaceResult(NamedTuple):
    """What one direction of one layer has read and computed.

    Parameters
    ----------
    x
        Its input.
    output, states, last
        (T, H), (T, H), and the state (B, H) after the last step.
    values, factors
        Of a trace, gates and states by name, and a_t, (T, H) each.
    window, before
        Of layers with windows, the last inputs of each sequence, which the next windows still see, and the
        window before the first step with the inputs in the order of reading.
    """

    x: Ragged
    output: Tensor
    states: Tensor
    last: Tensor
    values: Values
    factors: Tensor | None = None
    window: Tensor | None = None
    before: tuple[Tensor, Ragged] | None = None


class Traced(NamedTuple):
    """The named values of a trace, and what is added to them."""

    values: Values
    added: Added

    def name(self, name: str, value: Tensor) -> Tensor:
        """Return the value, which the trace has under this name."""
        self.values[name] = self.added(name, value)
        return self.values[name]


def _side_by_side(places: list[PlaceResult]) -> Tensor:
    """Return the outputs of all directions; that of one as it is, since a copy takes as long as its scan."""
    outputs = [place.output for place in places]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)


class ScanLayer(CarriesState, Watchable, PlacedLayer):
    """Layers of linear recurrences h_t = a_t ⊙ h_{t−1} + b_t, whose a_t and b_t do not depend on h."""

    state_name: ClassVar[str] = "h"
    """The name of the recurrence's state in a trace."""

    no_bounds = (
        "each step multiplies that of each unit by a gate from 0 to 1, so it cannot grow from step to "
        "step, and steps run in parallel"
    )

    def __init__(
        self,
        sizes: tuple[int, int, int],
        flags: tuple[bool, bool, bool],
        dropout: float,
        gates: Gates,
        candidate: Candidate,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make parameters for input, hidden and layers; ``flags`` are bias, batch_first and bidirectional."""
        super().__init__(sizes, flags, dropout)
        self.gates, self.candidate = gates, candidate
        for place in self._places:
            for label, shape in self._shapes(place.features).items():
                empty = torch.empty(shape, device=device, dtype=dtype)
                self.register_parameter(f"{label}_{place.suffix}", nn.Parameter(empty))
        self.reset_parameters()

    def _blocks(self, features: int) -> int:
        """Return how many blocks of H rows the weights have: those of the gates first."""
        del features
        return BLOCKS[self.gates]

    def _shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        rows = self._blocks(features) * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, features)}
        return {**shapes, "bias_ih": (rows,)} if self.bias else shapes

    def reset_parameters(self) -> None:
        """Begin anew: everything uniform within 1/√n, n the inputs of a row, as `torch.nn.Linear` does."""
        for place in self._places:
            bound = 1 / math.sqrt(math.prod(self._shapes(place.features)["weight_ih"][1:]))
            for label in self._shapes(place.features):
                nn.init.uniform_(getattr(self, f"{label}_{place.suffix}"), -bound, bound)

    def operators(self) -> tuple[Operator, ...]:
        """Return the layer itself, whose weights and gates an exporter reads."""
        return (Operator.of("throughtime.nn.ScanLayer", layer=self),)

    def read_out(self, h: Tensor, x: Tensor, *products: Tensor) -> Tensor:
        """Return the output of steps with these states, inputs, and pre-activations that follow the gates."""
        return self._output(h, x, list(products), None)

    def forward(self, input: Any, hx: Any = None, *, reset: Any = None) -> RecurrentOutput:  # noqa: A002 - torch's names
        """Return ``output, state``; a state of None is zeros.

        Parameters
        ----------
        input : Tensor, PackedSequence or Ragged
            (L, I), (L, B, I) or, with ``batch_first``, (B, L, I); or tokens (T, I).
        hx
            The initial state, in the structure of the state that a call returns; None for zeros.
        reset : Tensor, PackedSequence or Ragged
            bool, one flag for each token, of the same kind as the input and without its features. Where it
            is true, the sequence restarts: the state before that token is zeros, and windows of `QRNN` do not
            extend to earlier tokens. See `throughtime.nn.LSTM.forward`, also for the first token of a
            sequence and for the backward direction.
        """
        return self._called(input, hx, reset, batch_first=self.batch_first)[0]

    def trace(
        self, x: Any, state: Any = None, *, reset: Any = None, gradients: bool = False
    ) -> RecurrenceTrace:
        """Run as ``layer(x, state, reset=reset)`` does, and return every state and gate of every place.

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
            states and gates to `Ragged`, all of them part of the graph of the result;
            ``trace.gradients.states`` has their gradients in the same structure.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> trace = tt.nn.MinGRU(3, 5).trace(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
        >>> trace.states[0, 0]["update"]
        Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
        """
        added = self._added(gradients=gradients)
        result, ragged, values = self._called(x, state, reset, batch_first=self.batch_first, added=added)
        return RecurrenceTrace(
            result,
            self._by_place(values, ragged),
            gradients_of=partial(self._gradients, added, ragged) if gradients else None,
        )

    def _gradients(self, added: list[Added], ragged: Ragged) -> RecurrenceGradients:
        return RecurrenceGradients(self._by_place([place.gradients() for place in added], ragged), {})

    def _by_place(self, values: list[Values], ragged: Ragged) -> dict[tuple[int, int], dict[str, Ragged]]:
        """Return values of tokens by layer and direction."""
        return {
            divmod(number, self._directions): {name: ragged.with_values(part) for name, part in parts.items()}
            for number, parts in enumerate(values)
        }

    def _added(self, *, gradients: bool) -> list[Added]:
        return [Added(gradients=gradients) for _ in self._places]

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
        self._check_step(x_t)
        if reset is not None:
            reset = flags_of_step(reset, x_t.shape[:-1], type(self).__name__).unsqueeze(0)
        result, _, _ = self._called(x_t.unsqueeze(0), state, reset, batch_first=False)
        return result.output[0], result.state

    @property
    def _weight(self) -> Tensor:
        """One of the parameters, for its dtype and device."""
        weight: Tensor = getattr(self, "weight_ih_l0")  # noqa: B009 - torch knows it as Tensor or Module
        return weight

    def _called(
        self, x: Any, state: Any, reset: Any, *, batch_first: bool, added: list[Added] | None = None
    ) -> tuple[RecurrentOutput, Ragged, list[Values]]:
        name, watcher = type(self).__name__, watcher_of(self)
        if watcher is not None:
            added = self._added(gradients=True)
        x = checked(unwrapped(x), self.input_size, self._weight, name)
        ragged = ragged_of(x, batch_first=batch_first)
        carrier = carrier_of(self) if state is None else None
        if carrier is not None:
            state = self._continued(carrier, x, ragged)
        starts = self._starts(state, x, ragged)
        pieces = None if reset is None else pieces_of(reset, x, batch_first=batch_first, layer=name)
        read = ragged
        if pieces is not None:
            starts = self._starts_of_pieces(starts, ragged, pieces)
            read = pieces.of(ragged)
        values, autocast = ragged.values, under_autocast(ragged.device)
        result = torch.get_autocast_dtype(values.device.type) if autocast else values.dtype
        result = values.dtype if values.dtype == torch.float64 else result
        wide = torch.float32 if autocast or values.dtype in HALF else values.dtype
        # The loop over time needs float32, and so do the products that it sums.
        off = torch.autocast(values.device.type, enabled=False) if autocast else nullcontext()
        with off:
            places = self._stack(read.with_values(values.to(wide)), starts, added)
            if watcher is not None and added is not None:
                watcher.saw(self, partial(self._runs, ragged.layout, places, added))
            if pieces is not None:
                places = self._ends_of_pieces(places, pieces)
            if carrier is not None:
                carrier.end(
                    self, ragged.lengths.cpu(), self._states_after(carrier.after, ragged, places, result)
                )
            output = _side_by_side(places[-self._directions :])
            after = self._after(x, places, lambda part: part.to(result))
            wrapped = from_ragged(output.to(result), x, batch_first=batch_first)
        return RecurrentOutput(wrapped, after), ragged, [place.values for place in places]

    def _runs(self, sequences: Layout, places: list[PlaceResult], added: list[Added]) -> list[ScanRun]:
        """Return the runs of a call, for who watches it."""
        runs = []
        for number, (place, result) in enumerate(zip(self._places, places, strict=True)):
            run = ScanRun(
                type(self).__name__,
                *divmod(number, self._directions),
                Reading(result.x.layout, reverse=place.reverse),
                sequences,
                state=self.state_name,
                x=result.x.values,
                factors=result.states if result.factors is None else result.factors,
                values=result.values,
                added=added[number],
            )
            run.directions, run.stuck_gates = self._directions, STUCK_GATES[self.gates]
            runs.append(run)
        return runs

    def _stack(self, x: Ragged, starts: Any, added: list[Added] | None) -> list[PlaceResult]:
        results: list[PlaceResult] = []
        for number, place in enumerate(self._places):
            if number and not number % self._directions:
                below = _side_by_side(results[-self._directions :])
                x = x.with_values(dropout(below, self.dropout, self.training) if self.dropout else below)
            results.append(self._run(place, x, starts(number, x), None if added is None else added[number]))
        return results

    def _run(self, place: Place, x: Ragged, start: Any, added: Added | None) -> PlaceResult:
        """Run one direction of one layer."""
        weight, bias = self._parameters_of(place, x.dtype)
        products = [
            linear(x.values, weight[rows], None if bias is None else bias[rows])
            for rows in self._rows(place.features)
        ]
        return self._recur(x, products, start, added, reverse=place.reverse)

    def _rows(self, features: int) -> list[slice]:
        """Return the rows of the weights for the gates, and for what follows the recurrence, if it does."""
        gates, blocks = BLOCKS[self.gates] * self.hidden_size, self._blocks(features) * self.hidden_size
        return [slice(gates), slice(gates, blocks)] if blocks > gates else [slice(gates)]

    def _recur(
        self, x: Ragged, products: list[Tensor], h0: Tensor | None, added: Added | None, *, reverse: bool
    ) -> PlaceResult:
        """Run the recurrence of pre-activations, and what follows it."""
        if added is None:
            h, last = gated_scan(
                products[0], x.layout, h0, gates=self.gates, candidate=self.candidate, reverse=reverse
            )
            return PlaceResult(x, self._output(h, x.values, products[1:], None), h, last, {})
        gates = gate_values(products[0], self.gates, self.candidate)
        values = {name: added(name, part) for name, part in gates.items()}
        a, b = coefficients_of(values)
        # The gradient of b_t is that of h_t.
        h, last = linear_scan(a, added(self.state_name, b), x.layout, h0, reverse=reverse)
        values[self.state_name] = h
        output = self._output(h, x.values, products[1:], Traced(values, added))
        return PlaceResult(x, output, h, last, values, a)

    def _parameters_of(self, place: Place, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        weight = getattr(self, f"weight_ih_{place.suffix}")
        bias = getattr(self, f"bias_ih_{place.suffix}") if self.bias else None
        return weight.to(dtype), None if bias is None else bias.to(dtype)

    def _output(self, h: Tensor, x: Tensor, products: list[Tensor], traced: Traced | None) -> Tensor:
        """Return the output of steps with these states and inputs; a trace gets more names."""
        del x, products, traced
        return h

    def _starts(self, state: Any, x: Input, ragged: Ragged) -> Callable[[int, Ragged], Any]:
        """Return how each place begins."""
        sizes = Sizes(len(self._places), self.hidden_size, 0)
        batch = ragged.layout.num_sequences
        h0, _ = batched_state(state, x, batch, sizes, self._weight, type(self).__name__, as_given=True)
        return lambda number, x: None if h0 is None else h0[number].to(x.dtype)

    def _starts_of_pieces(
        self, starts: Callable[[int, Ragged], Any], whole: Ragged, pieces: Pieces
    ) -> Callable[[int, Ragged], Any]:
        """Return how each place begins each piece, given how it begins each sequence."""

        def start(number: int, x: Ragged) -> Any:
            reverse = self._places[number].reverse
            return pytree.tree_map_only(
                Tensor,
                lambda part: pieces.begun(part, None, reverse=reverse),
                starts(number, whole.with_values(x.values)),
            )

        return start

    def _ends_of_pieces(self, places: list[PlaceResult], pieces: Pieces) -> list[PlaceResult]:
        """Return results whose states are those after each sequence."""
        return [
            result._replace(
                last=pieces.ended(result.last, reverse=place.reverse),
                window=None if result.window is None else pieces.ended(result.window, reverse=place.reverse),
            )
            for place, result in zip(self._places, places, strict=True)
        ]

    def _continued(self, carrier: Carrier, x: Input, ragged: Ragged) -> Any:
        """Return the state where streams stopped, in the shape that the caller of ``x`` would give."""
        leaves = carrier.begin(self, self._initial(ragged.layout.num_sequences))
        return None if leaves is None else self._given(leaves, x)

    def _initial(self, batch: int) -> list[Tensor]:
        """Return the leaves (B, …) of the initial state of each sequence."""
        return [self._weight.new_zeros(batch, len(self._places), self.hidden_size)]

    def _given(self, leaves: list[Tensor], x: Input) -> Any:
        """Return the state of a call with this input, of its leaves (B, …)."""
        return like_state(leaves[0].transpose(0, 1), x, as_given=True)

    def _states_after(
        self, after: int | None, x: Ragged, places: list[PlaceResult], dtype: torch.dtype
    ) -> list[Tensor]:
        """Return the leaves (B, …) of the state after so many steps; None for all."""
        steps = ragged_steps(x.layout)
        ends = [place.last if after is None else states_after(place.states, steps, after) for place in places]
        return [torch.stack(ends, 1).to(dtype)]

    def _after(self, x: Input, places: list[PlaceResult], cast: Callable[[Tensor], Tensor]) -> Any:
        """Return the state after the last step, in the shape that the caller expects."""
        return like_state(cast(torch.stack([place.last for place in places])), x, as_given=True)
