"""`TaskViews`: what a report shows of the outputs of a model, as plain data that each task fills in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.tasks.calibration import CalibrationBin
from throughtime.tasks.metrics import ClassMetrics

MOST_POINTS = 3000
"""Maximum number of points of a scatter plot."""
SHOWN_CLASSES = 30
"""Maximum number of classes in a confusion matrix of a report."""
SHOWN = 6
"""Number of examples in each group."""
_BINS = 30


@dataclass(frozen=True)
class TargetView:
    """Distribution of targets: the number of each class, or the values of each numeric target."""

    counts: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassTable:
    """Precision, recall and F1 by class; ``kind`` is what a row is, such as "tag"."""

    kind: str
    rows: tuple[ClassMetrics, ...]


@dataclass(frozen=True)
class Confusion:
    """Counts (C, C) by true class (rows) and predicted class (columns)."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Histogram:
    """Counts of several groups in the same bins.

    Parameters
    ----------
    title : str
        What is counted.
    edges : tuple of float
        N + 1 edges of the bins.
    groups : mapping of str to tuple of int
        N counts for each group.
    threshold : float or None
        A value to mark.
    """

    title: str
    edges: tuple[float, ...]
    groups: Mapping[str, tuple[int, ...]]
    threshold: float | None = None


@dataclass(frozen=True)
class Scatter:
    """True and predicted values of one target, of at most `MOST_POINTS` examples."""

    name: str
    truth: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class RocCurve:
    """Points of an ROC curve, from (0, 0) to (1, 1)."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


@dataclass(frozen=True)
class StepMark:
    """A highlighted token or step: its strength from 0 to 1, and a note."""

    strength: float
    note: str


@dataclass(frozen=True)
class ExampleView:
    """One example of a report.

    Parameters
    ----------
    row : int
        Index of the example.
    truth, predicted : str
        Target and prediction; an empty truth is not shown.
    value : str
        The probability, error or score.
    marks : tuple of StepMark
        One for each token or step; empty if none is highlighted.
    """

    row: int
    truth: str
    predicted: str
    value: str
    marks: tuple[StepMark, ...] = ()


@dataclass(frozen=True)
class ExampleGroup:
    """Examples with a common title, such as "Most certain mistakes"."""

    title: str
    rows: tuple[ExampleView, ...]


@dataclass(frozen=True)
class TaskViews:
    """What a report shows of outputs and targets; parts that a task does not have are empty.

    Parameters
    ----------
    tables : tuple of ClassTable
        Metrics by class, label, tag or span type.
    confusion : Confusion or None
        Confusion matrix.
    calibration : tuple of CalibrationBin
        Calibration of the probability of the predicted class.
    scatters : tuple of Scatter
        True and predicted values.
    histograms : tuple of Histogram
        Distributions of scores or errors.
    roc : RocCurve or None
        ROC curve of a score.
    examples : tuple of ExampleGroup
        Single examples.
    """

    tables: tuple[ClassTable, ...] = ()
    confusion: Confusion | None = None
    calibration: tuple[CalibrationBin, ...] = ()
    scatters: tuple[Scatter, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    roc: RocCurve | None = None
    examples: tuple[ExampleGroup, ...] = ()


def confusion(
    classes: Sequence[str], truth: ArrayLike, predicted: ArrayLike, most: int | None = None
) -> Confusion:
    """Return the confusion matrix of class numbers, of more than ``most`` classes those with most mistakes.

    Examples
    --------
    >>> confusion(["no", "yes"], [0, 1, 1], [0, 0, 1]).counts
    ((1, 0), (1, 1))
    >>> confusion(["a", "b", "c"], [0, 1, 2, 2], [0, 2, 1, 2], most=2)
    Confusion(classes=('b', 'c'), counts=((0, 1), (1, 1)))
    """
    true, chosen = (np.asarray(numbers, dtype=np.int64) for numbers in (truth, predicted))
    kept = np.arange(len(classes))
    if most is not None and len(classes) > most:
        wrong = true != chosen
        mistakes = np.bincount(np.concatenate([true[wrong], chosen[wrong]]), minlength=len(classes))
        kept = np.sort(np.argsort(-mistakes, kind="stable")[:most])
    place = np.full(len(classes), -1)
    place[kept] = np.arange(len(kept))
    both = (place[true] >= 0) & (place[chosen] >= 0)
    pairs = place[true[both]] * len(kept) + place[chosen[both]]
    counts = np.bincount(pairs, minlength=len(kept) ** 2).reshape(len(kept), len(kept))
    return Confusion(tuple(classes[int(i)] for i in kept), tuple(map(tuple, counts.tolist())))


def histogram(title: str, groups: Mapping[str, ArrayLike], threshold: float | None = None) -> Histogram:
    """Return the counts of each group in common bins of equal width, without groups that are empty.

    Bins of whole numbers have a whole width, and their edges are halfway between numbers.

    Examples
    --------
    >>> histogram("length", {"training": [3, 3, 5], "test": []})
    Histogram(title='length', edges=(2.5, 3.5, 4.5, 5.5), groups={'training': (2, 0, 1)}, threshold=None)
    """
    values = {name: np.asarray(part, dtype=np.float64) for name, part in groups.items()}
    finite = {name: part[np.isfinite(part)] for name, part in values.items()}
    filled = {name: part for name, part in finite.items() if len(part)}
    every = np.concatenate(list(filled.values())) if filled else np.zeros(1)
    edges = _edges(every)
    counts = {name: tuple(np.histogram(part, edges)[0].tolist()) for name, part in filled.items()}
    return Histogram(title, tuple(edges.tolist()), counts, threshold)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (values == np.rint(values)).all():
        return np.histogram_bin_edges(values, _BINS)
    low, high = values.min(), values.max()
    width = np.ceil((high - low + 1) / _BINS)
    return np.asarray(np.arange(low, high + width + 1, width) - 0.5)


def scatter(name: str, truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> Scatter:
    """Return at most `MOST_POINTS` examples, at equal distances in their order."""
    chosen = evenly(len(truth), MOST_POINTS)
    return Scatter(name, tuple(truth[chosen].tolist()), tuple(predicted[chosen].tolist()))


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most so many indices below a count, at equal distances.

    Examples
    --------
    >>> evenly(5, 3), evenly(2, 3)
    (array([0, 2, 4]), array([0, 1]))
    """
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def roc_curve(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> RocCurve | None:
    """Return the ROC curve in at most `MOST_POINTS` points; None if one kind of example is missing.

    Examples
    --------
    >>> roc_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])).true_positive_rate
    (0.0, 0.5, 0.5, 1.0, 1.0)
    """
    if positive.all() or not positive.any():
        return None
    from sklearn.metrics import roc_curve as points

    false_positive, true_positive, _ = points(positive, scores)
    chosen = evenly(len(false_positive), MOST_POINTS)
    return RocCurve(tuple(false_positive[chosen].tolist()), tuple(true_positive[chosen].tolist()))


def highest(
    values: NDArray[np.float64], of: NDArray[np.bool_] | None = None, count: int = SHOWN
) -> list[int]:
    """Return the rows with the highest values, among those of a mask; of equal values the first.

    Examples
    --------
    >>> highest(np.array([0.2, 0.9, 0.9, 0.5]), np.array([True, False, True, True]), count=2)
    [2, 3]
    """
    rows = np.arange(len(values)) if of is None else np.flatnonzero(of)
    return [int(row) for row in rows[np.argsort(-values[rows], kind="stable")[:count]]]


def groups(*named: tuple[str, Iterable[ExampleView]]) -> tuple[ExampleGroup, ...]:
    """Return the groups of examples."""
    return tuple(ExampleGroup(title, tuple(rows)) for title, rows in named)
