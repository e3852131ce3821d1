"""The trials of a search, one after another, until their number or the time ends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from throughtime._duration import duration_text
from throughtime.errors import ShapeError
from throughtime.learn.tune.budget import Clock
from throughtime.learn.tune.lines import Narrator
from throughtime.learn.tune.plan import Plan
from throughtime.learn.tune.trials import Trial, best_first

if TYPE_CHECKING:
    from throughtime.learn.tune.session import Session


def run_trials(session: "Session", plan: Plan, narrator: Narrator) -> None:
    """Run the trials that are left of a plan.

    Raises
    ------
    ShapeError
        If the time ends before the first trial does.
    KeyboardInterrupt
        After Ctrl-C.
    """
    from throughtime.learn.tune.watch import OutOfTime

    trials = session.trials()
    narrator.begin(session.space.models, session.metric)
    for trial in trials:
        _tell(narrator, trial, trials[: trial.number + 1], session.metric)
    clock = Clock.after(trials, plan.seconds)
    while (step := plan.next_step(trials, clock.spent())) is not None:
        reserve = _best_seconds(trials, session.metric)
        try:
            if trials and clock.left(reserve) <= 0:
                return
            trial = session.run(step, clock.deadline(reserve))
        except OutOfTime as out_of_time:
            if trials:
                return
            raise _too_small(plan, session.space.models[0], out_of_time.epoch_seconds) from None
        trials.append(trial)
        _tell(narrator, trial, trials, session.metric)


def _tell(narrator: Narrator, trial: Trial, trials: Sequence[Trial], metric: str) -> None:
    best = best_first(trials, metric)[:1] == [trial]
    narrator.trial(trial, metric, best=best)


def _best_seconds(trials: Sequence[Trial], metric: str) -> float:
    """Return the time of the best trial, which the best run takes, too."""
    return next((trial.outcome.seconds for trial in best_first(trials, metric)), 0.0)


def _too_small(plan: Plan, model: str, epoch_seconds: float) -> ShapeError:
    needed = 2 * plan.few * epoch_seconds
    return ShapeError(
        f"--budget of {duration_text(plan.seconds or 0)} is too small: an epoch of {model} takes about "
        f"{duration_text(epoch_seconds)}, and the first trial and the best run have {plan.few} each; give at "
        f"least {duration_text(needed)}, or fewer --epochs"
    )
