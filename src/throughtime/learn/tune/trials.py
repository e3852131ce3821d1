"""`Trial`: one training of a hyper-parameter search, as it is stored in the study."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from throughtime._fields import Fields, Number, Positive, to_json
from throughtime.tasks import METRICS

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

_ATTRIBUTE = "throughtime"

State = Literal["complete", "pruned", "not finite"]
"""How a trial ended; one that is not finite had a loss that is infinite or NaN."""


@dataclass(frozen=True)
class Outcome:
    """What the training of a trial gave.

    Parameters
    ----------
    state : "complete", "pruned" or "not finite"
        How it ended.
    value : float
        The monitored metric on validation of its best epoch; NaN if there was none.
    loss : float
        The loss on validation of that epoch, which decides between equal values.
    best_epoch : int or None
        That epoch.
    epochs_trained : int
        Number of epochs that were trained.
    seconds : float
        Time that it took.
    """

    state: State
    value: Number
    loss: Number
    best_epoch: int | None
    epochs_trained: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Parameters
    ----------
    number : int
        Number in the study, from 0.
    model : str
        Name of the model.
    options : mapping
        Values of the options that were searched.
    epochs : int
        Number of epochs that it was meant to have.
    repeats : int or None
        Number of the trial with fewer epochs whose model and options it repeats.
    outcome : Outcome
        Its result.
    """

    number: int
    model: str
    options: Mapping[str, Any]
    epochs: int
    repeats: int | None
    outcome: Outcome

    @property
    def complete(self) -> bool:
        """Whether it was trained to its end."""
        return self.outcome.state == "complete"


@dataclass(frozen=True)
class UserAttributes:
    """What the study stores of a trial beside Optuna's own entries."""

    epochs: Positive
    repeats: int | None
    outcome: Outcome

    def store(self, trial: "OptunaTrial") -> None:
        """Set the attributes of a trial of Optuna."""
        trial.set_user_attr(_ATTRIBUTE, to_json(self))

    @classmethod
    def of(cls, trial: "FrozenTrial") -> "UserAttributes":
        """Return the attributes of a trial of Optuna; raises ValueError if one is missing or wrong."""
        return Fields(trial.user_attrs.get(_ATTRIBUTE), f"{_ATTRIBUTE}.").dataclass(cls)


def best_first(trials: Iterable[Trial], metric: str) -> list[Trial]:
    """Return the complete trials, the best first; equal values are decided by the loss, then the number.

    Examples
    --------
    >>> def trial(number, value, loss):
    ...     return Trial(number, "gru", {}, 5, None, Outcome("complete", value, loss, 1, 5, 1.0))
    >>> trials = [trial(0, 0.8, 0.5), trial(1, 0.9, 0.4), trial(2, 0.9, 0.3)]
    >>> [trial.number for trial in best_first(trials, "accuracy")]
    [2, 1, 0]
    """
    sign = -1.0 if METRICS[metric].better == "higher" else 1.0

    def rank(trial: Trial) -> tuple[float, float, int]:
        value = trial.outcome.value
        return math.inf if math.isnan(value) else sign * value, trial.outcome.loss, trial.number

    return sorted((trial for trial in trials if trial.complete), key=rank)
