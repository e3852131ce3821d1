"""`RecurrentRun`: what `RNN`, `LSTM`, `GRU` and the other built-in cells report of a call."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.nn.inputs.resets import Pieces
from throughtime.nn.recurrent.watching import Jacobians, LayerRun, ragged_order
from throughtime.nn.trace.layer_result import LayerResult
from throughtime.nn.trace.reading import Reading
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import Weights
from throughtime.ragged import Layout


class RecurrentRun(LayerRun):
    """A run of the built-in loop, whose backward pass writes norms of gradients.

    Parameters
    ----------
    spec : CellSpec
        The cell.
    layer, direction, read, sequences
        As of `LayerRun`.
    result, record
        What the layer computed, and what its backward pass will have filled.
    place : Tensor, optional
        The row of each token in the tensors of the run; None if the order is the same.
    """

    def __init__(
        self,
        spec: CellSpec,
        layer: int,
        direction: int,
        read: Reading,
        sequences: Layout,
        result: LayerResult,
        record: StepGradients,
        place: Tensor | None,
    ) -> None:
        super().__init__(spec.kind, layer, direction, read, sequences)
        self.spec, self.record, self.stuck_gates = spec, record, spec.stuck_gates
        self._result, self._place = result, place
        self.directions = len(result.directions)

    @property
    def filled(self) -> bool:
        """Whether a backward pass has gone through the layer."""
        return self.record.filled

    @property
    def input(self) -> Tensor:
        """(T, I)."""
        return self._ordered(self._result.x.detach())

    @cached_property
    def states(self) -> Mapping[str, Tensor]:
        """H (T, P), and of an LSTM c (T, H)."""
        y = self._ordered(self.record.made[0].chunk(self.directions, 1)[self.direction])
        if not self.spec.has_c:
            return {"h": y}
        return {"h": y, "c": self._ordered(self.record.made[1][self.direction])}

    @cached_property
    def _saved(self) -> Tensor:
        """(T, S, H): gates, candidates, and what else the backward pass reads."""
        return self._ordered(self.record.made[2][self.direction])

    @property
    def gates(self) -> Mapping[str, Tensor]:
        """The gates after their activation, (T, H) each."""
        return {name: self._saved[:, place] for name, place in self._gate_places()}

    @property
    def intermediates(self) -> Tensor:
        """(T, S·H) all that the backward pass reads."""
        return self._saved.flatten(1)

    @property
    def state_gradients(self) -> Mapping[str, Tensor]:
        """The whole ∂L/∂h_t and ∂L/∂c_t; recorded with ``watch(model, whole=True)``."""
        h, c = self.record.h, self.record.c
        parts = {"h": h} if c is None else {"h": h, "c": c}
        return {name: self._ordered(part[self.direction]) for name, part in parts.items()}

    @property
    def state_norms(self) -> Mapping[str, Tensor]:
        """The norms of ∂L/∂h_t and ∂L/∂c_t, which the backward pass computes."""
        return dict(zip(self.states, self._norms, strict=False))

    @property
    def weight_terms(self) -> Tensor:
        """(T,) the norm of (∂L/∂a_t) h_{t−1}ᵀ."""
        _, _, pre, before, candidate, reset = self._norms
        return torch.hypot(pre * before, candidate * reset)

    @property
    def clipped_fraction(self) -> Tensor | None:
        """(T,) the fraction that ``bound_gradients`` clipped; None without bounds."""
        unclipped = self.record.unclipped_fraction
        return None if unclipped is None else 1.0 - self._ordered(unclipped[self.direction])

    @property
    def saturation(self) -> Mapping[str, Tensor]:
        """(T, 2) fractions of closed and open units, which the backward pass counts."""
        counts = self._ordered(self.record.saturation[self.direction])
        shares = counts / (self._weights.hh.shape[0] // self.spec.gates)
        return {name: shares[:, place] for name, place in self._gate_places()}

    def weight_term(self, t: int) -> Tensor:
        """Return step t's term of ∂L/∂W_hh, (G·H, P), summed over the sequences that have such a step."""
        if not self.record.whole:
            raise ShapeError(
                "only the norms of the terms were recorded; for the terms themselves use "
                "`with watch(model, whole=True)`"
            )
        rows = self.read.rows_at(t)
        pre = self._ordered(self.record.pre_activations[self.direction])
        gradients = pre[:, list(self.spec.recurrent_pre_activations)].flatten(1).index_select(0, rows)
        h = self._before("h").index_select(0, rows)
        inputs = self.spec.recurrent_inputs(h, self._saved.index_select(0, rows))
        return torch.cat([gradients[:, part.rows].t() @ part.value for part in inputs])

    def jacobians(self, sequence: int) -> tuple[int, Jacobians]:
        """Return the size S of the state, and the transposed Jacobians of the steps of a sequence."""
        rows, weights = self.rows_read(sequence), self._weights
        x = self.input.cpu()[rows].double()
        before = [self._before(name).cpu()[rows].double() for name in self.states]
        weights = type(weights)(*(None if w is None else w.cpu().double() for w in weights))  # type: ignore[arg-type]
        context = None if weights.context is None else weights.context[sequence : sequence + 1]
        size, states = before[0].shape[1], torch.cat(before, 1)

        def pulled_back(t: int, gradients: Tensor) -> Tensor:
            # Copies of the same step, each with its own gradient.
            count = len(gradients)
            with torch.enable_grad():
                state = states[t].expand(count, -1).clone().requires_grad_()
                parts = State(state[:, :size], state[:, size:])
                new, _ = self.spec.step(x[t].expand(count, -1), parts, weights, context)
                after = torch.cat([new.h, new.c], 1) if self.spec.has_c else new.h
                return torch.autograd.grad(after, state, gradients)[0]

        return states.shape[1], pulled_back

    def _before(self, name: str) -> Tensor:
        """Return a part of the state before each step, (T, ·)."""
        initial = self._result.h0 if name == "h" else self._result.c0
        return self.read.before(
            self.states[name], None if initial is None else initial[self.direction].detach()
        )

    def _gate_places(self) -> list[tuple[str, int]]:
        return [(name, place) for place, name in enumerate(self.spec.gate_names) if name != "candidate"]

    @property
    def _norms(self) -> tuple[Tensor, ...]:
        return self._ordered(self.record.norms[self.direction]).unbind(-1)

    @cached_property
    def _weights(self) -> Weights:
        weights = self._result.directions[self.direction]
        return Weights(*(None if part is None else part.detach() for part in weights))  # type: ignore[arg-type]

    def _ordered(self, values: Tensor) -> Tensor:
        return values if self._place is None else values.index_select(0, self._place.to(values.device))


def recurrent_runs(
    spec: CellSpec,
    steps: Steps,
    layers: Sequence[LayerResult],
    records: Sequence[StepGradients],
    pieces: Pieces | None,
) -> list[RecurrentRun]:
    """Return all layers and directions of a call, whose steps are of pieces where there are any."""
    layout, place = ragged_order(steps)
    sequences = layout if pieces is None else pieces.whole
    return [
        RecurrentRun(spec, number, d, Reading(layout, reverse=d == 1), sequences, result, record, place)
        for number, (result, record) in enumerate(zip(layers, records, strict=True))
        for d in range(len(result.directions))
    ]
