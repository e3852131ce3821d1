"""Anomaly detection: a score for each sequence and step from the surprise of a model of normal sequences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from throughtime._options import Option
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError
from throughtime.models.next_step import NextStep
from throughtime.ragged import Ragged
from throughtime.tasks.intervals import WeightedMetrics
from throughtime.tasks.labels import label_texts, one_column
from throughtime.tasks.metrics import METRICS, anomaly
from throughtime.tasks.outputs import Outputs
from throughtime.tasks.sequence_task import SequenceTask
from throughtime.tasks.task import Level
from throughtime.tasks.thresholds import quantile_threshold
from throughtime.tasks.views import (
    ExampleView,
    StepMark,
    TargetView,
    TaskViews,
    confusion,
    groups,
    highest,
    histogram,
    roc_curve,
)

_KINDS = ("normal", "anomaly")
_NORMAL = {"0", "0.0", "false", "normal", "no", "negative"}


class Surprise(nn.Module):
    """−log p of each step of a sequence, given the steps before it, under a model of the next step.

    The first step is predicted from a zero vector in place of the features of a step before it.

    Parameters
    ----------
    model : NextStep
        A language model, or a forecast of series.
    end : int, optional
        Token that is appended to each sequence, so that a sequence that ends too early is surprising.
    """

    def __init__(self, model: NextStep, end: int | None = None) -> None:
        super().__init__()
        self.model, self.end = model, end

    def forward(self, x: Ragged) -> Ragged:
        """Return (T, 1), or (T + 1, 1) with an end token."""
        x, states = self.before(x)
        return x.with_values(self.model.score(states.values, x.values).losses[:, None])

    def before(self, x: Ragged) -> tuple[Ragged, Ragged]:
        """Return the steps, with the end token, and the states (T + 1, D) that each is predicted from."""
        x = x if self.end is None else _with_end(x, self.end)
        features = _shifted(x.with_values(self.model.features(x.values)))
        return x, self.model.states_of(features)


@dataclass(frozen=True)
class Anomaly(SequenceTask):
    """Mean of −log p of the steps of normal sequences.

    The score of a sequence is the sum of the surprise of its steps (``reduce="sum"``), their mean, or the
    largest. A sequence is an anomaly if its score is above the quantile 1 − contamination
    of the scores of validation sequences, which are taken to be normal.

    Parameters
    ----------
    contamination : float
        Fraction of normal sequences above the threshold, from 0 to 0.5.
    reduce : "mean", "sum" or "max"
        How the score of a sequence is made from those of its steps.
    threshold : float or None
        Chosen on validation after training.
    """

    name: ClassVar[str] = "anomaly"
    level: ClassVar[Level] = "next"
    default_models: ClassVar[Mapping[str, str]] = {"tokens": "language", "series": "forecast"}
    monitor: ClassVar[str] = "loss"
    shown: ClassVar[tuple[str, ...]] = ("loss",)
    needs_targets: ClassVar[bool] = False

    contamination: Annotated[
        float, Option("Fraction of normal sequences with a score above the threshold.", low=0, high=0.5)
    ] = 0.01
    reduce: Annotated[
        Literal["max", "mean", "sum"], Option("How the score of a sequence is made from those of its steps.")
    ] = "max"
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.contamination <= 0.5:
            raise ShapeError(f"contamination must be from 0 to 0.5, got {self.contamination}")
        if self.reduce not in _REDUCTIONS:
            raise ShapeError(f"reduce must be one of {', '.join(_REDUCTIONS)}, got {self.reduce!r}")

    @property
    def outputs(self) -> None:
        """None: the input decides."""
        return None

    def shape(self, shape: Mapping[str, int]) -> Mapping[str, int]:
        """Return the shape with a token more for the end of a sequence."""
        if "vocabulary_size" not in shape:
            return shape
        return {**shape, "vocabulary_size": shape["vocabulary_size"] + 1}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The loss; with labels also those of `throughtime.tasks.metrics.anomaly_metrics`."""
        return ("loss", "roc_auc", "average_precision", "precision", "recall", "f1")

    @property
    def headline(self) -> tuple[str, ...]:
        """How well the scores rank anomalies first, then how well the threshold separates them."""
        return ("average_precision", "f1", "precision", "recall")

    def compared_by(self, figures: Mapping[str, float]) -> str:
        """Return the average precision if there are labels, the loss otherwise."""
        return "average_precision" if "average_precision" in figures else "loss"

    @classmethod
    def learn(cls, table: Table, columns: Sequence[str]) -> Self:
        """Return the task; targets, if there are any, are only used to measure it."""
        del table, columns
        return cls()

    def encode(self, table: Table, columns: Sequence[str]) -> Tensor:
        """Return whether each sequence is an anomaly, (B,) bool; none is without a column."""
        if not columns:
            return torch.zeros(len(table), dtype=torch.bool)
        labels = label_texts(table, one_column(self.name, columns))
        return torch.tensor([is_anomaly(label) for label in labels], dtype=torch.bool)

    def trained_on(self, targets: Tensor) -> Tensor:
        """Return the numbers of the normal sequences."""
        normal = (~targets).nonzero().flatten()
        if not len(normal):
            raise DataError("all rows are anomalies; give normal ones to train on")
        return normal

    def complete_model(self, model: nn.Module) -> nn.Module:
        """Return the surprise of a model of the next step."""
        end = getattr(model, "vocabulary_size", None)
        return Surprise(cast("NextStep", model), None if end is None else end - 1)

    def score(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """Return the surprise of each step."""
        del model, targets
        return {"loss": _of_steps(outputs).values[:, 0]}

    def measures(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> WeightedMetrics | None:
        """Return how well the scores tell anomalies, if there are both kinds of sequences."""
        del model
        truth = targets.numpy()
        if truth.all() or not truth.any():
            return None
        return anomaly(self.scores(outputs).numpy(), truth, self.threshold)

    def scores(self, outputs: Outputs) -> Tensor:
        """Return the score of each sequence, (B,) float64; of one without steps 0."""
        steps = _of_steps(outputs)
        return _REDUCTIONS[self.reduce](steps.values[:, 0].double(), steps)

    def predictions(self, model: nn.Module, outputs: Outputs) -> dict[str, Any]:
        """Return whether a sequence is an anomaly, its score, and the surprise of each step."""
        del model
        scores = self.scores(outputs)
        steps = [row[:, 0].tolist() for row in _of_steps(outputs).to_list()]
        return {"anomaly": (scores >= self._threshold).tolist(), "score": scores.tolist(), "surprise": steps}

    def views(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> TaskViews:
        """Return the distribution of scores, the ROC curve, and examples with the surprise of each step."""
        del model
        scores, truth = self.scores(outputs).numpy(), targets.numpy()
        steps = _of_steps(outputs)
        surprise = steps.values if len(steps.values) else torch.zeros(1)
        scale = float(surprise.median()), float(surprise.max())
        labelled = bool(truth.any())
        predicted = scores >= self._threshold

        def example(row: int) -> ExampleView:
            named = _KINDS[int(truth[row])] if labelled else ""
            score = f"score {METRICS['loss'].text(scores[row])}"
            marks = _marks(steps[row][:, 0], *scale)
            return ExampleView(row, named, _KINDS[int(predicted[row])], score, marks)

        by_kind = {name: scores[truth == bool(i)] for i, name in enumerate(_KINDS)}
        shown = [("Highest scores", highest(scores))]
        if labelled:
            shown = [
                ("Normal sequences with the highest scores", highest(scores, ~truth)),
                ("Anomalies with the lowest scores", highest(-scores, truth)),
            ]
        return TaskViews(
            confusion=confusion(_KINDS, truth, predicted) if labelled else None,
            histograms=(
                histogram(
                    "anomaly score",
                    by_kind if labelled else {"sequences": scores},
                    self.threshold,
                ),
            ),
            roc=roc_curve(scores, truth),
            examples=groups(*((title, map(example, rows)) for title, rows in shown)),
        )

    def target_view(self, targets: Tensor) -> TargetView:
        """Return the number of normal sequences and of anomalies."""
        anomalies = int(targets.sum())
        return TargetView(dict(zip(_KINDS, (len(targets) - anomalies, anomalies), strict=True)))

    def tuned(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> Self:
        """Return the task with the threshold for the scores of normal validation sequences."""
        del model
        normal = self.scores(outputs)[~targets]
        if not len(normal):
            raise DataError(
                "all validation sequences are anomalies; give normal ones to choose the threshold"
            )
        threshold = quantile_threshold(normal.numpy(), self.contamination)
        # Scores that are equal to the quantile are normal, which counts where many scores are equal.
        return replace(self, threshold=float(np.nextafter(threshold, np.inf)))

    @property
    def _threshold(self) -> float:
        return float("inf") if self.threshold is None else self.threshold


def is_anomaly(label: str) -> bool:
    """Return whether a label names an anomaly: any but 0, false, normal, no and negative."""
    return label.strip().lower() not in _NORMAL


def _of_steps(outputs: Outputs) -> Ragged:
    if not isinstance(outputs, Ragged):
        raise ShapeError("anomaly detection needs outputs of every step (T, 1), got one of each sequence")
    return outputs


def _sum(surprise: Tensor, steps: Ragged) -> Tensor:
    total = torch.zeros(len(steps), dtype=torch.float64)
    return total.index_add_(0, steps.layout.sequence_ids, surprise)


def _mean(surprise: Tensor, steps: Ragged) -> Tensor:
    return _sum(surprise, steps) / steps.lengths.clamp(min=1)


def _max(surprise: Tensor, steps: Ragged) -> Tensor:
    largest = torch.zeros(len(steps), dtype=torch.float64)
    return largest.scatter_reduce_(0, steps.layout.sequence_ids, surprise, "amax", include_self=False)


_REDUCTIONS = {"mean": _mean, "sum": _sum, "max": _max}


def _with_end(x: Ragged, end: int) -> Ragged:
    ends = Ragged.from_lengths(x.values.new_full((len(x),), end), torch.ones(len(x), dtype=torch.int64))
    return Ragged.cat_time([x, ends])


def _shifted(features: Ragged) -> Ragged:
    """Return features one step later, with zeros at the first step of each sequence."""
    values = features.values
    shifted = torch.cat([values.new_zeros(1, *values.shape[1:]), values[:-1]]) if len(values) else values
    first = features.offsets[:-1][features.lengths > 0].to(values.device)
    return features.with_values(shifted.index_fill(0, first, 0.0))


def _marks(surprise: Tensor, low: float, high: float) -> tuple[StepMark, ...]:
    """Return the surprise of each step of a sequence, from 0 at the lower to 1 at the upper value."""
    strengths = ((surprise.double() - low) / max(high - low, 1e-12)).clamp(0, 1)
    return tuple(
        StepMark(strength, f"surprise {value:.2f}")
        for strength, value in zip(strengths.tolist(), surprise.tolist(), strict=True)
    )
