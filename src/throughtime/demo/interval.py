"""Confidence interval of an accuracy for clustered examples."""

import numpy as np
from numpy.typing import NDArray

_DRAWS = 4000


def accuracy_interval(
    correct: NDArray[np.bool_], clusters: NDArray[np.int64], seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy by the cluster bootstrap.

    Operators of one file are similar, so an interval that assumes independence is too narrow. Files are drawn
    with replacement, as many as there are, and the accuracy of each draw is computed; the interval is from
    the 2.5th to the 97.5th percentile.

    Parameters
    ----------
    correct : ndarray
        (n,) bool: whether each example was classified correctly.
    clusters : ndarray
        (n,) int64: file of each example.
    seed
        Random seed for the bootstrap.

    References
    ----------
    .. [1] C. A. Field and A. H. Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69 (2007).

    Examples
    --------
    >>> import numpy as np
    >>> right, file = np.arange(100) % 5 > 0, np.arange(100)
    >>> low, high = accuracy_interval(right, file)
    >>> low < 0.8 < high
    True
    """
    _, members = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(members)
    right = np.bincount(members, weights=correct)
    times = np.random.default_rng(seed).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), _DRAWS)
    low, high = np.percentile((times @ right) / (times @ sizes), [2.5, 97.5])
    return float(low), float(high)
