"""The protocol of watching: what a layer reports of a call, for `throughtime.diagnose.watch`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn.recurrent.attached import Watchable, in_this_thread
from throughtime.nn.trace.reading import Reading
from throughtime.ops.recurrent.steps import RAGGED, Steps, host_lengths, rows
from throughtime.ragged import Layout

Jacobians = Callable[[int, Tensor], Tensor]
"""Maps the number of a step, in the order of reading, and gradients (k, S) after it to those before it; in
float64 on the CPU."""


class LayerRun(ABC):
    """One layer and direction of one call: states, gates, and their gradients after a backward pass.

    Rows of tensors are the tokens in the order of ``read.layout``; tensors are detached.

    Parameters
    ----------
    kind
        Kind of cell, such as LSTM.
    layer, direction
        Direction 1 reads from the end.
    read
        The sequences that the loop has read: of a call with reset flags the pieces of ``sequences``.
    sequences
        Those of the call.

    Attributes
    ----------
    name : str
        Name of the layer in the model, set by who watches.
    """

    name: str
    stuck_gates: Mapping[tuple[str, str], str] = MappingProxyType({})
    """What it means if a gate is nearly always "closed" or "open"; gates that are not here may be."""

    directions: int = 1
    """Number of directions of the layer."""

    def __init__(self, kind: str, layer: int, direction: int, read: Reading, sequences: Layout) -> None:
        self.name, self.kind = kind, kind
        self.layer, self.direction = layer, direction
        self.read, self.sequences = read, sequences

    @property
    @abstractmethod
    def filled(self) -> bool:
        """Whether a backward pass has gone through the layer."""

    @property
    @abstractmethod
    def input(self) -> Tensor:
        """(T, I)."""

    @property
    @abstractmethod
    def states(self) -> Mapping[str, Tensor]:
        """The parts of the state after each step by name, (T, ·) each; h is the first where there is one."""

    @property
    @abstractmethod
    def gates(self) -> Mapping[str, Tensor]:
        """The gates, numbers from 0 to 1, by name, (T, ·) each."""

    @property
    @abstractmethod
    def intermediates(self) -> Tensor:
        """(T, ·) all gates, candidates and other values inside of the steps side by side."""

    @property
    @abstractmethod
    def state_gradients(self) -> Mapping[str, Tensor]:
        """The whole gradient of each part of the state, (T, ·) each."""

    @property
    def state_norms(self) -> Mapping[str, Tensor]:
        """The norms of `state_gradients`, (T,) each."""
        return {name: part.norm(dim=1) for name, part in self.state_gradients.items()}

    @property
    def weight_terms(self) -> Tensor | None:
        """(T,) norm of each step's term of the gradient of W_hh; None if there is no such matrix."""
        return None

    @property
    def clipped_fraction(self) -> Tensor | None:
        """(T,) the fraction that ``bound_gradients`` clipped; None if that is not measured."""
        return None

    @property
    def saturation(self) -> Mapping[str, Tensor]:
        """(T, 2) fractions of the units of each gate that are closed (below 0.1) and open (above 0.9)."""
        return {
            name: torch.stack([(gate < 0.1).float().mean(1), (gate > 0.9).float().mean(1)], 1)
            for name, gate in self.gates.items()
        }

    def weight_term(self, t: int) -> Tensor:
        """Return step t's term of ∂L/∂W_hh, summed over sequences."""
        del t
        raise ShapeError(
            f"{self.name} is {self.kind}, whose recurrent weights are not known as one matrix; weight terms "
            "are those of tt.nn.RNN, LSTM, GRU, MGU and LayerNormLSTM"
        )

    @abstractmethod
    def jacobians(self, sequence: int) -> tuple[int, Jacobians]:
        """Return the size S of the state, and the transposed Jacobians of the steps of a sequence."""

    def rows_read(self, sequence: int) -> Tensor:
        """Return the rows of the tokens of a sequence in the order of reading."""
        begin, end = self.read.layout.host_offsets[sequence : sequence + 2].tolist()
        tokens = torch.arange(begin, end)
        return tokens.flip(0) if self.read.reverse else tokens


class Watcher(Protocol):
    """Who is told of calls."""

    whole: bool
    """Whether gradients are wanted beside their norms."""

    def saw(self, layer: nn.Module, runs: Callable[[], Sequence[LayerRun]]) -> None:
        """Take note of a call; ``runs`` returns its layers and directions, which a backward pass fills in."""


def watcher_of(layer: Watchable) -> Watcher | None:
    """Return the watcher of a layer's calls in this thread."""
    watcher: Watcher | None = in_this_thread(layer._watchers)  # noqa: SLF001
    return watcher


def ragged_order(steps: Steps) -> tuple[Layout, Tensor | None]:
    """Return the layout of sequences end to end, and the row of each token; None for the same order."""
    if steps.order == RAGGED and steps.index is not None:
        return Layout(steps.index), None
    lengths = host_lengths(steps)
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    layout = Layout(offsets)
    sequence = layout.sequence_ids
    step = torch.arange(int(offsets[-1])) - offsets[sequence]
    return layout, rows(steps, sequence, step)
