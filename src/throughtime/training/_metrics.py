"""The figures of a training, as frozen data that is JSON when written down. Computes no figure itself."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch gave. Losses are mean cross-entropies per example in nats, accuracies from 0 to 1."""

    epoch: int
    """From 1."""
    steps: int
    train_loss: float
    """Over the epoch's own steps, with dropout and while the weights changed."""
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    """At the last step."""
    tokens: int
    """Trained on in this epoch."""
    seconds: float
    """Of training, without validation and saving; of all sittings together if there were several."""

    @property
    def tokens_per_second(self) -> float:
        """Tokens trained on per second."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return dataclasses.asdict(self) | {"tokens_per_second": self.tokens_per_second}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "EpochMetrics":
        """Undo `to_json`."""
        return cls(**{field.name: content[field.name] for field in dataclasses.fields(cls)})


@dataclass(frozen=True)
class Score:
    """How well a model does on a set of examples: mean cross-entropy in nats, accuracy from 0 to 1."""

    loss: float
    accuracy: float
    examples: int


@dataclass(frozen=True)
class Metrics:
    """All figures of a run so far.

    Parameters
    ----------
    history : sequence of EpochMetrics
        One for each epoch that is complete.
    best_epoch : int or None
        Whose weights ``model.safetensors`` holds; None before the first validation.
    stopped : "epochs", "patience" or None
        Why the training ended; None if it has not.
    test : Score or None
        Once the training has ended, if there are test examples.
    """

    history: Sequence[EpochMetrics] = ()
    best_epoch: int | None = None
    stopped: Literal["epochs", "patience"] | None = None
    test: Score | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return {
            "history": [epoch.to_json() for epoch in self.history],
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "test": None if self.test is None else dataclasses.asdict(self.test),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Metrics":
        """Undo `to_json`."""
        return cls(
            history=tuple(EpochMetrics.from_json(epoch) for epoch in content["history"]),
            best_epoch=content["best_epoch"],
            stopped=content["stopped"],
            test=None if content["test"] is None else Score(**content["test"]),
        )


def best_epoch(history: Sequence[EpochMetrics], monitor: str) -> int | None:
    """Return the epoch (from 1) whose model is best on validation; the earliest of equals."""
    if not history:
        return None
    return min(history, key=lambda epoch: _rank(epoch, monitor)).epoch


def _rank(epoch: EpochMetrics, monitor: str) -> tuple[float, float]:
    """Return a key that is smallest for the best epoch."""
    if monitor == "loss":
        return epoch.validation_loss, -epoch.validation_accuracy
    return -epoch.validation_accuracy, epoch.validation_loss


def loss_and_accuracy(loss: float, accuracy: float) -> str:
    """Return the figures of a classifier in words."""
    return f"loss {loss:.4f}  accuracy {accuracy:.1%}"
