"""Metrics of a training as frozen dataclasses, and their JSON form."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from throughtime._fields import Fields, Number, Positive, to_json
from throughtime.errors import ShapeError
from throughtime.tasks import METRICS
from throughtime.tasks.intervals import Interval


@dataclass(frozen=True)
class EpochMetrics:
    """Metrics of one epoch, by their names in `throughtime.tasks.METRICS`."""

    epoch: Positive
    """Number of the epoch, from 1."""
    steps: int
    """Number of training steps."""
    train: Mapping[str, Number]
    """Means over the training steps of the epoch, with dropout, while the weights change."""
    validation: Mapping[str, Number]
    """Metrics on the validation examples; NaN where one is undefined."""
    learning_rate: float
    """Learning rate of the last step."""
    tokens: int
    """Number of tokens trained on."""
    seconds: float
    """Training time without validation and saving, summed over all sessions of a resumed training."""

    def __post_init__(self) -> None:
        _check_names("train", self.train)
        _check_names("validation", self.validation)

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on per second."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the metrics as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content | {"tokens_per_second": self.tokens_per_second}

    @classmethod
    def from_json(cls, content: Any, place: str = "") -> "EpochMetrics":
        """Return the metrics that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing or has the wrong type.
        """
        return Fields(content, place).dataclass(cls)


@dataclass(frozen=True)
class Score:
    """Metrics of a model on a number of examples, by their names in `throughtime.tasks.METRICS`."""

    figures: Mapping[str, Number]
    examples: Positive
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """95 % interval of each metric that has one."""

    def __post_init__(self) -> None:
        _check_names("figures", self.figures)

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    @classmethod
    def from_json(cls, content: Any, place: str = "test.") -> "Score":
        """Build the score from JSON values; raises ValueError if one is missing or of the wrong type."""
        return Fields(content, place).dataclass(cls)


@dataclass(frozen=True)
class Metrics:
    """All metrics of a run so far.

    Parameters
    ----------
    history : sequence of EpochMetrics
        One for each finished epoch.
    best_epoch : int or None
        The epoch whose weights are in ``model.safetensors``; None before the first validation.
    stopped : "epochs", "patience" or None
        Why the training ended; None if it is unfinished.
    validation, test : Score or None
        All metrics of the best model on the validation and test examples; None before the training has
        ended, and if there are no test examples.
    tuned : mapping or None
        JSON values of the task with what was chosen on validation after training, such as a threshold.
    """

    history: Sequence[EpochMetrics] = ()
    best_epoch: int | None = None
    stopped: Literal["epochs", "patience"] | None = None
    validation: Score | None = None
    test: Score | None = None
    tuned: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the metrics as JSON values."""
        return {
            "history": [epoch.to_json() for epoch in self.history],
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "validation": to_json(self.validation),
            "test": to_json(self.test),
            "tuned": self.tuned,
        }

    @classmethod
    def from_json(cls, content: Any) -> "Metrics":
        """Return the metrics that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing, has the wrong type, or contradicts another.
        """
        fields = Fields(content)
        history = history_of(fields.items("history"))
        best, stopped = fields.value("best_epoch"), fields.value("stopped")
        if history and best is not None and fields.whole("best_epoch", low=1) > len(history):
            raise ValueError(f"best_epoch = {best} is not one of the {len(history)} epochs of history")
        if not history and (best, stopped) != (None, None):
            raise ValueError("history is empty, but best_epoch or stopped is not null")
        if history and best is None:
            raise ValueError("best_epoch is null, but history has epochs")
        fields.one_of("stopped", ("epochs", "patience", None))
        validation, test = (
            None if fields.value(key) is None else Score.from_json(fields.value(key), f"{key}.")
            for key in ("validation", "test")
        )
        tuned = None if fields.value("tuned") is None else fields.mapping("tuned")
        return cls(history, best, stopped, validation, test, tuned)


def _check_names(part: str, metrics: Mapping[str, float]) -> None:
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ShapeError(f"{part} has an unknown metric {unknown[0]!r}; known are {', '.join(METRICS)}")
    if "loss" not in metrics:
        raise ShapeError(f"{part} has no loss")


def history_of(content: Any) -> tuple[EpochMetrics, ...]:
    """Return the history from JSON values.

    Raises
    ------
    ValueError
        If an entry is missing or has the wrong type, or epochs are not numbered from 1.
    """
    epochs = Fields({"history": content}).items("history")
    history = tuple(EpochMetrics.from_json(epoch, f"history.{i}.") for i, epoch in enumerate(epochs))
    if [epoch.epoch for epoch in history] != list(range(1, len(history) + 1)):
        raise ValueError("the epochs of history are not numbered from 1")
    return history


def best_epoch(history: Sequence[EpochMetrics], monitor: str) -> int | None:
    """Return the epoch that is best on validation; of equal ones that of the lower loss, or the first."""
    if not history:
        return None
    return min(history, key=lambda epoch: _rank(epoch, monitor)).epoch


def _rank(epoch: EpochMetrics, monitor: str) -> tuple[float, float]:
    """Return a sort key that is smallest for the best epoch."""
    value = epoch.validation[monitor]
    if math.isnan(value):
        return math.inf, epoch.validation["loss"]
    return -value if METRICS[monitor].better == "higher" else value, epoch.validation["loss"]
