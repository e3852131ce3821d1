"""Classification: one of two or more classes for each sequence."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime._options import Option
from throughtime.data.table import Table
from throughtime.errors import ShapeError
from throughtime.tasks.calibration import calibration_bins, fit_temperature
from throughtime.tasks.intervals import WeightedMetrics
from throughtime.tasks.labels import class_names, encode_classes, one_column
from throughtime.tasks.metrics import METRICS, classification, per_class_metrics
from throughtime.tasks.outputs import Outputs
from throughtime.tasks.sequence_task import SequenceTask
from throughtime.tasks.task import Level
from throughtime.tasks.thresholds import fit_threshold, require_criterion
from throughtime.tasks.views import (
    SHOWN_CLASSES,
    ClassTable,
    ExampleView,
    Histogram,
    TargetView,
    TaskViews,
    confusion,
    groups,
    highest,
    histogram,
    roc_curve,
)


@dataclass(frozen=True)
class Classification(SequenceTask):
    """Cross-entropy of the softmax of C logits.

    Parameters
    ----------
    classes : tuple of str
        Names of the C classes, in the order of the logits.
    calibrate : bool
        Whether to choose the temperature on validation after training (Guo et al. 2017, section 4.2).
    threshold_metric : str or None
        Of two classes, the metric by which the threshold is chosen on validation after training.
    temperature : float
        Logits are divided by it for probabilities.
    threshold : float or None
        Of two classes, the second is predicted from this probability on; None is the more probable one.
    """

    name: ClassVar[str] = "classification"
    level: ClassVar[Level] = "sequence"
    default_models: ClassVar[Mapping[str, str]] = {"tokens": "textcnn", "series": "fcn"}
    blends: ClassVar[bool] = True
    monitor: ClassVar[str] = "accuracy"
    shown: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    has_classes: ClassVar[bool] = True

    classes: tuple[str, ...]
    calibrate: Annotated[
        bool, Option("Scale probabilities by a temperature that is chosen on validation.")
    ] = False
    threshold_metric: Annotated[
        str | None,
        Option("Metric by which the decision threshold is chosen on validation.", metavar="METRIC"),
    ] = None
    temperature: float = 1.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes):
            raise ShapeError("two of the classes have the same name")
        if not 0 < self.temperature < math.inf:
            raise ShapeError(f"temperature must be positive, got {self.temperature}")
        if self.threshold_metric is not None:
            require_criterion(self.threshold_metric)
        if len(self.classes) != 2 and (self.threshold, self.threshold_metric) != (None, None):
            raise ShapeError(f"a threshold needs two classes, got {len(self.classes)}")

    @property
    def outputs(self) -> int:
        """C."""
        return len(self.classes)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of `throughtime.tasks.metrics.classification_metrics`."""
        names = (*self.shown, "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro")
        binary = ("precision", "recall", "f1") if len(self.classes) == 2 else ()
        return (*names, *binary, "roc_auc", "average_precision", "calibration_error")

    @property
    def headline(self) -> tuple[str, ...]:
        """Accuracy, F1 of the second of two classes or the mean over more, area under the ROC curve."""
        f1 = "f1" if len(self.classes) == 2 else "f1_macro"
        return ("accuracy", "balanced_accuracy", f1, "roc_auc")

    @classmethod
    def learn(cls, table: Table, columns: Sequence[str]) -> Self:
        """Return the task with the sorted labels of a column as classes."""
        return cls(class_names(table, one_column(cls.name, columns)))

    def encode(self, table: Table, columns: Sequence[str]) -> Tensor:
        """Return the class numbers (B,) int64."""
        return encode_classes(table, one_column(self.name, columns), self.classes)

    def score(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy, and whether the most probable class is right."""
        del model
        logits = _logits(outputs)
        losses = F.cross_entropy(logits, targets, reduction="none")
        return {"loss": losses, "accuracy": logits.detach().argmax(1) == targets}

    def measures(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> WeightedMetrics:
        """Return all metrics, with temperature and threshold."""
        del model
        probabilities = self.probabilities(outputs).numpy()
        return classification(probabilities, targets.numpy(), self.classes, threshold=self.threshold)

    @property
    def probability_names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    def probabilities(self, outputs: Outputs) -> Tensor:
        """Return the probabilities (B, C) of logits, float64."""
        return (_logits(outputs).double() / self.temperature).softmax(1)

    def decided(self, probabilities: Tensor) -> Tensor:
        """Return the predicted classes (B,)."""
        if self.threshold is None:
            return probabilities.argmax(1)
        return (probabilities[:, 1] >= self.threshold).long()

    def predictions(self, model: nn.Module, outputs: Outputs) -> dict[str, Any]:
        """Return the label, its probability, and the probabilities of all classes."""
        del model
        probabilities = self.probabilities(outputs)
        labels = self.decided(probabilities)
        columns = {f"probability_{name}": probabilities[:, i].tolist() for i, name in enumerate(self.classes)}
        of_label = probabilities.gather(1, labels[:, None])[:, 0].tolist()
        return {"label": [self.classes[i] for i in labels.tolist()], "probability": of_label} | columns

    def views(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> TaskViews:
        """Return the metrics of each class, the confusion matrix, calibration, and single examples."""
        del model
        probabilities = self.probabilities(outputs)
        truth, predicted = targets.numpy(), self.decided(probabilities).numpy()
        confidence = probabilities.numpy()[np.arange(len(truth)), predicted]
        right = predicted == truth

        def example(row: int) -> ExampleView:
            names = self.classes[truth[row]], self.classes[predicted[row]]
            return ExampleView(row, *names, f"probability {METRICS['accuracy'].text(confidence[row])}")

        binary = len(self.classes) == 2
        positive = probabilities.numpy()[:, -1]
        table = per_class_metrics(probabilities, truth, self.classes, threshold=self.threshold)
        return TaskViews(
            (ClassTable("class", table),),
            confusion(self.classes, truth, predicted, SHOWN_CLASSES),
            calibration_bins(confidence, right),
            histograms=(self._scores(positive, truth),) if binary else (),
            roc=roc_curve(positive, truth == 1) if binary else None,
            examples=groups(
                ("Most certain mistakes", map(example, highest(confidence, ~right))),
                ("Least certain predictions", map(example, highest(-confidence))),
            ),
        )

    def _scores(self, positive: NDArray[np.float64], truth: NDArray[np.int64]) -> Histogram:
        by_class = {f"true class {name}": positive[truth == i] for i, name in enumerate(self.classes)}
        threshold = 0.5 if self.threshold is None else self.threshold
        return histogram(f"probability of class {self.classes[1]}", by_class, threshold)

    def target_view(self, targets: Tensor) -> TargetView:
        """Return the number of examples of each class."""
        counts = torch.bincount(targets, minlength=len(self.classes)).tolist()
        return TargetView(dict(zip(self.classes, counts, strict=True)))

    def tuned(self, model: nn.Module, outputs: Outputs, targets: Tensor) -> Self:
        """Return the task with the temperature and, of two classes, the threshold chosen on validation."""
        del model
        task = self
        if self.calibrate:
            task = replace(self, temperature=fit_temperature(_logits(outputs).numpy(), targets.numpy()))
        if self.threshold_metric is None:
            return task
        positive = task.probabilities(outputs)[:, 1].numpy()
        return replace(task, threshold=fit_threshold(positive, targets.numpy() == 1, self.threshold_metric))


def _logits(outputs: Outputs) -> Tensor:
    if not isinstance(outputs, torch.Tensor):
        raise ShapeError("classification needs logits (B, C), got outputs of every step")
    return outputs
