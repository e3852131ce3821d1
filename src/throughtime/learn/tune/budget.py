"""The time that a search may take."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from throughtime._duration import seconds_of
from throughtime.errors import ShapeError
from throughtime.learn.tune.trials import Trial


def checked_budget(budget: str | float) -> float:
    """Return a time in seconds from a number of them, or from a text such as 90s, 30m or 2h.

    Raises
    ------
    ShapeError
        If it is neither, or not positive.

    Examples
    --------
    >>> checked_budget("1.5m"), checked_budget(30)
    (90.0, 30.0)
    """
    try:
        seconds = seconds_of(budget) if isinstance(budget, str) else float(budget)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ShapeError(f"--budget must be a time such as 90s, 30m or 2h, got {budget!r}")
    return seconds


@dataclass(frozen=True)
class Clock:
    """The time of a search over all of its sessions.

    Parameters
    ----------
    before : float
        Time of the trials of earlier sessions, in seconds.
    began : float
        Time by `time.monotonic` at which this session began.
    seconds : float or None
        Time that the search may take; None is without limit.
    """

    before: float
    began: float
    seconds: float | None

    @classmethod
    def after(cls, trials: Sequence[Trial], seconds: float | None) -> Self:
        """Return the clock of a session that begins now, after these trials."""
        return cls(sum(trial.outcome.seconds for trial in trials), time.monotonic(), seconds)

    def spent(self) -> float:
        """Return the time so far."""
        return self.before + time.monotonic() - self.began

    def left(self, reserve: float) -> float:
        """Return the time that is left for trials if some is reserved."""
        return float("inf") if self.seconds is None else self.seconds - reserve - self.spent()

    def deadline(self, reserve: float) -> float | None:
        """Return the time by `time.monotonic` at which trials end; None is without limit."""
        return None if self.seconds is None else time.monotonic() + self.left(reserve)
