"""Random numbers of a recurrence, drawn before the first step from seeds of sequences and step numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops.dropout.sequences import branched_seeds, sequence_masks
from throughtime.ops.recurrent.steps import BATCH_FIRST, RAGGED, Steps, host_lengths, rows


class Noise(NamedTuple):
    """Random numbers of a call, or the rows of them that one step reads.

    Parameters
    ----------
    sequences
        A tensor, or a tuple or dict of tensors (B, …): the same at all steps of a sequence. () for none.
    steps
        Tensors (T, …), one row for each token. () for none.
    """

    sequences: Any = ()
    steps: Any = ()


@dataclass(frozen=True)
class Draws:
    """Source of a cell's `Noise`: masks determined by the seed of a sequence, a mask number and the step.

    They do not depend on the other sequences of a batch, on their order or on the number of threads.

    Parameters
    ----------
    seeds : Tensor
        (B,) int64 in host memory.
    lengths : sequence of int
        (B,): number of steps of each sequence.
    first : sequence of int
        (B,): number of the first of these steps.
    steps : Steps
        Row of each step among the tokens.
    dtype, device
        Of the masks.
    """

    seeds: Tensor
    lengths: Sequence[int]
    first: Sequence[int]
    steps: Steps
    dtype: torch.dtype
    device: torch.device

    def branch(self, number: int) -> "Draws":
        """Return a source that is independent of this one and of those of other numbers."""
        return replace(self, seeds=branched_seeds(self.seeds, number))

    def of_sequences(self, number: int, p: float, size: int) -> Tensor:
        """Return (B, size): 0 with probability p, else 1 / (1 − p)."""
        seeds = branched_seeds(self.seeds, number)
        count = len(self.lengths)
        return sequence_masks(seeds, [1] * count, [0] * count, p, size, self.dtype).to(self.device)

    def of_steps(self, number: int, p: float, size: int) -> Tensor:
        """Return (T, size), a row for each token: 0 with probability p, else 1 / (1 − p)."""
        seeds = branched_seeds(self.seeds, number)
        masks = sequence_masks(seeds, self.lengths, self.first, p, size, self.dtype)
        return self._placed(masks).to(self.device)

    def _placed(self, masks: Tensor) -> Tensor:
        """Reorder rows of concatenated sequences to the order of the tokens."""
        if self.steps.order in {RAGGED, BATCH_FIRST}:
            return masks
        lengths = torch.tensor(self.lengths, dtype=torch.int64)
        sequence = torch.repeat_interleave(lengths)
        step = torch.arange(len(sequence)) - (lengths.cumsum(0) - lengths)[sequence]
        return masks.index_select(0, torch.argsort(rows(self.steps, sequence, step)))


def draws_of(steps: Steps, seeds: Any, first_step: Any, like: Tensor) -> Draws:
    """Return the random source of a call; seeds of None are drawn from torch's generator.

    Parameters
    ----------
    steps
        Row of each step among the tokens.
    seeds : Tensor or sequence of int, optional
        (B,), any integers.
    first_step : int or Tensor
        Number of the first step, one for all sequences or (B,).
    like
        A tensor with the dtype and device of the masks.
    """
    seeds = drawn_seeds(steps.batch) if seeds is None else seeds
    lengths = host_lengths(steps).tolist()
    return Draws(
        _integers(seeds, steps.batch, "seeds"),
        lengths,
        _integers(first_step, steps.batch, "first_step", least=0).tolist(),
        steps,
        like.dtype,
        like.device,
    )


def drawn_seeds(batch: int) -> Tensor:
    """Return seeds (B,) from torch's generator."""
    return torch.randint(2**63 - 1, (batch,), device="cpu")


def _integers(values: Any, batch: int, name: str, *, least: int | None = None) -> Tensor:
    """Return (B,) int64 in host memory."""
    numbers = torch.as_tensor(values, device="cpu")
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        raise InputTypeError(f"Recurrence: {name} must be integers, got {numbers.dtype}")
    if numbers.dim() == 0 and name != "seeds":
        numbers = numbers.expand(batch)
    if numbers.shape != (batch,):
        raise ShapeError(
            f"Recurrence: {name} has shape {tuple(numbers.shape)}, expected {(batch,)}, one for each sequence"
        )
    if least is not None and batch and int(numbers.min()) < least:
        raise ShapeError(f"Recurrence: {name} must be at least {least}, got {int(numbers.min())}")
    return numbers.to(torch.int64)
