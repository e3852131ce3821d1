"""Batches of roughly equal token count, determined by (seed, epoch). No padding, no models, no files."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from throughtime.data.examples import Examples, Source
from throughtime.data.stored_examples import AnyExamples
from throughtime.errors import DataError, ShapeError

_Integers = npt.NDArray[np.int64]


def derived_seed(*parts: int | str) -> int:
    """Return a seed that is a hash of ``parts``.

    Parameters
    ----------
    *parts : int or str
        For example the seed of a run, the epoch, and the step.

    Returns
    -------
    int
        At least 0 and below 2**63, the same on every machine.

    Examples
    --------
    >>> derived_seed(0, 1) == derived_seed(0, 1), derived_seed(0, 1) == derived_seed(1, 0)
    (True, False)
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def ordered_batches(lengths: Tensor, tokens_per_batch: int) -> list[Tensor]:
    """Group sequences into batches, shortest first: a deterministic order for evaluation.

    Parameters
    ----------
    lengths : Tensor
        (B,) int64: tokens of each sequence. A sequence of length 0 counts as one token.
    tokens_per_batch : int
        Maximum number of tokens in a batch; a longer sequence is a batch by itself.

    Returns
    -------
    list of Tensor
        int64 indices of sequences; each index from 0 to B − 1 is in exactly one batch.

    Raises
    ------
    ShapeError
        If ``tokens_per_batch`` is not positive.

    Examples
    --------
    >>> [batch.tolist() for batch in ordered_batches(torch.tensor([3, 1, 9, 2]), 5)]
    [[1, 3], [0], [2]]
    """
    costs = _costs(lengths)
    return _cut(costs, np.argsort(costs, kind="stable"), tokens_per_batch)


def shuffled_batches(
    lengths: Tensor, tokens_per_batch: int, *, seed: int, epoch: int, jitter: float = 0.02
) -> list[Tensor]:
    """Group sequences of similar lengths into batches in random order, differently in each epoch.

    Parameters
    ----------
    lengths : Tensor
        (B,) int64: tokens of each sequence. A sequence of length 0 counts as one token.
    tokens_per_batch : int
        Maximum number of tokens in a batch; a longer sequence is a batch by itself.
    seed, epoch : int
        The batches are a function of these and the lengths.
    jitter : float
        Maximum relative change of a length before sorting, so that the batches of two epochs differ.

    Returns
    -------
    list of Tensor
        int64 indices of sequences; each index from 0 to B − 1 is in exactly one batch.

    Raises
    ------
    ShapeError
        If ``tokens_per_batch`` is not positive.

    Examples
    --------
    >>> batches = shuffled_batches(torch.arange(100), 500, seed=0, epoch=0)
    >>> sorted(torch.cat(batches).tolist()) == list(range(100))
    True
    """
    random = np.random.Generator(np.random.PCG64(derived_seed("batches", seed, epoch)))
    costs = _costs(lengths)
    noisy = costs * (1 + jitter * random.uniform(-1, 1, len(costs)))
    order = np.lexsort((random.random(len(costs)), noisy))
    batches = _cut(costs, order, tokens_per_batch)
    return [batches[i] for i in random.permutation(len(batches))]


def _costs(lengths: Tensor) -> _Integers:
    return np.maximum(lengths.numpy().astype(np.int64), 1)


def _cut(costs: _Integers, order: _Integers, tokens_per_batch: int) -> list[Tensor]:
    """Split the ordered sequences into the fewest batches, with the largest as small as possible."""
    if tokens_per_batch < 1:
        raise ShapeError(f"tokens_per_batch must be at least 1, got {tokens_per_batch}")
    ends = np.cumsum(costs[order])
    starts = _balanced_starts(ends, tokens_per_batch)
    sizes = np.diff([*starts, len(order)]).tolist()
    return list(torch.from_numpy(order).split(sizes)) if sizes else []


def _balanced_starts(ends: _Integers, limit: int) -> list[int]:
    """Return the starts of the fewest batches of at most ``limit`` tokens, with the largest minimized.

    Filling batches in order up to a limit gives the fewest; bisection finds the smallest limit that gives the
    same number.
    """
    best = _greedy_starts(ends, limit)
    low, high = 1, limit
    while low < high:
        middle = (low + high) // 2
        starts = _greedy_starts(ends, middle)
        if len(starts) > len(best):
            low = middle + 1
        else:
            best, high = starts, middle
    return best


