"""N-gram features of token sequences."""

import numpy as np
import scipy.sparse
from sklearn.preprocessing import normalize

from throughtime.baselines.columns import Integers, KeyColumns, with_unknown
from throughtime.ragged import Ragged


class NGrams:
    """N-gram features of token sequences, as rows of a sparse matrix.

    Parameters
    ----------
    vocabulary_size
        V. Tokens that are not below it are all taken to be the same one.
    longest
        Maximum n; all n-grams from 1 to this length are used.
    counts
        Whether entries are counts of n-grams, instead of 0 and 1.
    unit
        Whether rows are scaled to unit length.
    """

    def __init__(
        self, vocabulary_size: int, longest: int, *, counts: bool = False, unit: bool = True
    ) -> None:
        self._size, self._counts, self._unit = vocabulary_size, counts, unit
        self._lengths = range(1, longest + 1)
        self._columns = KeyColumns()

    def fit(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        """Learn the n-grams that occur at least twice, and return the rows of these sequences."""
        keys, rows = self._keys(tokens)
        self._columns.fit(keys)
        return self._rows(keys, rows, len(tokens))

    def transform(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        """Return the rows of other sequences, ignoring n-grams that were not learned."""
        return self._rows(*self._keys(tokens), len(tokens))

    def _keys(self, tokens: Ragged) -> tuple[Integers, Integers]:
        values, sequence_ids = with_unknown(tokens.values.numpy(), self._size), tokens.sequence_ids().numpy()
        keys: list[Integers] = []
        rows: list[Integers] = []
        for length in self._lengths:
            count = max(0, len(values) - length + 1)
            same_sequence = sequence_ids[:count] == sequence_ids[len(sequence_ids) - count :]
            key = np.zeros(count, dtype=np.int64)
            for i in range(length):
                # Tokens are numbered from 1, so that n-grams of different lengths differ.
                key = key * (self._size + 2) + values[i : i + count] + 1
            keys.append(key[same_sequence])
            rows.append(sequence_ids[:count][same_sequence])
        return np.concatenate(keys), np.concatenate(rows)

    def _rows(self, keys: Integers, rows: Integers, count: int) -> scipy.sparse.csr_matrix:
        matrix = self._columns.matrix(keys, rows, count)
        if not self._counts:
            matrix.data[:] = 1.0
        return normalize(matrix) if self._unit and matrix.shape[1] else matrix
