"""Class labels as text: reading a column of them, checks of their number, and encoding."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from throughtime._options import named
from throughtime.data.columns import short
from throughtime.data.table import Table
from throughtime.errors import DataError

MOST_CLASSES = 10_000
"""Maximum number of classes: weights of the last layer and predictions take memory for each."""
_FEW_CLASSES = 20
"""Number of different labels that is accepted for any number of rows."""

_REGRESSION = named("task", "regression")

FILL_IN = f"fill it in, drop the row, or train with {named('missing_target', 'drop')}"
"""What to do about a row without a target."""


def one_column(task: str, columns: Sequence[str]) -> str:
    """Return the only target column.

    Raises
    ------
    DataError
        If there are several.
    """
    if len(columns) != 1:
        given = ", ".join(columns) or "none"
        raise DataError(f"task {task!r} has one target column, got {given}; give one with {named('target')}")
    return columns[0]


def label_texts(table: Table, column: str) -> list[str]:
    """Return the labels of a column as text: booleans in lower case, numbers as Python writes them.

    Raises
    ------
    DataError
        If a row has no label, or something else than text, a number or a boolean.
    """
    values = table.column(column)
    if pa.types.is_nested(values.type) or pa.types.is_null(values.type):
        return [_text(value, table, row, column) for row, value in enumerate(values.to_pylist())]
    numbers, different = _different(values)
    rows = dict(zip(*np.unique(numbers, return_index=True), strict=True))
    first = sorted(range(len(different)), key=rows.__getitem__)  # the first row that is wrong is named
    texts = {number: _text(different[number], table, int(rows[number]), column) for number in first}
    return [texts[number] for number in numbers.tolist()]


def _different(values: pa.ChunkedArray) -> "tuple[np.ndarray[Any, np.dtype[np.int64]], list[Any]]":
    """Return the number of each value, and the different values by number."""
    encoded = pc.dictionary_encode(values, null_encoding="encode").combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # without chunks
        encoded = encoded.chunk(0)
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _text(value: Any, table: Table, row: int, column: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip():
        raise DataError(f"{table.place(row)} has no label in column {column!r}; {FILL_IN}")
    if isinstance(value, dict | list):
        raise DataError(
            f"{table.place(row)} has a {type(value).__name__} in column {column!r}, expected a class; fix it"
        )
    return str(value)


def class_names(table: Table, column: str) -> tuple[str, ...]:
    """Return the sorted names of the classes in a column.

    Raises
    ------
    DataError
        If there is only one class, more than `MOST_CLASSES`, most labels occur once, or there are more than
        20 different numbers that are not whole.
    """
    labels = label_texts(table, column)
    classes = tuple(sorted(set(labels)))
    rows = len(labels)
    if not rows:
        raise DataError(f"{table.name} has no rows; give a file with rows")
    if len(classes) < 2:
        raise DataError(
            f"all {rows} rows have the label {short(repr(classes[0]))}, but a classifier needs two classes; "
            "add rows of another class"
        )
    if len(classes) > _FEW_CLASSES and _has_fractions(table, column):
        raise DataError(
            f"column {column!r} has {len(classes):,} different numbers with decimals, as a regression target "
            f"has; use {_REGRESSION}, or write them as whole numbers or texts if they are classes"
        )
    if len(classes) > _FEW_CLASSES and 2 * len(classes) > rows:
        raise DataError(
            f"the {rows:,} rows have {len(classes):,} different labels, as a column of identifiers or of "
            f"regression targets has; choose a column of classes, or {_REGRESSION} for numbers"
        )
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"the {rows:,} rows have {len(classes):,} different labels, but at most {MOST_CLASSES:,} classes "
            "are supported; choose a column with fewer labels, or merge rare ones"
        )
    return classes


def _has_fractions(table: Table, column: str) -> bool:
    """Return whether a column holds numbers that are not whole."""
    values = table.column(column)
    if not pa.types.is_floating(values.type):
        return False
    return bool(pc.any(pc.not_equal(values, pc.floor(values))).as_py())


def encode_classes(table: Table, column: str, classes: Sequence[str]) -> Tensor:
    """Return the number of the class of each row, (B,) int64.

    Raises
    ------
    DataError
        If a label is missing or not one of the classes.
    """
    labels = label_texts(table, column)
    return torch.from_numpy(numbered(labels, classes, table.place, "label", "class"))


def numbered(
    labels: Iterable[str], classes: Sequence[str], place: Any, what: str, kind: str
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the index of each label among the classes.

    Raises
    ------
    DataError
        If one is not among them; ``place`` maps its position to the place in the message.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    texts = list(labels)
    encoded = np.fromiter((numbers.get(label, -1) for label in texts), dtype=np.int64)
    unknown = np.flatnonzero(encoded < 0)
    if len(unknown):
        first = int(unknown[0])
        shown = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
        raise DataError(
            f"{place(first)} has the {what} {texts[first]!r}, which is not a {kind} of the training data: "
            f"{shown}; correct the {what} or drop the row"
        )
    return encoded
