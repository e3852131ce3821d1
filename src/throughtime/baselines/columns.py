"""`KeyColumns`: integer keys, such as those of n-grams, as columns of a sparse matrix."""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class KeyColumns:
    """Sparse counts of the keys that occurred in training.

    Parameters
    ----------
    least : int
        Keys that occur less often in training have no column.
    """

    def __init__(self, least: int = 2) -> None:
        self._least = least
        self._keys: Integers = np.zeros(0, dtype=np.int64)

    def fit(self, keys: Integers) -> None:
        """Learn which keys have a column."""
        distinct, counts = np.unique(keys, return_counts=True)
        self._keys = distinct[counts >= self._least]

    def matrix(self, keys: Integers, rows: Integers, count: int) -> scipy.sparse.csr_matrix:
        """Return how often each learned key occurs in each of ``count`` rows."""
        columns = np.searchsorted(self._keys, keys)
        learned = columns < len(self._keys)
        learned[learned] = self._keys[columns[learned]] == keys[learned]
        entries = (np.ones(int(learned.sum())), (rows[learned], columns[learned]))
        return scipy.sparse.csr_matrix(entries, shape=(count, len(self._keys)))


def with_unknown(tokens: Integers, vocabulary_size: int) -> Integers:
    """Return tokens from 0 to V, where V stands for all that are not below it."""
    return np.minimum(tokens, vocabulary_size)
