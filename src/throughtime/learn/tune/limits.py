"""`Limits`: the number of trials and the time of a search."""

from dataclasses import dataclass
from typing import Self

from throughtime.errors import ShapeError
from throughtime.learn.tune.budget import checked_budget

_TRIALS = 20


@dataclass(frozen=True)
class Limits:
    """When a search ends: at the first of both.

    Parameters
    ----------
    trials : int or None
        Number of trials.
    seconds : float or None
        Time of all trials and the best run.
    """

    trials: int | None = _TRIALS
    seconds: float | None = None

    @classmethod
    def of(cls, trials: int | None, budget: str | float | None) -> Self | None:
        """Return the limits that a user gives; None if there are none.

        Raises
        ------
        ShapeError
            If one is not positive.

        Examples
        --------
        >>> Limits.of(None, "2m"), Limits.of(None, None)
        (Limits(trials=None, seconds=120.0), None)
        """
        if trials is not None and trials < 1:
            raise ShapeError(f"--trials must be at least 1, got {trials}")
        if trials is None and budget is None:
            return None
        return cls(trials, None if budget is None else checked_budget(budget))
