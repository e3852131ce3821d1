"""The trials of a search, one after another, until their number or the time ends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from throughtime._duration import duration_text
from throughtime.errors import ShapeError
from throughtime.learn.tune.budget import Clock
from throughtime.learn.tune.plan import Plan
from throughtime.learn.tune.printing import TrialPrinter
from throughtime.learn.tune.trials import Trial, best_first

if TYPE_CHECKING:
    from throughtime.learn.tune.session import Session


def run_trials(session: "Session", plan: Plan, printer: TrialPrinter) -> None:
    """Run the trials that are left of a plan.

    Raises
    ------
    ShapeError
        If the time ends before the first trial does.
    KeyboardInterrupt
        After Ctrl-C.
    """
    from throughtime.learn.tune.callback import OutOfTime

    trials = session.trials()
    printer.begin(session.space.models, session.metric)
    for trial in trials:
        _tell(printer, trial, trials[: trial.number + 1], session.metric)
    clock = Clock.after(trials, plan.limits.seconds)
    while (upcoming := plan.next_trial(trials, clock.spent())) is not None:
        reserve = _best_seconds(trials, session.metric)
        try:
            if trials and clock.left(reserve) <= 0:
                return
            trial = session.run(upcoming, clock.deadline(reserve))
        except OutOfTime as out_of_time:
            if trials:
                return
            raise _too_small(plan, session.space.models[0], out_of_time.epoch_seconds) from None
        trials.append(trial)
        _tell(printer, trial, trials, session.metric)


def _tell(printer: TrialPrinter, trial: Trial, trials: Sequence[Trial], metric: str) -> None:
    best = best_first(trials, metric)[:1] == [trial]
    printer.trial(trial, metric, best=best)


def _best_seconds(trials: Sequence[Trial], metric: str) -> float:
    """Return the time of the best trial, which the best run takes, too."""
    return next((trial.outcome.seconds for trial in best_first(trials, metric)), 0.0)


def _too_small(plan: Plan, model: str, epoch_seconds: float) -> ShapeError:
    budget, epoch = (duration_text(seconds) for seconds in (plan.limits.seconds or 0.0, epoch_seconds))
    needed = duration_text(2 * plan.short_epochs * epoch_seconds)
    return ShapeError(
        f"--budget of {budget} is too small: an epoch of {model} takes about {epoch}, and the first trial "
        f"and the best run have {plan.short_epochs} each; give at least {needed}, or fewer --epochs"
    )
