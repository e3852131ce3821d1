"""What a model is bad at: families of operators, lengths of windows, and confused pairs of operators."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.families import FAMILIES
from throughtime.demo.operators.replacement import shown_operators
from throughtime.demo.operators.sites import NUMBER, operator_name
from throughtime.report import ConfusedPair, GroupAccuracy, Mistakes

_LENGTHS = 5
"""Number of groups by length, of about equal size."""
_FEWEST = 15
"""Examples of a pair of operators at least; with fewer its rate means little."""
_PAIRS = 6


@dataclass(frozen=True)
class TestSites:
    """The test windows as arrays of one entry each: author's and shown operator, replaced or not, length."""

    written: NDArray[np.int64]
    shown: NDArray[np.int64]
    replaced: NDArray[np.bool_]
    lengths: NDArray[np.int64]

    __test__ = False

    @classmethod
    def of(cls, source: PythonOperators) -> "TestSites":
        """Return the arrays of a data set."""
        sites, test = source.sites["test"], source.test
        return cls(
            sites.operators.numpy(),
            shown_operators(test.inputs, source.vocabulary).numpy(),
            source.replaced.numpy() == 1,
            test.inputs.lengths.numpy(),
        )


def mistakes(name: str, correct: NDArray[np.bool_], sites: TestSites) -> Mistakes:
    """Return the weaknesses of one model.

    Parameters
    ----------
    name
        Name of the model.
    correct : ndarray
        (B,) bool: whether each test window was classified correctly.
    sites
        The test windows.
    """
    groups = [
        _accuracy(", ".join(family), correct[np.isin(sites.written, [NUMBER[name] for name in family])])
        for family in FAMILIES
    ]
    lengths = [_accuracy(label, correct[chosen]) for label, chosen in _by_length(sites.lengths)]
    groups, lengths = [[g for g in part if g.count] for part in (groups, lengths)]
    return Mistakes(name, _summary(correct, sites, groups), groups, lengths, _pairs(correct, sites))


def _accuracy(group: str, correct: NDArray[np.bool_]) -> GroupAccuracy:
    count, right = len(correct), int(correct.sum())
    if not count:
        return GroupAccuracy(group, 0, 0.0, 0.0, 1.0)
    interval = binomtest(right, count).proportion_ci(method="wilson")
    return GroupAccuracy(group, count, right / count, interval.low, interval.high)


def _by_length(lengths: NDArray[np.int64]) -> Iterable[tuple[str, NDArray[np.bool_]]]:
    bounds = np.unique(np.quantile(lengths, np.linspace(0, 1, _LENGTHS + 1)[1:], method="lower"))
    first = int(lengths.min())
    for last in bounds.tolist():
        yield f"{first} to {last}" if last > first else str(last), (lengths >= first) & (lengths <= last)
        first = last + 1


def _pairs(correct: NDArray[np.bool_], sites: TestSites) -> list[ConfusedPair]:
    """Return the pairs (author's operator, shown operator) that are most often classified wrongly."""
    keys, inverse = np.unique(np.stack([sites.written, sites.shown]), axis=1, return_inverse=True)
    count = np.bincount(inverse.ravel())
    wrong = np.bincount(inverse.ravel(), ~correct)
    pairs = [
        ConfusedPair(operator_name(int(written)), operator_name(int(shown)), int(n), int(w))
        for (written, shown), n, w in zip(keys.T, count, wrong, strict=True)
        if n >= _FEWEST
    ]
    return sorted(pairs, key=lambda pair: -pair.rate)[:_PAIRS]


def _summary(correct: NDArray[np.bool_], sites: TestSites, groups: Sequence[GroupAccuracy]) -> str:
    missed, alarms = (float((~correct[part]).mean()) for part in (sites.replaced, ~sites.replaced))
    worst, best = min(groups, key=lambda g: g.accuracy), max(groups, key=lambda g: g.accuracy)
    return (
        f"It misses {100 * missed:.0f} % of the replaced operators and takes {100 * alarms:.0f} % of the "
        f"original ones for replaced. Its worst family is “{worst.group}” ({100 * worst.accuracy:.0f} % "
        f"correct), its best “{best.group}” ({100 * best.accuracy:.0f} %)."
    )
