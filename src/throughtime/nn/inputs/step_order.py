"""The order in which a loop over time reads tokens: step after step, of the sequences still there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from throughtime.ops.recurrent.steps import TIME_MAJOR, Steps, host_lengths, rows


@dataclass(frozen=True)
class StepOrder:
    """All first tokens, then all second ones, and so on; the longest sequences come first.

    Parameters
    ----------
    sequences : Tensor
        (B,) which sequence is in which row of a step.
    alive : list of int
        How many sequences each step has.
    place : Tensor, optional
        (T,) where each token of this order lies among the layer's; None for where it is.
    """

    sequences: Tensor
    alive: list[int]
    place: Tensor | None

    def gathered(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Cut tokens (T, …) into steps."""
        ordered = tokens if self.place is None else tokens.index_select(0, self.place.to(tokens.device))
        parts: tuple[Tensor, ...] = ordered.split(self.alive)
        return parts

    def returned(self, steps: list[Tensor]) -> Tensor:
        """Put steps together, back in the layer's order."""
        joined = torch.cat(steps)
        return (
            joined
            if self.place is None
            else joined.index_select(0, torch.argsort(self.place).to(joined.device))
        )

    def sorted(self, per_sequence: Tensor) -> Tensor:
        """Bring rows (B, …) into the order of a step's rows."""
        return per_sequence.index_select(0, self.sequences.to(per_sequence.device))

    def unsorted(self, ended: list[Tensor]) -> Tensor:
        """Put together, in the caller's order, rows of sequences that ended; the last to end come first."""
        joined = torch.cat(ended)
        return joined.index_select(0, torch.argsort(self.sequences).to(joined.device))


def step_order(steps: Steps) -> StepOrder:
    """Sort by length, once for a whole call."""
    lengths = host_lengths(steps)
    if steps.order == TIME_MAJOR:
        return StepOrder(torch.arange(steps.batch), [steps.batch] * steps.length, None)
    sequences = torch.argsort(lengths, descending=True, stable=True)
    longest = int(lengths.max()) if len(lengths) else 0
    step = torch.arange(longest)
    alive = lengths[sequences][None, :] > step[:, None]
    grid = sequences[None, :].expand_as(alive)[alive], step[:, None].expand_as(alive)[alive]
    return StepOrder(sequences, alive.sum(1).tolist(), rows(steps, *grid))
