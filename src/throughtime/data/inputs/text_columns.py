"""Columns of text: their content, joined where there are several, and rows without text."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from throughtime._options import named
from throughtime.data.inputs.column_kinds import content_of, is_list, is_number, is_text
from throughtime.data.table import Table
from throughtime.errors import DataError

SEPARATOR = "<sep>"
"""Special token between the texts of several columns."""


def text_column(table: Table, name: str) -> pa.ChunkedArray:
    """Return a column of texts, with an empty text for each null.

    Raises
    ------
    DataError
        If there is no such column, or it does not hold texts.

    Examples
    --------
    >>> text_column(Table(pa.table({"price": [1.5, 2.0]}), "shop.csv"), "price")
    Traceback (most recent call last):
        ...
    throughtime.errors.DataError: shop.csv: column 'price' holds numbers (float64), not text; use it beside \
a text or series with numeric='price' (--numeric price), as a series with series='price' (--series price), \
or convert it to text
    """
    column = table.column(name)
    if pa.types.is_null(column.type) or is_text(column.type):
        return column.cast(pa.large_string()).fill_null("")
    raise DataError(
        f"{table.name}: column {name!r} holds {content_of(column.type)}, not text; "
        f"{_instead(column.type, name)}convert it to text"
    )


def _instead(kind: pa.DataType, name: str) -> str:
    if is_number(kind):
        beside, alone = named("numeric", name), named("series", name)
        return f"use it beside a text or series with {beside}, as a series with {alone}, or "
    if is_list(kind):
        option = "series" if is_number(kind.value_type) or is_list(kind.value_type) else "tokens"
        return f"use it with {named(option, name)}, or "
    return ""


def joined_texts(table: Table, columns: Sequence[str]) -> list[str]:
    """Return the text of each row; texts of several columns are joined by `SEPARATOR`.

    Examples
    --------
    >>> joined_texts(Table(pa.table({"title": ["A"], "body": ["b c"]}), "a.csv"), ["title", "body"])
    ['A<sep>b c']
    """
    texts = [text_column(table, name) for name in columns]
    joined = (
        texts[0]
        if len(texts) == 1
        else pc.binary_join_element_wise(*texts, pa.scalar(SEPARATOR, pa.large_string()))
    )
    result: list[str] = joined.to_pylist()
    return result


def rows_without_text(table: Table, columns: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows, counted from 0, that have nothing but white space in all columns.

    Examples
    --------
    >>> rows_without_text(Table(pa.table({"text": ["a", " ", None]}), "a.csv"), ["text"]).tolist()
    [1, 2]
    """
    blank = np.ones(len(table), dtype=bool)
    for name in columns:
        trimmed = pc.utf8_trim_whitespace(text_column(table, name))
        blank &= pc.equal(trimmed, "").to_numpy()
    return np.flatnonzero(blank)
