"""Multi-label classification: any number of labels for each sequence."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime._options import Option, named
from throughtime.data.columns import short
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError
from throughtime.tasks.intervals import WeightedMetrics
from throughtime.tasks.labels import MOST_CLASSES
from throughtime.tasks.metrics import METRICS, multilabel, per_label_metrics
from throughtime.tasks.outputs import Outputs
from throughtime.tasks.sequence_task import SequenceTask
from throughtime.tasks.task import Level
from throughtime.tasks.thresholds import fit_threshold, require_criterion
from throughtime.tasks.views import ClassTable, ExampleView, TargetView, TaskViews, groups, highest

SEPARATORS = ("|", ";", ",")
"""Separators of labels in a text, in the order in which they are looked for."""


@dataclass(frozen=True)
class MultiLabel(SequenceTask):
    """Binary cross-entropy of L logits, the mean over the labels.

    Targets are one column with a list of labels per row (a list, a JSON list, or a text with labels
    separated by ``|``, ``;`` or ``,``), or several columns of 0 and 1, one for each label.

    Parameters
    ----------
    labels : tuple of str
        Names of the L labels, in the order of the logits.
    threshold_metric : str or None
        Metric by which the threshold of each label is chosen on validation after training.
    thresholds : tuple of float
        Probability from which each label is predicted; empty for 0.5, or chosen on validation.
    """

    name: ClassVar[str] = "multilabel"
    level: ClassVar[Level] = "sequence"
    default_models: ClassVar[Mapping[str, str]] = {"tokens": "textcnn", "series": "fcn"}
    blends: ClassVar[bool] = True
    monitor: ClassVar[str] = "loss"
    shown: ClassVar[tuple[str, ...]] = ("loss",)

    labels: tuple[str, ...]
    threshold_metric: Annotated[
        str | None,
        Option("Metric by which the threshold of each label is chosen on validation.", metavar="METRIC"),
    ] = None
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ShapeError("two of the labels have the same name")
        if self.threshold_metric is not None:
            require_criterion(self.threshold_metric)
        if self.thresholds and len(self.thresholds) != len(self.labels):
            raise ShapeError(f"{len(self.labels)} labels have {len(self.thresholds)} thresholds")

    @property
    def outputs(self) -> int:
        """L."""
        return len(self.labels)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of `throughtime.tasks.metrics.multilabel_metrics`."""
        of_labels = ("f1_micro", "f1_macro", "precision_micro", "recall_micro", "precision_macro")
        return (
            "loss", "subset_accuracy", "hamming_loss", *of_labels, "recall_macro", "roc_auc",
            "average_precision",
        )  # fmt: skip

    @property
    def headline(self) -> tuple[str, ...]:
        """F1 over all labels first."""
        return ("f1_micro", "f1_macro", "subset_accuracy", "average_precision")

    @classmethod
    def learn(cls, table: Table, columns: Sequence[str]) -> Self:
        """Return the task with the labels of the training rows."""
        if len(columns) > 1:
            return cls(tuple(columns))
        parts = table.chunks()
        labels = sorted({label for part in parts for row in _label_lists(part, columns[0]) for label in row})
        if not labels:
            raise DataError(
                f"{table.name}: no row has a label in column {columns[0]!r}; choose another column"
            )
        if len(labels) > MOST_CLASSES:
            raise DataError(
                f"{table.name}: column {columns[0]!r} has {len(labels):,} different labels, at most "
                f"{MOST_CLASSES:,} are supported; merge rare ones"
            )
        return cls(tuple(labels))

    @classmethod
    def without_target(cls, table: Table, columns: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows that lack a target, counted from 0: a blank text is an empty list of labels."""
        if len(columns) > 1:
            return super().without_target(table, columns)
        return np.flatnonzero(table.column(columns[0]).is_null().to_numpy())

    def encode(self, table: Table, columns: Sequence[str]) -> Tensor:
        """Return (B, L) float32, 1 where a row has the label."""
        if len(columns) > 1:
            return torch.stack([_indicator(table, column) for column in columns], 1)
        numbers = {name: number for number, name in enumerate(self.labels)}
        targets = torch.zeros(len(table), len(self.labels))
        for row, labels in enumerate(_label_lists(table, columns[0])):
            for label in labels:
                if label not in numbers:
                    shown = ", ".join(self.labels[:10]) + (", …" if len(self.labels) > 10 else "")
                    raise DataError(
                        f"{table.place(row)} has the label {label!r}, which is not one of the training data: "
                        f"{shown}; correct the label or drop the row"
                    )
                targets[row, numbers[label]] = 1.0
        return targets

    def score(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """Return the mean binary cross-entropy over the labels of each sequence."""
        del model
        logits = _of_sequences(outputs)
        losses = F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="none")
        return {"loss": losses.mean(1)}

    def measures(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> WeightedMetrics:
        """Return all metrics at the thresholds."""
        del model
        probabilities = self.probabilities(outputs).numpy()
        return multilabel(probabilities, targets.numpy(), self.labels, self.thresholds or 0.5)

    @property
    def probability_names(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    def probabilities(self, outputs: Outputs) -> Tensor:
        """Return the probabilities (B, L) of logits, float64."""
        return _of_sequences(outputs).double().sigmoid()

    def predictions(self, model: nn.Module, outputs: Outputs) -> dict[str, Any]:
        """Return the list of labels, and the probability of each label."""
        del model
        probabilities = self.probabilities(outputs)
        thresholds = torch.tensor(self.thresholds or [0.5] * len(self.labels), dtype=torch.float64)
        chosen = probabilities >= thresholds
        labels = [[self.labels[i] for i in row.nonzero().flatten().tolist()] for row in chosen]
        columns = {f"probability_{name}": probabilities[:, i].tolist() for i, name in enumerate(self.labels)}
        return {"labels": labels} | columns

    def views(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> TaskViews:
        """Return the metrics of each label, and the examples with the most certain wrong labels."""
        del model
        probabilities, truth = self.probabilities(outputs).numpy(), targets.numpy() == 1
        predicted = probabilities >= np.array(self.thresholds or 0.5)
        wrong = predicted != truth
        certainty = np.where(wrong, np.abs(probabilities - ~predicted), -1.0)

        def example(row: int) -> ExampleView:
            label = int(certainty[row].argmax())
            value = f"{METRICS['accuracy'].text(probabilities[row, label])} for {self.labels[label]}"
            return ExampleView(row, self._joined(truth[row]), self._joined(predicted[row]), value)

        rows = highest(certainty.max(1), wrong.any(1))
        table = per_label_metrics(probabilities, truth, self.labels, self.thresholds or 0.5)
        return TaskViews(
            (ClassTable("label", table),), examples=groups(("Most certain mistakes", map(example, rows)))
        )

    def target_view(self, targets: Tensor) -> TargetView:
        """Return the number of examples with each label."""
        return TargetView(dict(zip(self.labels, targets.sum(0).long().tolist(), strict=True)))

    def _joined(self, chosen: NDArray[np.bool_]) -> str:
        return ", ".join(self.labels[i] for i in np.flatnonzero(chosen)) or "no label"

    def tuned(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> Self:
        """Return the task with a threshold of each label chosen on validation."""
        del model
        if self.threshold_metric is None:
            return self
        probabilities = self.probabilities(outputs).numpy()
        truth = targets.numpy() == 1
        columns = range(len(self.labels))
        chosen = (fit_threshold(probabilities[:, i], truth[:, i], self.threshold_metric) for i in columns)
        return replace(self, thresholds=tuple(chosen))


def _of_sequences(outputs: Outputs) -> Tensor:
    if not isinstance(outputs, torch.Tensor):
        raise ShapeError("multi-label classification needs logits (B, L), got outputs of every step")
    return outputs


def _indicator(table: Table, column: str) -> Tensor:
    values = table.column(column).to_pylist()
    for row, value in enumerate(values):
        if value not in {0, 1, "0", "1"}:
            raise DataError(
                f"{table.place(row)} has {short(repr(value))} in column {column!r}, expected 0 or 1; fix it, "
                "or give one column with lists of labels"
            )
    return torch.tensor([float(value) for value in values])


def _label_lists(table: Table, column: str) -> list[list[str]]:
    """Return the labels of each row of a column of lists or separated texts; none for a blank text."""
    values = table.column(column).to_pylist()
    texts = [value for value in values if isinstance(value, str) and not value.lstrip().startswith("[")]
    separator = next((mark for mark in SEPARATORS if any(mark in text for text in texts)), None)
    return [_labels(value, separator, table, row, column) for row, value in enumerate(values)]


def _labels(value: Any, separator: str | None, table: Table, row: int, column: str) -> list[str]:
    if value is None:
        raise DataError(
            f"{table.place(row)} has no value in column {column!r}; give an empty list for no labels, or "
            f"train with {named('missing_target', 'drop')}"
        )
    if isinstance(value, str):
        value = _parsed(value, separator, table, row, column)
    if not isinstance(value, list):
        raise DataError(
            f"{table.place(row)} has {short(repr(value))} in column {column!r}, expected a list of labels, "
            'such as ["a", "b"] or a|b'
        )
    labels = [str(label).strip() for label in value]
    if any(isinstance(label, list | dict) or label is None for label in value) or "" in labels:
        raise DataError(f"{table.place(row)}: {short(repr(value))} has an empty or nested label; fix it")
    return labels


def _parsed(text: str, separator: str | None, table: Table, row: int, column: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise DataError(
                f"{table.place(row)}: {short(repr(text))} in column {column!r} is not a JSON list ({error}); "
                "fix it, or separate labels by |"
            ) from error
    return [part for part in text.split(separator) if part.strip()] if text.strip() else []
