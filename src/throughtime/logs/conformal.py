"""Conformal p-values: the fraction of held-out normal sessions that are at least as surprising."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime._fields import Fields, to_json
from throughtime._options import named
from throughtime.errors import DataError
from throughtime.logs.frequency import Frequency, KindCounts, Kinds, frequency_of
from throughtime.logs.scores import LARGEST

FALSE_ALARMS = 0.01
"""Default rate of false alarms."""
_MOST_SCORES = 100_000


@dataclass(frozen=True)
class Calibration:
    """Scores of n normal sessions that were held out from the training.

    The p-value of a session with score s is

        p = (1 + |{i : s_i ≥ s}|) / (n + 1).

    If the session is exchangeable with the held-out ones, P(p ≤ α) ≤ α: with the threshold α, at most a
    fraction α of normal sessions is reported on average.

    Parameters
    ----------
    scores : tuple of float
        In ascending order.
    kinds : tuple of int
        The kind of the session of each score, see `throughtime.logs.frequency.kinds_of`; empty if
        they are unknown.
    trained : KindCounts
        Number of training sessions of each kind, held-out ones included.

    References
    ----------
    V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World", Springer (2005), chapter 2.

    Examples
    --------
    >>> calibration = Calibration.of([0.5, 1.0, 1.5, 2.0])
    >>> calibration.p_values([0.7, 9.0]).tolist()
    [0.8, 0.2]
    >>> calibration.rate(None)
    0.2
    """

    scores: tuple[float, ...]
    kinds: tuple[int, ...] = ()
    trained: KindCounts = field(default_factory=lambda: KindCounts((), ()))

    @classmethod
    def of(cls, scores: ArrayLike, kinds: Kinds | None = None, trained: KindCounts | None = None) -> Self:
        """Return the calibration of scores in any order; of more than 100,000, a random sample."""
        known = np.asarray(scores, dtype=np.float64)
        chosen = np.argsort(known, kind="stable")
        if len(known) > _MOST_SCORES:
            chosen = chosen[np.sort(np.random.default_rng(0).permutation(len(known))[:_MOST_SCORES])]
        ordered = tuple(known[chosen].tolist())
        if kinds is None or trained is None:
            return cls(ordered)
        return cls(ordered, tuple(kinds[chosen].tolist()), trained)

    def frequency(self, kinds: Kinds) -> Frequency:
        """Return how frequent the kinds of all sessions of a scanned log are, compared with training."""
        held_out = np.asarray(self.kinds, dtype=np.int64)
        if len(held_out):
            return frequency_of(kinds, self.trained, held_out)
        zeros = np.zeros(len(kinds))
        return Frequency(zeros, np.ones(len(kinds), np.int64), zeros, np.zeros(len(self.scores)))

    def raised(self, excess: NDArray[np.float64]) -> Self:
        """Return the calibration of scores that are raised by the excess of the kind of each session."""
        return type(self).of(np.asarray(self.scores) + excess)

    def p_values(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the p-value of each score."""
        known = np.asarray(self.scores)
        below = np.searchsorted(known, np.asarray(scores, dtype=np.float64), side="left")
        return (1 + len(known) - below) / (len(known) + 1)

    @property
    def smallest(self) -> float:
        """The smallest possible p-value."""
        return 1 / (len(self.scores) + 1)

    def rate(self, false_alarms: float | None) -> float:
        """Return the rate of false alarms; without one, 0.01 or the smallest possible.

        Raises
        ------
        DataError
            If there are too few held-out sessions for the rate.
        """
        if false_alarms is None:
            return max(FALSE_ALARMS, self.smallest)
        if false_alarms < self.smallest:
            raise DataError(
                f"{named('false_alarms', false_alarms)} needs {int(np.ceil(1 / false_alarms)) - 1:,} "
                f"held-out sessions, but the run has {len(self.scores):,}; give at least "
                f"{self.smallest:.2g}, or train on more sessions"
            )
        return false_alarms

    def to_json(self) -> dict[str, Any]:
        """Return the scores as JSON values."""
        content: dict[str, Any] = {"largest": LARGEST, "scores": list(self.scores)}
        return content | ({"kinds": list(self.kinds), "trained": to_json(self.trained)} if self.kinds else {})

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return what `to_json` wrote; raises ValueError for other content."""
        stored = Fields(content, "calibration.").dataclass(_Scores)
        if not stored.scores:
            raise ValueError("calibration.scores is empty")
        if stored.largest != LARGEST:
            raise ValueError(f"calibration.largest is {stored.largest}, expected {LARGEST}")
        if stored.kinds is None or stored.trained is None:
            return cls.of(stored.scores)
        if len(stored.kinds) != len(stored.scores):
            raise ValueError(
                f"calibration.kinds must have {len(stored.scores)} entries, as scores, "
                f"got {len(stored.kinds)}"
            )
        if len(stored.trained.kinds) != len(stored.trained.sessions):
            raise ValueError("calibration.trained must have as many sessions as kinds")
        return cls.of(stored.scores, np.asarray(stored.kinds, dtype=np.int64), stored.trained)


@dataclass(frozen=True)
class _Scores:
    largest: int
    """Number of steps of a session that its score is the mean of."""
    scores: tuple[float, ...]
    kinds: tuple[int, ...] | None
    trained: KindCounts | None
