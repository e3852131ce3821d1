"""Frequency of kinds of sessions: those that occur more often in the scanned log than in training.

The kind of a session is the set of its templates, in any order and number. That a kind is rare in training
and significantly more frequent now is information that no session contains by itself.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from throughtime.logs.sequences import Sequences

Kinds = NDArray[np.int64]
"""(S,) int64: hash of the set of templates of each session."""

SIGNIFICANT = 0.01
"""Largest adjusted p-value of a kind that is reported as more frequent."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class KindCounts:
    """Number of training sessions of each kind.

    Parameters
    ----------
    kinds : tuple of int
        In ascending order.
    sessions : tuple of int
        Number of training sessions of each kind.

    Examples
    --------
    >>> counts = KindCounts.of(np.array([7, 3, 7]))
    >>> counts.total, counts.of_kinds(np.array([7, 5])).tolist()
    (3, [2, 0])
    """

    kinds: tuple[int, ...]
    sessions: tuple[int, ...]

    @classmethod
    def of(cls, kinds: Kinds) -> Self:
        """Return the counts of the kinds of sessions, (S,)."""
        distinct, counts = np.unique(kinds, return_counts=True)
        return cls(tuple(distinct.tolist()), tuple(counts.tolist()))

    @property
    def total(self) -> int:
        """Number of training sessions."""
        return sum(self.sessions)

    def of_kinds(self, kinds: Kinds) -> NDArray[np.int64]:
        """Return the number of training sessions of kinds, (S,)."""
        known = np.asarray(self.kinds, dtype=np.int64)
        place = np.searchsorted(known, kinds).clip(max=max(0, len(known) - 1))
        if not len(known):
            return np.zeros(len(kinds), dtype=np.int64)
        return np.where(known[place] == kinds, np.asarray(self.sessions)[place], 0)


class Frequency(NamedTuple):
    """How frequent the kinds of scanned sessions are.

    Parameters
    ----------
    excess : ndarray
        (S,) float64: evidence in nats that the kind of each session is too frequent, see `frequency_of`.
    sessions : ndarray
        (S,) int64: number of scanned sessions of its kind, with itself.
    expected : ndarray
        (S,) float64: expected number of scanned sessions of its kind, from their fraction in training.
    reference : ndarray
        (R,) float64: the excess of held-out sessions.
    """

    excess: NDArray[np.float64]
    sessions: NDArray[np.int64]
    expected: NDArray[np.float64]
    reference: NDArray[np.float64]


def frequency_of(kinds: Kinds, trained: KindCounts, held_out: Kinds) -> Frequency:
    """Return how frequent the kinds of scanned sessions are, compared with training.

    For a session of a kind with n of N training sessions and m of the M − 1 other scanned sessions,

        excess = min(−log(K p), log((N + 1) / (n + 1)))  if K p ≤ 0.01, otherwise 0,
        p = P(X ≥ m),  X ~ Binomial(n + m, (M − 1) / (N + M − 1)),

    where K is the number of kinds, for which p is adjusted (Bonferroni). The second term limits the evidence
    for kinds that are frequent in training, because the load of a system varies.

    A session itself does not count. With the held-out sessions as the reference, this keeps conformal
    p-values valid: if one scanned session is exchangeable with them, its p-value from scores with the excess
    is at most α with probability at most α, whatever the other scanned sessions are. For this, the excess of
    a held-out session is not below the one that it would have in place of the scanned session.

    Parameters
    ----------
    kinds : ndarray
        (S,) int64: kinds of the scanned sessions, from `kinds_of`.
    trained : KindCounts
        Kinds of all training sessions, held-out ones included.
    held_out : ndarray
        (R,) int64: kinds of the held-out sessions.

    References
    ----------
    C. Elkan and K. Noto, "Learning classifiers from only positive and unlabeled data", KDD (2008), for the
    frequency in unlabelled data as a criterion.

    Examples
    --------
    Kind 2 has 20 of 1000 training sessions, and 20 of 100 scanned ones.

    >>> trained = np.repeat([1, 2], [980, 20])
    >>> scanned = np.repeat([1, 2], [80, 20])
    >>> frequency = frequency_of(scanned, KindCounts.of(trained), trained[::10])
    >>> frequency.excess[[0, -1]].round(1).tolist()
    [0.0, 3.9]
    >>> int(frequency.sessions[-1]), float(frequency.expected[-1])
    (20, 2.0)
    """
    distinct, place, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    n = trained.of_kinds(distinct)
    number = len(trained.kinds) + int((n == 0).sum())
    others = len(kinds) - 1
    excess = _excess(n, counts - 1, trained.total, others, number)
    scanned = KindCounts(tuple(distinct.tolist()), tuple(counts.tolist()))
    reference = _excess(
        trained.of_kinds(held_out) - 1, scanned.of_kinds(held_out), trained.total, others, number
    )
    expected = n * len(kinds) / max(1, trained.total)
    return Frequency(excess[place], counts[place], expected[place], reference)


def _excess(
    n: NDArray[np.int64], m: NDArray[np.int64], trained: int, scanned: int, kinds: int
) -> NDArray[np.float64]:
    share = scanned / max(1, trained + scanned)
    significance = -binom.logsf(m - 1, n + m, share) - np.log(max(1, kinds))
    rarity = np.log((trained + 1) / (n + 1))
    return np.where(significance >= -np.log(SIGNIFICANT), np.minimum(significance, rarity), 0.0)


def kinds_of(sequences: Sequences) -> Kinds:
    """Return the kind of each sequence, without its context."""
    lengths = np.diff(sequences.offsets)
    place = np.arange(lengths.sum()) - np.repeat(sequences.offsets[:-1], lengths)
    rows = sequences.rows[place >= np.repeat(sequences.context, lengths)]
    return set_hashes(sequences.events.event[rows], lengths - sequences.context)


def set_hashes(events: NDArray[np.int64], lengths: NDArray[np.int64]) -> Kinds:
    """Return a hash of the set of events of each sequence: the sum of the hashes of distinct events.

    Parameters
    ----------
    events : ndarray
        (M,) int64: events of all sequences.
    lengths : ndarray
        (S,) int64: number of events of each sequence.

    Examples
    --------
    >>> first, second, third = set_hashes(np.array([1, 2, 2, 1, 1]), np.array([3, 1, 1])).tolist()
    >>> first == second, second == third
    (False, True)
    """
    number = int(events.max(initial=0)) + 2
    pairs = np.unique(np.repeat(np.arange(len(lengths)), lengths) * number + events + 1)
    total = np.zeros(len(lengths), dtype=np.uint64)
    np.add.at(total, pairs // number, _mixed((pairs % number).astype(np.uint64)))
    return (total >> np.uint64(1)).astype(np.int64)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return hashes of integers (the finalizer of SplitMix64)."""
    values = (values + np.uint64(1)) * _GOLDEN
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
