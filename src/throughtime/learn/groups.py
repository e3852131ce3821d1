"""Groups of rows, as numbers."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from throughtime.data.table import Table


def group_numbers(tables: Sequence[Table], column: str) -> NDArray[np.int64]:
    """Return a number for each row of several tables, one after the other; equal values have the same."""
    values = pa.chunked_array([chunk for table in tables for chunk in table.column(column).chunks])
    coded = pc.dictionary_encode(values).unify_dictionaries()
    return np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in coded.chunks])
