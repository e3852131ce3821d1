"""The content of a report, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from throughtime.report._network_content import NetworkViews


@dataclass(frozen=True)
class ModelRow:
    """One row of the table of models."""

    name: str
    accuracy: float
    low: float
    """Lower end of the 95 % interval of the accuracy."""
    high: float
    parameters: int | None = None
    seconds: float | None = None
    """Training time."""
    tokens_per_second: float | None = None


@dataclass(frozen=True)
class Curve:
    """Learning curves of one training: for each metric one value per epoch.

    Parameters
    ----------
    name : str
        Name of the model.
    train, validation : mapping of str to sequence of float
        By names in `throughtime.tasks.METRICS`. Metrics of ``train`` are drawn; without any, those of
        ``validation``.
    """

    name: str
    train: Mapping[str, Sequence[float]]
    validation: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Example:
    """One classified sequence; ``marked`` is the part to classify, if there is one."""

    before: str
    marked: str
    after: str
    truth: str
    predicted: str
    probability: float
    """Probability of the predicted class."""
    where: str = ""


@dataclass(frozen=True)
class LogLine:
    """A line of a log, and what a model of the log expected in its place."""

    text: str
    place: str
    """File and line number."""
    surprise: float
    """−log p of its template, in nats."""
    expected: str
    """The most probable template."""
    probability: float
    is_fault: bool
    """Whether it belongs to a request with the injected fault."""


@dataclass(frozen=True)
class LogView:
    """The most surprising lines of the log of a test suite with an injected fault."""

    tests: int
    """Number of tests that wrote the log."""
    sessions: int
    faulty: int
    """Number of sessions with the fault."""
    lines: Sequence[LogLine]
    """The most surprising first."""
    link: str
    """Address of the page of the whole scan."""

    @property
    def rank(self) -> int | None:
        """Place of the first line with the fault, from 1; None if it is not among the lines."""
        return next((place for place, line in enumerate(self.lines, 1) if line.is_fault), None)


@dataclass(frozen=True)
class ReportContent:
    """The content of the page."""

    title: str
    subtitle: str
    models: Sequence[ModelRow]
    curves: Sequence[Curve]
    right: Sequence[Example]
    wrong: Sequence[Example]
    examples_of: str
    """Name of the model whose predictions are shown."""
    facts: Sequence[tuple[str, str]] = field(default=())
    """Facts about the data and further results, as name and value."""
    notes: Sequence[str] = field(default=())
    networks: NetworkViews | None = None
    """What is shown of the inside of two networks."""
    log: LogView | None = None
