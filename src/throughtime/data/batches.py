"""Batches of roughly equal token count, drawn from (seed, epoch) alone. No padding, no models, no files."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from throughtime.data.examples import Examples, Source
from throughtime.data.finite import require_finite
from throughtime.errors import DataError, ShapeError

_Integers = npt.NDArray[np.int64]


def derived_seed(*parts: int | str) -> int:
    """Return a seed that depends on all of ``parts`` and on nothing else.

    Parameters
    ----------
    *parts : int or str
        Such as a run's seed, the epoch, and the step.

    Returns
    -------
    int
        From 0 up to 2**63, the same on every machine.

    Examples
    --------
    >>> derived_seed(0, 1) == derived_seed(0, 1), derived_seed(0, 1) == derived_seed(1, 0)
    (True, False)
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def ordered_batches(lengths: Tensor, tokens_per_batch: int) -> list[Tensor]:
    """Cut sequences into batches, shortest first: the same every time, as evaluation wants it.

    Parameters
    ----------
    lengths : Tensor
        (B,) int64: tokens of each sequence. One of length 0 counts as one token.
    tokens_per_batch : int
        No batch has more, except a single sequence that is longer itself.

    Returns
    -------
    list of Tensor
        int64 positions; every position from 0 up to B in exactly one batch.

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
    """Cut sequences into batches of similar lengths, which differ from epoch to epoch, in random order.

    Parameters
    ----------
    lengths : Tensor
        (B,) int64: tokens of each sequence. One of length 0 counts as one token.
    tokens_per_batch : int
        No batch has more, except a single sequence that is longer itself.
    seed, epoch : int
        All that the order depends on, besides the lengths.
    jitter : float
        Lengths are changed by up to this share of themselves before they are sorted, so that a sequence
        meets others in each epoch.

    Returns
    -------
    list of Tensor
        int64 positions; every position from 0 up to B in exactly one batch.

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
    """Cut the order into as few batches as fit, and those as even as they can be."""
    if tokens_per_batch < 1:
        raise ShapeError(f"tokens_per_batch must be at least 1, got {tokens_per_batch}")
    ends = np.cumsum(costs[order])
    starts = _evened(ends, tokens_per_batch)
    return [torch.from_numpy(part.astype(np.int64)) for part in np.split(order, starts[1:]) if len(part)]


def _evened(ends: _Integers, limit: int) -> list[int]:
    """Return the starts of the fewest batches under ``limit``, with the largest as small as possible.

    Filling batches in order up to a limit gives the fewest; the smallest limit that still gives so few
    is found by bisection.
    """
    best = _filled(ends, limit)
    low, high = 1, limit
    while low < high:
        middle = (low + high) // 2
        starts = _filled(ends, middle)
        if len(starts) > len(best):
            low = middle + 1
        else:
            best, high = starts, middle
    return best


def _filled(ends: _Integers, limit: int) -> list[int]:
    """Return the starts of batches that are filled in order up to ``limit`` tokens."""
    starts: list[int] = []
    start = 0
    while start < len(ends):
        starts.append(start)
        before = int(ends[start - 1]) if start else 0
        start = max(start + 1, int(np.searchsorted(ends, before + limit, side="right")))
    return starts


class BatchLoader:
    """The training batches of a source, one epoch at a time; can be stopped and taken up at any batch.

    Iterating yields the batches of the current epoch that have not been yielded yet. It is what a
    `torch.utils.data.DataLoader` is to a training, without workers: examples are in memory.

    Parameters
    ----------
    source : Source
        Where examples come from.
    tokens_per_batch : int
        See `shuffled_batches`.
    seed : int
        Together with the epoch, all that the batches depend on.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from throughtime.ragged import Ragged
    >>> examples = Examples(Ragged.from_lengths(torch.arange(60), [20, 10, 30]), torch.tensor([0, 1, 0]))
    >>> loader = BatchLoader(SimpleNamespace(training=lambda epoch: examples), 30, seed=0)
    >>> for epoch in range(2):
    ...     loader.set_epoch(epoch)
    ...     print(len(loader), [len(batch.tokens.values) for batch in loader])
    2 [30, 30]
    2 [30, 30]
    """

    def __init__(self, source: Source, tokens_per_batch: int, seed: int) -> None:
        self.source = source
        self.tokens_per_batch = tokens_per_batch
        self.seed = seed
        self.epoch = 0
        self.next_batch = 0
        self._drawn_epoch: int | None = None
        self._examples: Examples
        self._batches: list[Tensor]

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of an epoch."""
        self.epoch = epoch
        self.next_batch = 0

    def __len__(self) -> int:
        """Return the number of batches of the whole epoch."""
        self._draw()
        return len(self._batches)

    def __iter__(self) -> Iterator[Examples]:
        self._draw()
        while self.next_batch < len(self._batches):
            batch = self._batches[self.next_batch]
            self.next_batch += 1
            yield self._examples.select(batch)

    def state_dict(self) -> dict[str, int]:
        """Return where the loader is: the epoch, and the number of the batch that comes next."""
        return {"epoch": self.epoch, "next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where another loader of the same source and seed was."""
        self.epoch = state["epoch"]
        self.next_batch = state["next_batch"]

    def _draw(self) -> None:
        if self._drawn_epoch == self.epoch:
            return
        self._examples = self.source.training(self.epoch)
        if len(self._examples) == 0:
            raise DataError("there are no training examples; give more data, or another split")
        require_finite(self._examples.tokens, f"the training examples of epoch {self.epoch + 1}")
        self._batches = shuffled_batches(
            self._examples.tokens.lengths, self.tokens_per_batch, seed=self.seed, epoch=self.epoch
        )
        self._drawn_epoch = self.epoch
