"""Data loader for truncated BPTT: windows of texts and frames, sharded over processes. Reads no files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from throughtime.bptt import Window, windows
from throughtime.data.batches import derived_seed
from throughtime.data.next_step import Pairs
from throughtime.ragged import Ragged

# Maximum relative change of a length before sequences are sorted by it.
_JITTER = 0.2


@dataclass(frozen=True)
class WindowBatch:
    """One window of the sequences in a batch.

    Parameters
    ----------
    window : Window
        Steps and sequences of the window.
    inputs, targets : Ragged
        Input steps, and targets of the steps that enter the loss.
    counted : int
        Number of steps that enter the loss, over all processes.
    first : bool
        Whether the window starts the sequences, with no state carried over.
    """

    window: Window
    inputs: Ragged
    targets: Ragged
    counted: int
    first: bool

    def to(self, *args: Any, **kwargs: Any) -> "WindowBatch":
        """Move inputs and targets, as `torch.Tensor.to` does."""
        inputs, targets = (x.to(*args, **kwargs) for x in (self.inputs, self.targets))
        return WindowBatch(self.window, inputs, targets, self.counted, self.first)


class WindowLoader:
    """Data loader for the windows of an epoch, with a state that resumes at any window.

    Sequences are processed in batches of ``group`` sequences of similar lengths. A batch gives windows until
    its longest sequence ends; the batches differ from epoch to epoch. Each process has every
    ``processes``-th sequence of a batch. A process whose sequences end early gets windows without sequences,
    so that all processes have the same number of windows.

    Parameters
    ----------
    pairs : Pairs
        All sequences.
    group : int
        Number of sequences processed in parallel.
    k1, k2 : int
        See `throughtime.bptt.windows`.
    seed : int or None
        Random seed for the batches of each epoch; None orders them from short to long.
    process, processes : int
        Index of this process, from 0, and the number of processes.

    Examples
    --------
    >>> pairs = Pairs.of_sequences(Ragged.from_lengths(torch.arange(16), [3, 8, 5]))
    >>> loader = WindowLoader(pairs, group=2, k1=3)
    >>> [(batch.inputs.lengths.tolist(), batch.counted, batch.first) for batch in loader]
    [([2, 3], 5, True), ([1], 1, False), ([3], 3, True), ([3], 3, False), ([1], 1, False)]
    """

    def __init__(
        self,
        pairs: Pairs,
        group: int,
        k1: int,
        k2: int | None = None,
        *,
        seed: int | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.pairs, self.group, self.k1, self.k2 = pairs, group, k1, k2
        self.seed, self.process, self.processes = seed, process, processes
        self.epoch = 0
        self.next_batch = 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the first window of an epoch."""
        self.epoch = epoch
        self.next_batch = 0

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return sum(self._counts(self._groups()))

    def __iter__(self) -> Iterator[WindowBatch]:
        groups = self._groups()
        done = 0
        for rows, count in zip(groups, self._counts(groups), strict=True):
            if done + count > self.next_batch:
                for batch in self._batches(rows, count, self.next_batch - done):
                    self.next_batch += 1
                    yield batch
            done += count

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the index of the next window."""
        return {"epoch": self.epoch, "next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from the state of a loader with the same data and seed."""
        self.epoch = state["epoch"]
        self.next_batch = state["next_batch"]

    def _groups(self) -> list[Tensor]:
        lengths = self.pairs.inputs.lengths.numpy()
        if len(lengths) <= self.group:
            return [rows for rows in (torch.arange(len(lengths)),) if self._longest(rows)]
        if self.seed is None:
            order = np.argsort(lengths, kind="stable")
            return [rows for rows in torch.from_numpy(order).split(self.group) if self._longest(rows)]
        # Similar lengths avoid nearly empty windows at the end of a group.
        random = np.random.Generator(np.random.PCG64(derived_seed("groups", self.seed, self.epoch)))
        noisy = lengths * (1 + _JITTER * random.uniform(-1, 1, len(lengths)))
        groups = torch.from_numpy(np.argsort(noisy, kind="stable")).split(self.group)
        shuffled = (groups[i] for i in random.permutation(len(groups)))
        return [rows for rows in shuffled if self._longest(rows)]

    def _longest(self, rows: Tensor) -> int:
        return int(self.pairs.inputs.lengths[rows].max()) if len(rows) else 0

    def _counts(self, groups: list[Tensor]) -> list[int]:
        """Return the number of windows of each group."""
        return [-(-self._longest(rows) // self.k1) for rows in groups]

    def _batches(self, rows: Tensor, count: int, skipped: int) -> Iterator[WindowBatch]:
        lengths = self.pairs.inputs.lengths[rows]
        shard = rows[self.process :: self.processes]
        all_rows = len(shard) == len(self.pairs)  # then no copy is needed
        inputs, targets = (x if all_rows else x[shard] for x in (self.pairs.inputs, self.pairs.targets))
        ids = torch.arange(len(self.pairs)) if all_rows else shard
        for window in windows(inputs, self.k1, self.k2, ids=ids, count=count):
            if window.number >= skipped:
                counted = (lengths - window.scored).clamp(0, self.k1).sum()
                yield WindowBatch(
                    window, window.of(inputs), window.targets(targets), int(counted), window.number == 0
                )
