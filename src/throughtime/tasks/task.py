"""`Task`: what a model is trained for. The training loop knows this interface and nothing else.

A task says what its targets are, how a batch is scored, which metrics there are, and what the outputs of the
model mean. To add one: a module with a subclass of `Task` or `SequenceTask`, and its line in
``throughtime/tasks/__init__.py``.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from throughtime._fields import Fields, to_json
from throughtime._words import counted
from throughtime.bptt import Carried
from throughtime.data.examples import Source
from throughtime.errors import ShapeError
from throughtime.tasks.intervals import Interval
from throughtime.tasks.metrics import METRICS, require_metric

Level = Literal["sequence", "step", "next"]
"""What a model puts out: a vector for each sequence, a vector for each step, or what the next step is."""
Assessment = tuple[dict[str, float], int, dict[str, Interval]]
"""Metrics, the number of examples that their means are taken over, and 95 % intervals of metrics."""


@dataclass(frozen=True)
class StepValues:
    """Loss and other means of the examples (sequences, tokens or steps) of a batch.

    Parameters
    ----------
    values : mapping of str to Tensor
        (n,) each: "loss" and other metrics that are means over examples.
    weights : Tensor, optional
        (n,): weight of each example in the loss.
    tokens : int
        Number of tokens or steps that were read.
    """

    values: Mapping[str, Tensor]
    weights: Tensor | None = None
    tokens: int = 0

    def __len__(self) -> int:
        return len(self.values["loss"])

    def sums(self) -> dict[str, float]:
        """Return the sum of each metric, without weights."""
        stacked = torch.stack([value.detach().double().sum() for value in self.values.values()])
        return dict(zip(self.values, stacked.tolist(), strict=True))

    def weighted_sums(self) -> dict[str, float]:
        """Return the weighted sum of each metric."""
        if self.weights is None:
            return self.sums()
        weights = self.weights.double()
        return {name: float(value.detach().double() @ weights) for name, value in self.values.items()}

    @property
    def loss(self) -> Tensor:
        """The sum of the losses, each with its weight."""
        losses = self.values["loss"]
        return losses.sum() if self.weights is None else losses @ self.weights.to(losses)

    @property
    def weight(self) -> float:
        """The sum of the weights, by which `loss` is divided for the mean."""
        return float(len(self)) if self.weights is None else float(self.weights.double().sum())


class BatchSettings(Protocol):
    """The settings of a training that decide its batches, see `throughtime.training.Settings`."""

    @property
    def tokens_per_batch(self) -> int:
        """Maximum number of tokens in a batch of sequences."""

    @property
    def seed(self) -> int:
        """Random seed of the batches."""

    @property
    def k1(self) -> int | None:
        """Steps of a window."""

    @property
    def k2(self) -> int | None:
        """Steps that gradients flow back."""

    @property
    def streams(self) -> int | None:
        """Parts of a text that are processed in parallel."""


class Loader(Protocol):
    """Batches of one epoch after another, with a state that resumes at any batch."""

    next_batch: int

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of an epoch."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Task(ABC):
    """What a model is trained for: targets, loss, metrics and predictions.

    Subclasses are frozen dataclasses, whose fields hold what was learned of the targets, such as the names of
    classes, and are saved in the run as JSON.
    """

    name: ClassVar[str]
    """Name on the command line and in runs."""
    level: ClassVar[Level]
    default_models: ClassVar[Mapping[str, str]]
    """The model that is used unless the user names one, for "tokens" and for "series"."""
    blends: ClassVar[bool] = False
    """Whether ``model="auto"`` trains several models and blends their outputs, or the default model."""
    monitor: ClassVar[str] = "loss"
    """The metric on validation that the best epoch is chosen by, unless the user names another."""
    shown: ClassVar[tuple[str, ...]] = ("loss",)
    """Metrics in progress lines; each is among the values of `step`."""

    # ------------------------------------------------------------------ model

    @property
    @abstractmethod
    def outputs(self) -> int | None:
        """Features of the output of the model; None at level "next", where the input decides."""

    def shape(self, shape: Mapping[str, int]) -> Mapping[str, int]:
        """Return the shape of what the model reads, given that of the data."""
        return shape

    def complete_model(self, model: nn.Module) -> nn.Module:
        """Return a model with the parameters that the loss needs, such as those of a CRF."""
        return model

    # ------------------------------------------------------------------- data

    @abstractmethod
    def training_batches(
        self, source: Source, settings: BatchSettings, *, process: int = 0, processes: int = 1
    ) -> Loader:
        """Return the batches of all epochs."""

    @abstractmethod
    def held_out_batches(
        self, source: Source, part: Any, settings: BatchSettings, *, process: int = 0, processes: int = 1
    ) -> Loader:
        """Return the batches of the validation or test examples of a source."""

    @abstractmethod
    def require_usable(self, part: Any, name: str) -> None:
        """Check a part of the data, named as in ``"the validation examples"``.

        Raises
        ------
        DataError
            If it is empty, or a value is infinite or NaN.
        """

    # ------------------------------------------------------------------ steps

    @abstractmethod
    def step(self, model: nn.Module, batch: Any, carried: Carried) -> StepValues:
        """Run a model on a batch and score it; ``carried`` keeps states of windows between batches."""

    @abstractmethod
    def evaluate(
        self, model: nn.Module, source: Source, part: Any, settings: BatchSettings
    ) -> tuple[dict[str, float], int]:
        """Return all metrics of a model on validation or test examples, and the number of these."""

    def assess(self, model: nn.Module, source: Source, part: Any, settings: BatchSettings) -> Assessment:
        """Return what `evaluate` does, with the 95 % interval of each metric that has one."""
        return *self.evaluate(model, source, part, settings), {}

    def tune(
        self, model: nn.Module, source: Source, part: Any, settings: BatchSettings
    ) -> "tuple[Task, Assessment]":
        """Return the task with what is chosen on validation, and what its `assess` returns for it.

        The model reads the examples once.
        """
        return self, self.assess(model, source, part, settings)

    def derived(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return metrics that follow from means over all examples, such as the perplexity from the loss."""
        return dict(means)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that `evaluate` returns and that training can monitor."""
        return self.shown

    @property
    def headline(self) -> tuple[str, ...]:
        """Names of the metrics in the table that ends a training, the most important first."""
        return tuple(name for name in self.metrics if name != "loss") or self.metrics

    def compared_by(self, figures: Mapping[str, float]) -> str:
        """Return the metric by which a model is compared with baselines, unless the user names one."""
        del figures
        return self.monitor

    def require_metric(self, name: str) -> str:
        """Return the name of a metric of this task.

        Raises
        ------
        ShapeError
            If the task has no such metric; the message lists those it has.
        """
        return require_metric(name, self.metrics).name

    def counted(self, count: int, shape: Mapping[str, int], part: str = "") -> str:
        """Return a number of examples with what they are: sequences, or their tokens or steps.

        Parameters
        ----------
        count : int
            The number, such as that of `evaluate`.
        shape : mapping
            What the model reads, see `throughtime.data.examples.Source`.
        part : str
            "test" or "validation", to be named with them.

        Examples
        --------
        >>> from throughtime.tasks import Classification, Language, Tagging
        >>> shape = {"vocabulary_size": 900}
        >>> Classification(("a", "b")).counted(1588, shape), Tagging(("a", "b")).counted(2510, shape)
        ('1,588 sequences', '2,510 tokens')
        >>> Language("character").counted(98, shape, "test")
        '98 test characters'
        """
        return counted(count, f"{part} {self._example(shape)}".lstrip())

    def _example(self, shape: Mapping[str, int]) -> str:
        """Return what one of the examples is that means are taken over."""
        if self.level == "sequence":
            return "sequence"
        return "token" if "vocabulary_size" in shape else "step"

    def describe(self, figures: Mapping[str, float]) -> str:
        """Return the metrics that progress lines show as text."""
        return "  ".join(
            f"{METRICS[name].title} {METRICS[name].text(figures[name])}"
            for name in self.shown
            if name in figures
        )

    # ------------------------------------------------------------------- json

    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON values."""
        content = {field.name: to_json(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {"name": self.name, **content}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the task that `to_json` wrote.

        Raises
        ------
        ValueError
            If an entry is missing, unknown or of the wrong type.
        """
        known = {"name", *(field.name for field in dataclasses.fields(cls))}
        unknown = sorted(set(content) - known)
        if unknown:
            raise ValueError(f"task has an unknown entry {unknown[0]!r}")
        try:
            return Fields(content, "task.").dataclass(cls)
        except ShapeError as error:
            raise ValueError(str(error)) from error


def mean_values(steps: Iterable[StepValues]) -> tuple[dict[str, float], int]:
    """Return the mean of each value over all examples, and their number."""
    totals: dict[str, float] = {}
    count = 0
    for step in steps:
        for name, total in step.sums().items():
            totals[name] = totals.get(name, 0.0) + total
        count += len(step)
    return {name: total / max(1, count) for name, total in totals.items()}, count
