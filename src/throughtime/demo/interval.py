"""Confidence interval of an accuracy for clustered examples."""

import numpy as np
from numpy.typing import NDArray

from throughtime.tasks.intervals import WeightedMetrics


def accuracy_interval(
    correct: NDArray[np.bool_], clusters: NDArray[np.int64], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy by the cluster bootstrap.

    Operators of one file are similar, so an interval that assumes independence is too narrow; whole files are
    drawn, see `throughtime.tasks.intervals.bootstrap_interval`.

    Parameters
    ----------
    correct : ndarray
        (n,) bool: whether each example was classified correctly.
    clusters : ndarray
        (n,) int64: file of each example.
    seed
        Random seed for the bootstrap.

    Examples
    --------
    >>> import numpy as np
    >>> right, file = np.arange(100) % 5 > 0, np.arange(100)
    >>> low, high = accuracy_interval(right, file)
    >>> low < 0.8 < high
    True
    """
    accuracy = WeightedMetrics(len(correct), lambda weights: {"accuracy": correct @ weights / weights.sum(0)})
    interval = accuracy.intervals(groups=clusters, seed=seed)["accuracy"]
    return interval.low, interval.high
