"""`METRICS`: what every metric is, whether higher or lower is better, and how it is printed."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from throughtime.errors import ShapeError

_ACRONYMS = {
    "f1": "F1", "roc": "ROC", "auc": "AUC", "mae": "MAE", "rmse": "RMSE", "r2": "R²", "nll": "NLL",
}  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """Description of a metric.

    Parameters
    ----------
    name : str
        Key in the dicts of metrics.
    better : "higher" or "lower"
        Which values are better.
    description : str
        One phrase for reports and help texts.
    percent : bool
        Whether it is a fraction that is printed as a percentage.

    Examples
    --------
    >>> METRICS["accuracy"].text(0.8125), METRICS["mae"].text(0.8125)
    ('81.2 %', '0.8125')
    >>> METRICS["loss"].improves(0.3, 0.4), METRICS["token_f1_macro"].title
    (True, 'token F1 macro')
    """

    name: str
    better: Literal["higher", "lower"]
    description: str
    percent: bool = False

    @property
    def title(self) -> str:
        """The name as words."""
        return " ".join(_ACRONYMS.get(word, word) for word in self.name.split("_"))

    def text(self, value: float) -> str:
        """Return a value as text, as a percentage or with at least four significant digits; "–" for NaN."""
        if math.isnan(value):
            return "–"
        if self.percent:
            return f"{100 * value:.1f} %"
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"

    def between(self, low: float, high: float) -> str:
        """Return an interval as text, with three significant digits where it is no percentage."""
        if self.percent:
            return f"{100 * low:.1f}–{100 * high:.1f}"
        return f"{low:.3g}–{high:.3g}"

    def improves(self, value: float, best: float) -> bool:
        """Return whether a value is better than the best so far: NaN never is, and every number beats NaN."""
        if math.isnan(value) or math.isnan(best):
            return math.isnan(best) and not math.isnan(value)
        return value > best if self.better == "higher" else value < best


def _fraction(name: str, description: str) -> Metric:
    return Metric(name, "higher", description, percent=True)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("loss", "lower", "mean loss per example"),
            _fraction("accuracy", "fraction of correct predictions"),
            _fraction("balanced_accuracy", "mean recall of the classes"),
            _fraction("precision", "fraction of positive predictions that are correct"),
            _fraction("recall", "fraction of positive examples that are predicted so"),
            _fraction("f1", "harmonic mean of precision and recall of the positive class"),
            _fraction("precision_macro", "mean precision of the classes"),
            _fraction("recall_macro", "mean recall of the classes"),
            _fraction("f1_macro", "mean F1 of the classes"),
            _fraction("precision_micro", "fraction of predicted labels that are correct"),
            _fraction("recall_micro", "fraction of true labels that are predicted"),
            _fraction("f1_micro", "F1 of all labels together"),
            Metric("roc_auc", "higher", "area under the ROC curve; mean of one class versus the rest"),
            Metric("average_precision", "higher", "area under the precision-recall curve; mean over classes"),
            Metric("calibration_error", "lower", "expected calibration error", percent=True),
            _fraction("subset_accuracy", "fraction of examples with all labels correct"),
            Metric("hamming_loss", "lower", "fraction of wrong labels", percent=True),
            Metric("mae", "lower", "mean absolute error, in units of the target"),
            Metric("rmse", "lower", "root mean squared error, in units of the target"),
            Metric("r2", "higher", "R²: fraction of the target's variance that is explained"),
            _fraction("token_accuracy", "fraction of tokens with the correct tag"),
            _fraction("token_f1_macro", "mean F1 of the tags, by token"),
            _fraction("span_precision", "fraction of predicted spans that are correct"),
            _fraction("span_recall", "fraction of true spans that are predicted"),
            _fraction("span_f1", "F1 of spans"),
            Metric("perplexity", "lower", "exponential of the mean cross-entropy per token"),
            Metric("nll_per_frame", "lower", "negative log-likelihood per frame, in nats"),
            Metric("bits_per_character", "lower", "mean cross-entropy per character, in bits"),
        )
    }
)
"""Every metric by name."""


def require_metric(name: str, known: Iterable[str]) -> Metric:
    """Return the description of a metric if it is one of the known names.

    Parameters
    ----------
    name : str
        Name of the metric, such as the value of ``--monitor``.
    known : iterable of str
        Names of the metrics that a task has.

    Raises
    ------
    ShapeError
        If it is not among them; the message lists them.

    Examples
    --------
    >>> require_metric("mae", ["loss", "mae"]).better
    'lower'
    >>> require_metric("f1", ["loss", "mae"])
    Traceback (most recent call last):
        ...
    throughtime.errors.ShapeError: no metric 'f1' for this task; choose one of loss, mae
    """
    names = list(known)
    if name in names:
        return METRICS[name]
    close = difflib.get_close_matches(name, names, 1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ShapeError(f"no metric {name!r} for this task{hint}; choose one of {', '.join(names)}")
