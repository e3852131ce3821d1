"""Intervals of means of proportions over classes, such as the balanced accuracy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

_Z = 1.959963984540054  # the 97.5th percentile of the normal distribution


@dataclass(frozen=True, eq=False)
class ClassProportions:
    """A metric that is the mean of proportions of classes, or of an increasing function of them.

    Parameters
    ----------
    successes, trials : ndarray
        (C,) float64: successes and trials of each class, such as its examples and those that are predicted
        correctly. The proportion of a class without trials is 0.
    function : callable, optional
        Maps proportions to what the mean is taken of, by default the proportions themselves. It increases.

    Examples
    --------
    >>> recalls = ClassProportions(np.array([90.0, 3.0]), np.array([100.0, 3.0]))
    >>> low, high = recalls.interval()
    >>> round(low, 3), round(high, 3)
    (0.667, 0.972)
    """

    successes: Values
    trials: Values
    function: Callable[[Values], Values] = np.positive

    def interval(self) -> tuple[float, float]:
        r"""Return the ends of a 95 % interval, from the Wilson interval of each class.

        With the values v, the ends l and u of the classes and their mean m, it is from
        m − √(Σ (v − l)²) / C to m + √(Σ (u − v)²) / C [1]_, which takes classes to be independent.

        References
        ----------
        .. [1] G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general
           approach", Stat. Med. 27 (2008), equations 6 and 7, there for differences.
        """
        low, high = wilson_bounds(self.successes, self.trials)
        rates = self.successes / np.maximum(self.trials, 1)
        known = self.trials > 0
        values, lows, highs = map(self.function, (rates, np.where(known, low, 0), np.where(known, high, 0)))
        mean, count = values.mean(), len(values)
        return (
            float(mean - np.sqrt(np.square(values - lows).sum()) / count),
            float(mean + np.sqrt(np.square(highs - values).sum()) / count),
        )


def wilson_bounds(successes: Values, trials: Values) -> tuple[Values, Values]:
    """Return the ends of the Wilson score intervals of proportions; 0 and 1 without trials.

    See `throughtime.tasks.intervals.wilson_interval`.
    """
    square = _Z * _Z
    centre = (successes + square / 2) / (trials + square)
    half = _Z / (trials + square) * np.sqrt(successes * (1 - successes / np.maximum(trials, 1)) + square / 4)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def f1_of_shares(shares: Values) -> Values:
    """Return F1 = 2 j / (1 + j) of the share j of true positives among those and all errors of a class."""
    return 2 * shares / (1 + shares)
