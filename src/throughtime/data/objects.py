"""`as_table`: Python objects (lists, arrays, frames) as a `Table`, without depending on their libraries.

Frames come through the Arrow PyCapsule protocol (pandas, polars, pyarrow and others), through the older
dataframe interchange protocol, or, for Hugging Face data sets, through their ``with_format("arrow")``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.interchange
import torch
from numpy.typing import NDArray

from throughtime._words import counted
from throughtime.data._unpack import plain_table
from throughtime.data.columns import is_text, short
from throughtime.data.series import column_of_array, series_of_array, series_of_parts
from throughtime.data.table import Table
from throughtime.data.typed_column import typed_column
from throughtime.errors import DataError, InputTypeError
from throughtime.ragged import Ragged

_ACCEPTED = (
    "expected a list of texts, of lists of tokens or of arrays, an array (n, T) or (n, C, T), a dict of "
    "columns, a list of dicts, or a data frame"
)
_INDEX = "__index_level_"
_ARROW_ERRORS = (pa.ArrowException, NotImplementedError, ValueError, TypeError)
_Place = Callable[[int], str]


def as_table(data: object, name: str = "the data") -> Table:
    """Convert a Python object to a table.

    ===============================================  ======================================================
    list or 1-D array of str                         column ``text``
    list of lists of str or int, Ragged of integers  column ``tokens``
    array (n, T), or (n, C, T) for C channels        column ``series``, all of T steps
    list of arrays (T,), or (C, T) for C channels    column ``series``, of any lengths
    list of lists of float, Ragged (T,) or (T, C)    column ``series``
    dict of columns, each one of the above or 1-D    its columns
    list of dicts                                    a column for each key; what a dict lacks is null
    pandas, polars, pyarrow, Hugging Face data       its columns; the index of a pandas frame is left out
    ===============================================  ======================================================

    An array may be a NumPy array, a torch tensor, or any object with ``__array__``. As in aeon and sktime,
    channels come before time in arrays, and in lists of lists of numbers; in a Ragged, in data frames and in
    the table, time comes first. Messages name rows as items, counted from 0.

    Parameters
    ----------
    data
        The object; a `Table` is returned as it is.
    name
        What to call it in messages.

    Raises
    ------
    DataError
        If it has no rows, or if its items differ in kind or number of channels; the message names the item.
    InputTypeError
        If the type is not supported.

    Examples
    --------
    >>> as_table(["to be", "or not"]).column("text").to_pylist()
    ['to be', 'or not']
    >>> as_table([np.array([1.0, 2.0]), np.array([3.0])]).column("series").to_pylist()
    [[1.0, 2.0], [3.0]]
    >>> as_table({"text": ["to be"], "year": [1601]}).names
    ('text', 'year')
    >>> as_table([["to", "be"], ["or", 7]], "X")
    Traceback (most recent call last):
    throughtime.errors.DataError: X: item 1 has a list of numbers and texts in column 'tokens'; give one kind
    """
    if isinstance(data, Table):
        return data
    content = _table(data, name)
    if not content.num_rows:
        raise DataError(f"{name} has no rows; give at least one")
    return Table(content, name, "item", np.arange(content.num_rows))


def _table(data: Any, name: str) -> pa.Table:
    def place(row: int) -> str:
        return f"{name}: item {row}"

    data = data if isinstance(data, Mapping) else _host(data, name)
    if isinstance(data, pa.Table):
        return _without_index(_plain(data, name))
    if isinstance(data, Mapping):
        return _of_columns(data, name, place)
    if isinstance(data, list) and data and all(isinstance(row, Mapping) for row in data):
        return _of_rows(data, place)
    column = _column(data, None, name, place)
    kind = column.type
    if _is_list(kind):
        return pa.table({_name_of(data, kind): column})
    if is_text(kind) or not len(column):
        return pa.table({"text": column})
    raise InputTypeError(f"{name} has items of type {kind}; {_ACCEPTED}")


def _of_columns(data: Mapping[Any, Any], name: str, place: _Place) -> pa.Table:
    columns = {
        str(key): _column(_host(values, f"{name}: column {short(repr(key))}"), str(key), name, place)
        for key, values in data.items()
    }
    first = next(iter(columns), "")
    for key, column in columns.items():
        if len(column) != len(columns[first]):
            raise DataError(
                f"{name}: column {short(repr(key))} has {counted(len(column), 'row')}, but "
                f"{short(repr(first))} has {len(columns[first])}; give all columns the same number"
            )
    return pa.table(columns)


def _of_rows(rows: Sequence[Mapping[Any, Any]], place: _Place) -> pa.Table:
    keys = dict.fromkeys(key for row in rows for key in row)
    return pa.table({str(key): _of_items([row.get(key) for row in rows], str(key), place) for key in keys})


def _without_index(table: pa.Table) -> pa.Table:
    """Leave out the index of a pandas frame, which rows that were selected keep."""
    return table.select([name for name in table.column_names if not name.startswith(_INDEX)])


def _host(data: Any, name: str) -> Any:
    """Return a list, a dict of lists, a NumPy array, an Arrow array or table, or a Ragged."""
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu()
        return data.float().numpy() if data.dtype == torch.bfloat16 else data.numpy()
    if isinstance(data, np.ndarray):
        return data.tolist() if data.dtype == object else data
    if isinstance(data, Ragged | list | pa.Array | pa.ChunkedArray | pa.Table):
        return data
    if (converted := _arrow(data, name)) is not None:
        return converted
    if hasattr(data, "__array__"):
        return _host(np.asarray(data), name)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes):
        return list(data)
    raise InputTypeError(f"{name} is a {type(data).__name__}; {_ACCEPTED}")


def _arrow(data: Any, name: str) -> Any:
    """Return what an object gives through a protocol of frames; None if it has none."""
    try:
        if hasattr(data, "with_format") and hasattr(data, "column_names"):  # Hugging Face
            return data.with_format("arrow")[:]
        if hasattr(data, "__arrow_c_stream__"):
            return _columns_of_structs(pa.chunked_array(data))
        if hasattr(data, "__arrow_c_array__"):
            return _columns_of_structs(pa.chunked_array([pa.array(data)]))
        return pyarrow.interchange.from_dataframe(data) if hasattr(data, "__dataframe__") else None
    except _ARROW_ERRORS as error:
        if hasattr(data, "columns"):  # a list of values shows which one Arrow cannot convert
            return {column: data[column] for column in data.columns}
        if isinstance(data, Iterable):
            return list(data)
        raise _unconvertible(name, error) from error


def _plain(table: pa.Table, name: str) -> pa.Table:
    try:
        return plain_table(table)
    except _ARROW_ERRORS as error:
        raise _unconvertible(name, error) from error


def _unconvertible(name: str, error: Exception) -> InputTypeError:
    return InputTypeError(
        f"{name} cannot be converted to a table by Arrow ({short(str(error))}); convert its columns to "
        "texts, numbers or lists of them"
    )


def _columns_of_structs(column: pa.ChunkedArray) -> "pa.Table | pa.ChunkedArray":
    """Return a stream of structs as a table; another one, such as a Series, is one column."""
    if not pa.types.is_struct(column.type):
        return column
    batches = [pa.RecordBatch.from_struct_array(chunk) for chunk in column.chunks]
    return pa.Table.from_batches(batches, pa.schema(list(column.type)))


def _column(data: Any, column: str | None, name: str, place: _Place) -> Any:
    """Return one column; ``column`` is its name, or None if it is all of the data."""
    where = name if column is None else f"{name}: column {short(repr(column))}"
    if isinstance(data, Ragged):
        return data.to_arrow()
    if isinstance(data, pa.Array | pa.ChunkedArray):
        return _plain(pa.table({"column": data}), where).column(0)
    if isinstance(data, pa.Table | Mapping):
        raise DataError(f"{where} is a table, expected a column; give one table, not a dict of them")
    if isinstance(data, np.ndarray):
        return _of_array(data, where, place, column)
    return _of_items(data, column, place)


def _of_array(data: NDArray[Any], where: str, place: _Place, column: str | None) -> Any:
    if data.dtype.kind == "U":
        return typed_column(data.tolist(), column or ("text" if data.ndim == 1 else "tokens"), place)
    return series_of_array(data, where) if column is None else column_of_array(data, where)


def _of_items(items: Sequence[Any], column: str | None, place: _Place) -> Any:
    hosts = [_item(item, place(row)) for row, item in enumerate(items)]
    if any(isinstance(item, np.ndarray) and item.dtype.kind != "U" for item in hosts):
        return _of_arrays(hosts, place)
    name = column or ("tokens" if any(_is_sequence(item) for item in hosts) else "text")
    return typed_column(hosts, name, place)


def _item(item: Any, place: str) -> Any:
    """Return an item as it is, or as an array if it is a tensor or a list of channels."""
    if not _is_sequence(item):
        return item
    if not _is_list_of_channels(item):
        return _host(item, place)
    try:
        return np.asarray(item)
    except ValueError as error:
        lengths = sorted({len(channel) for channel in item})
        raise DataError(
            f"{place} has channels of {short(', '.join(map(str, lengths)))} steps; give all channels of a "
            "series the same length"
        ) from error


def _is_list_of_channels(item: Any) -> bool:
    channels = (
        isinstance(item, list | tuple) and item and all(isinstance(part, list | tuple) for part in item)
    )
    return bool(channels) and isinstance(next(iter(item[0]), None), int | float)


def _of_arrays(hosts: Sequence[Any], place: _Place) -> pa.Array:
    for row, item in enumerate(hosts):
        if not _is_sequence(item):
            raise DataError(f"{place(row)} is a {type(item).__name__}, but others are arrays; give one kind")
    return series_of_parts([np.asarray(host) for host in hosts], [place(row) for row in range(len(hosts))])


def _is_sequence(item: Any) -> bool:
    if isinstance(item, str | np.generic):
        return False
    return isinstance(item, list | tuple | np.ndarray) or hasattr(item, "__array__")


def _is_list(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_))


def _name_of(data: Any, type_: pa.DataType) -> str:
    """Return the name of a column of lists: tokens are texts, or integers that are not in arrays."""
    value = type_.value_type
    in_arrays = isinstance(data, np.ndarray) or (
        isinstance(data, list)
        and any(not isinstance(item, list | tuple) for item in data if item is not None)
    )
    if pa.types.is_string(value) or pa.types.is_large_string(value):
        return "tokens"
    return "tokens" if pa.types.is_integer(value) and not in_arrays else "series"