def _greedy_starts(ends: _Integers, limit: int) -> list[int]:
    """Return the starts of batches filled in order with up to ``limit`` tokens."""
    before = np.concatenate(([0], ends[:-1]))
    following = np.maximum(np.searchsorted(ends, before + limit, side="right"), np.arange(1, len(ends) + 1))
    starts: list[int] = []
    start = 0
    while start < len(ends):
        starts.append(start)
        start = int(following[start])
    return starts


class BatchLoader:
    """Data loader for the training batches of a source, with a state that resumes at any batch.

    Iterating yields the remaining batches of the current epoch. It takes the place of
    `torch.utils.data.DataLoader`, without workers. Of examples in a file, only a batch is in memory.

    Parameters
    ----------
    source : Source
        Source of the examples.
    tokens_per_batch : int
        See `shuffled_batches`.
    seed : int
        Random seed; the batches of an epoch are a function of the seed and the epoch.
    process, processes : int
        Index of this process, from 0, and the number of processes. Each has every ``processes``-th sequence
        of a batch.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from throughtime.ragged import Ragged
    >>> examples = Examples(Ragged.from_lengths(torch.arange(60), [20, 10, 30]), torch.tensor([0, 1, 0]))
    >>> loader = BatchLoader(SimpleNamespace(training=lambda epoch: examples), 30, seed=0)
    >>> for epoch in range(2):
    ...     loader.set_epoch(epoch)
    ...     print(len(loader), [len(batch.inputs.values) for batch in loader])
    2 [30, 30]
    2 [30, 30]
    """

    def __init__(
        self, source: Source, tokens_per_batch: int, seed: int, *, process: int = 0, processes: int = 1
    ) -> None:
        self.source = source
        self.process, self.processes = process, processes
        self.tokens_per_batch = tokens_per_batch
        self.seed = seed
        self.epoch = 0
        self.next_batch = 0
        self._drawn_epoch: int | None = None
        self._examples: AnyExamples
        self._batches: list[Tensor]

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of an epoch."""
        self.epoch = epoch
        self.next_batch = 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        self._draw()
        return len(self._batches)

    def __iter__(self) -> Iterator[Examples]:
        self._draw()
        while self.next_batch < len(self._batches):
            batch = self._batches[self.next_batch]
            self.next_batch += 1
            yield self._examples.select(batch[self.process :: self.processes])

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the index of the next batch."""
        return {"epoch": self.epoch, "next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from the state of a loader with the same source and seed."""
        self.epoch = state["epoch"]
        self.next_batch = state["next_batch"]

    def _draw(self) -> None:
        if self._drawn_epoch == self.epoch:
            return
        self._examples = self.source.training(self.epoch)
        if len(self._examples) == 0:
            raise DataError("there are no training examples; give more data or another split")
        self._examples.require_finite(f"the training examples of epoch {self.epoch + 1}")
        self._batches = shuffled_batches(
            self._examples.lengths, self.tokens_per_batch, seed=self.seed, epoch=self.epoch
        )
        self._drawn_epoch = self.epoch


class OrderedLoader:
    """The batches of fixed examples from short to long sequences, the same every time.

    Parameters
    ----------
    examples : Examples or StoredExamples
        In memory, or in a file.
    tokens_per_batch : int
        See `ordered_batches`.
    process, processes : int
        As for `BatchLoader`.

    Examples
    --------
    >>> from throughtime.ragged import Ragged
    >>> examples = Examples(Ragged.from_lengths(torch.arange(6), [3, 1, 2]), torch.tensor([0, 1, 0]))
    >>> [batch.targets.tolist() for batch in OrderedLoader(examples, 3)]
    [[1, 0], [0]]
    """

    def __init__(
        self,
        examples: AnyExamples,
        tokens_per_batch: int,
        *,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.examples = examples
        self.process, self.processes = process, processes
        self.batches = ordered_batches(examples.lengths, tokens_per_batch)
        self.next_batch = 0

    def set_epoch(self, epoch: int) -> None:
        """Begin with the first batch; all epochs are the same."""
        del epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Examples]:
        return (self.examples.select(batch[self.process :: self.processes]) for batch in self.batches)
