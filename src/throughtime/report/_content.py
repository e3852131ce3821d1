"""What a report shows, as plain data: no model, no figure, nothing that computes."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelRow:
    """One line of the table of models."""

    name: str
    accuracy: float
    low: float
    """Lower end of the 95 % interval of the accuracy."""
    high: float
    parameters: int | None = None
    seconds: float | None = None
    """Time of training."""
    tokens_per_second: float | None = None


@dataclass(frozen=True)
class Curve:
    """The history of one training, a value per epoch."""

    name: str
    train_loss: Sequence[float]
    validation_loss: Sequence[float]
    train_accuracy: Sequence[float]
    validation_accuracy: Sequence[float]


@dataclass(frozen=True)
class Example:
    """One classified sequence; ``marked`` is the part that the question is about, if there is one."""

    before: str
    marked: str
    after: str
    truth: str
    predicted: str
    probability: float
    """Of the predicted class."""
    where: str = ""


@dataclass(frozen=True)
class ReportContent:
    """All that the page says."""

    title: str
    question: str
    models: Sequence[ModelRow]
    curves: Sequence[Curve]
    right: Sequence[Example]
    wrong: Sequence[Example]
    examples_of: str
    """Name of the model whose examples are shown."""
    facts: Sequence[tuple[str, str]] = field(default=())
    """What the data is made of, and further figures: name and value."""
    notes: Sequence[str] = field(default=())
