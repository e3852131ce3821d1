"""The protocol of carried states: where a call without a state begins, and the states that it leaves."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from throughtime.nn.recurrent.attached import CarriesState, in_this_thread
from throughtime.ops.recurrent.steps import Steps, host_lengths, rows


class Carrier(Protocol):
    """Continues streams in layers, such as `throughtime.bptt.Carried`.

    A state is a sequence of tensors (B, …), the leaves of the layer's own structure in order, of sequences
    in the order of the caller. A layer calls ``begin`` and ``end`` in every call that is given no state.
    """

    @property
    def after(self) -> int | None:
        """Number of steps after which states are stored; None for all steps."""

    def begin(self, layer: nn.Module, initial: Sequence[Tensor]) -> list[Tensor] | None:
        """Return the state before the first step, ``initial`` for new streams; None if all are new."""

    def end(self, layer: nn.Module, lengths: Tensor, state: Sequence[Tensor]) -> None:
        """Store states after ``after`` steps, or after the last of a shorter sequence.

        ``lengths`` are (B,), those of the sequences.
        """


def carrier_of(layer: CarriesState) -> Carrier | None:
    """Return the carrier of a layer's calls in this thread."""
    carrier: Carrier | None = in_this_thread(layer._carriers)  # noqa: SLF001
    return carrier


def states_after(states: Tensor, steps: Steps, after: int) -> Tensor:
    """Return the states (B, …) after so many steps, or after the last of a shorter sequence.

    ``states`` are those of all steps, (T, …). Rows of sequences without steps have no meaning.
    """
    if not len(states):
        return states.new_zeros(steps.batch, *states.shape[1:])
    return states.index_select(0, rows_after(steps, after, len(states)).to(states.device))


def rows_after(steps: Steps, after: int, tokens: int) -> Tensor:
    """Return the row (B,) of step ``after``, or of the last step of a shorter sequence, below ``tokens``."""
    last = (host_lengths(steps).clamp(max=after) - 1).clamp(min=0)
    return rows(steps, torch.arange(steps.batch), last).clamp(max=tokens - 1)
