"""Columns of lists: their lengths, and their elements in a row."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Lists:
    """Elements of all lists, one list after another, and the lengths of the lists (0 for null).

    Parameters
    ----------
    elements : pyarrow.Array
        All elements (T).
    lengths : (B,) int64
        Number of elements of each list.
    """

    elements: pa.Array
    lengths: NDArray[np.int64]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Start of each list and the end of the last, (B + 1,) int64."""
        return np.concatenate(([0], np.cumsum(self.lengths)))

    def position(self, element: int) -> tuple[int, int]:
        """Return the list and the place in it of an element, both counted from 0."""
        row = int(np.searchsorted(self.offsets, element, side="right")) - 1
        return row, element - int(self.offsets[row])


def lists_of(column: pa.ChunkedArray | pa.Array) -> Lists:
    """Return the elements and lengths of a column of lists of any layout; elements are not copied.

    Examples
    --------
    >>> lists = lists_of(pa.array([[1, 2], None, [3]]))
    >>> lists.elements.to_pylist(), lists.lengths.tolist(), lists.position(2)
    ([1, 2, 3], [2, 0, 1], (2, 0))
    """
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    elements = pc.list_flatten(column)
    if isinstance(elements, pa.ChunkedArray):
        elements = elements.combine_chunks()
    return Lists(elements, lengths.astype(np.int64))
