"""`Trial`: one training of a hyper-parameter search, as it is stored in the study."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from throughtime._fields import Fields, Number, Positive, to_json
from throughtime.tasks import METRICS

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

End = Literal["complete", "pruned", "not finite"]
"""How a trial ended; one that is not finite had a loss that is infinite or NaN."""


@dataclass(frozen=True)
class Outcome:
    """What the training of a trial gave.

    Parameters
    ----------
    end : "complete", "pruned" or "not finite"
        How it ended.
    value : float
        The monitored metric on validation of its best epoch; NaN if there was none.
    loss : float
        The loss on validation of that epoch, which decides between equal values.
    best_epoch : int or None
        That epoch.
    trained : int
        Number of epochs that were trained.
    seconds : float
        Time that it took.
    """

    end: End
    value: Number
    loss: Number
    best_epoch: int | None
    trained: int
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
    again : int or None
        Number of the trial with fewer epochs whose model and options it repeats.
    outcome : Outcome
        Its result.
    """

    number: int
    model: str
    options: Mapping[str, Any]
    epochs: int
    again: int | None
    outcome: Outcome

    @property
    def complete(self) -> bool:
        """Whether it was trained to its end."""
        return self.outcome.end == "complete"


@dataclass(frozen=True)
class Note:
    """What the study stores of a trial beside Optuna's own entries."""

    epochs: Positive
    again: int | None
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        """Return the note as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def of(cls, trial: "FrozenTrial") -> "Note":
        """Return the note of a trial of Optuna; raises ValueError if it is missing or wrong."""
        return Fields(trial.user_attrs.get("throughtime"), "throughtime.").dataclass(cls)


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
