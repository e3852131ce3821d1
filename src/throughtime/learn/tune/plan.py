"""`Plan`: how many epochs each trial has, and which of them are trained again with all epochs."""

from collections.abc import Sequence
from dataclasses import dataclass

from throughtime.learn.tune.limits import Limits
from throughtime.learn.tune.trials import Trial, best_first

_SHARE = 4
"""New trials have one part in four of the epochs; one trial in four has all of them."""


@dataclass(frozen=True)
class NextTrial:
    """The next trial: a new one, or one that repeats another with more epochs."""

    epochs: int
    repeats: Trial | None = None


@dataclass(frozen=True)
class Plan:
    """Successive halving in two rounds (Jamieson and Talwalkar 2016).

    New trials have a quarter of the epochs. Three quarters of all trials, or half of the time, are for them;
    then the best of them are trained again with all epochs, the best first.

    Parameters
    ----------
    epochs : int
        Number of epochs of a whole training.
    metric : str
        By which trials are compared.
    limits : Limits
        When the search ends.
    """

    epochs: int
    metric: str
    limits: Limits

    @property
    def short_epochs(self) -> int:
        """Number of epochs of a new trial."""
        return self.epochs if self.limits.trials == 1 else max(1, self.epochs // _SHARE)

    def next_trial(self, trials: Sequence[Trial], spent: float) -> NextTrial | None:
        """Return what to do after these trials, which took so many seconds; None if the search has ended."""
        if self.limits.trials is not None and len(trials) >= self.limits.trials:
            return None
        left = self._to_repeat(trials)
        if not left or self._is_for_new(trials, spent):
            return NextTrial(self.short_epochs)
        return NextTrial(self.epochs, left[0])

    def _is_for_new(self, trials: Sequence[Trial], spent: float) -> bool:
        if self.limits.seconds is not None and spent >= self.limits.seconds / 2:
            return False
        return self.limits.trials is None or sum(trial.repeats is None for trial in trials) < self._new_trials

    @property
    def _new_trials(self) -> int:
        total = self.limits.trials or 0
        return total - max(1, total // _SHARE)

    def _to_repeat(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the complete trials with few epochs that have not been repeated, the best first."""
        repeated = {trial.repeats for trial in trials}
        return [
            trial
            for trial in best_first(trials, self.metric)
            if trial.epochs < self.epochs and trial.number not in repeated
        ]
