"""`ScanRun`: what scan layers report of a call, from a trace with gradients."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from throughtime.nn.recurrent.watching import Jacobians, LayerRun
from throughtime.nn.scan.tracing import Added
from throughtime.nn.trace.reading import Reading
from throughtime.ops.scan.gates import Gates
from throughtime.ragged import Layout

_KEEPS_NOTHING = "the state keeps nothing from step to step, so there is no memory in it"
_STAYS = "the state stays what it is, and nothing new enters it"
_FORGET = {("forget", "closed"): _KEEPS_NOTHING, ("forget", "open"): _STAYS}

STUCK_GATES: Mapping[Gates, Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        "forget": _FORGET,
        "normalized": _FORGET,
        "update": {("update", "closed"): _STAYS, ("update", "open"): _KEEPS_NOTHING},
        "separate": {
            ("forget", "closed"): _KEEPS_NOTHING,
            ("forget", "open"): "the state forgets nothing, and may grow as long as sequences are",
            ("input", "closed"): "nothing new enters the state",
        },
    }
)
"""What it means if a gate is nearly always closed or open."""


class ScanRun(LayerRun):
    """One direction of one layer of h_t = a_t ⊙ h_{t−1} + b_t; rows are tokens in the order of the caller.

    Parameters
    ----------
    kind, layer, direction, read, sequences
        As of `LayerRun`.
    state
        Name of the state.
    x, factors
        The input (T, I), and a (T, H).
    values
        State, gates and candidate by name, (T, H) each.
    added
        With gradients, that of the state under its name.
    """

    def __init__(
        self,
        kind: str,
        layer: int,
        direction: int,
        read: Reading,
        sequences: Layout,
        *,
        state: str,
        x: Tensor,
        factors: Tensor,
        values: Mapping[str, Tensor],
        added: Added,
    ) -> None:
        super().__init__(kind, layer, direction, read, sequences)
        self._state, self._x, self._factors, self._added = state, x.detach(), factors.detach(), added
        self._values = {name: part.detach() for name, part in values.items()}

    @property
    def filled(self) -> bool:
        """Whether a backward pass has gone through the layer."""
        return bool(self._added.gradients())

    @property
    def input(self) -> Tensor:
        """(T, I)."""
        return self._x

    @property
    def states(self) -> Mapping[str, Tensor]:
        """The state, (T, H): h, or c of layers whose output is another value."""
        return {self._state: self._values[self._state]}

    @property
    def gates(self) -> Mapping[str, Tensor]:
        """The gates after their activation, (T, H) each."""
        others = {self._state, "h", "candidate"}
        return {name: part for name, part in self._values.items() if name not in others}

    @property
    def intermediates(self) -> Tensor:
        """(T, ·) gates, candidate and output."""
        return torch.cat([part for name, part in self._values.items() if name != self._state], 1)

    @property
    def state_gradients(self) -> Mapping[str, Tensor]:
        """The whole gradient of the state; zeros if there is none."""
        zeros = torch.zeros_like(self._factors)
        return {self._state: self._added.gradients().get(self._state, zeros)}

    def jacobians(self, sequence: int) -> tuple[int, Jacobians]:
        """Return H, and the transposed Jacobians of the steps of a sequence, which are diag(a_t)."""
        factors = self._factors.cpu()[self.rows_read(sequence)].double()
        return factors.shape[1], lambda t, gradients: gradients * factors[t]
