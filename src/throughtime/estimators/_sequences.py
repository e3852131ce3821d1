"""Sequences as estimators take them: arrays whose rows are univariate series, or anything of `as_table`."""

from collections.abc import Mapping
from numbers import Number
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from throughtime._words import counted
from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.ragged import Ragged

_NUMBERS = "biufc"


def is_matrix(data: Any, *, columns: bool) -> bool:
    """Return whether data are rows of numbers, which scikit-learn's rules for arrays hold for.

    Parameters
    ----------
    data
        What was given as X.
    columns : bool
        Whether the user names columns of a data frame.
    """
    if hasattr(data, "tocsr"):
        return True
    if isinstance(data, Mapping | Ragged | Table | str) or columns:
        return False
    if isinstance(data, list | tuple):
        return _is_list_of_rows(data)
    if not hasattr(data, "__array__"):
        return False
    array = _as_array(data)
    if hasattr(data, "columns"):
        return array.dtype.kind in _NUMBERS and array.ndim == 2
    return _is_array_of_rows(array)


def _as_array(data: Any) -> Any:
    return data.detach().cpu().numpy() if isinstance(data, torch.Tensor) else np.asarray(data)


def _is_array_of_rows(array: Any) -> bool:
    if array.dtype.kind == "O":
        items = array.ravel()[:1000]
        return array.ndim == 2 and not all(isinstance(item, str | list | np.ndarray) for item in items)
    return array.dtype.kind in _NUMBERS and array.ndim < 3


def _is_list_of_rows(data: Any) -> bool:
    if all(isinstance(item, Number) for item in data):
        return True
    if not all(isinstance(row, list | tuple) for row in data) or len({len(row) for row in data}) != 1:
        return False
    values = [value for row in data for value in row]
    return all(isinstance(value, Number) for value in values) and any(
        isinstance(value, float) for value in values
    )


def with_columns(table: Table, columns: Mapping[str, Any]) -> Table:
    """Return a table with further columns, such as targets.

    Raises
    ------
    DataError
        If their number of rows differs.
    """
    content = table.content
    for name, values in columns.items():
        if len(values) != len(table):
            raise DataError(
                f"{table.name} has {counted(len(table), 'sequence')}, but y has "
                f"{counted(len(values), 'target')}; give one for each"
            )
        content = content.append_column(name, pa.array(values))
    return Table(content, table.name, table.unit, table.numbers, table.places)


def without_column(table: Table, name: str) -> Table:
    """Return a table without a column, if it has that."""
    if name not in table.names:
        return table
    return Table(table.content.drop_columns([name]), table.name, table.unit, table.numbers, table.places)


def free_name(table: Table, name: str) -> str:
    """Return a name that no column of a table has."""
    while name in table.names:
        name += "_"
    return name
