"""Split of rows into training, validation and test parts: random by class, by group, or by time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from throughtime._options import named
from throughtime._words import counted
from throughtime.data.columns import short
from throughtime.data.fractions import LOWER_FRACTIONS, require_training_fraction
from throughtime.data.table import Table
from throughtime.errors import DataError

Rows = NDArray[np.int64]

_ISO_TIME = r"^\d{4}(-\d{2}){0,2}([T ]\d{2}(:\d{2}){1,2}(\.\d+)?)?Z?$"
"""Texts whose order is that of time."""


class Parts(NamedTuple):
    """Row numbers of the parts, each sorted."""

    training: Rows
    validation: Rows
    test: Rows


def split_rows(
    table: Table,
    validation: float,
    test: float,
    seed: int,
    *,
    classes: Sequence[str] | None = None,
    group: str | None = None,
    time: str | None = None,
) -> Parts:
    """Split the rows of a table.

    Parameters
    ----------
    table : Table
        The rows.
    validation, test : float
        Fractions; 0 leaves a part empty.
    seed : int
        Random seed.
    classes : sequence of str, optional
        Class of each row: each class then has its fraction, and at least one row, in every part.
    group : str, optional
        Column; rows with the same value are in the same part.
    time : str, optional
        Column; rows are in order of its values, training first and test last.

    Raises
    ------
    DataError
        If the fractions leave no training data, or there are too few rows, groups or rows of a class.
    """
    require_training_fraction(validation, test)
    if group is not None and time is not None:
        raise DataError(
            f"rows are split by {named('group')} or by {named('time')}, not by both; leave one out"
        )
    if time is not None:
        return _by_time(table, time, validation, test)
    if group is not None:
        return _by_group(table, group, validation, test, seed)
    if classes is None:
        return _cut(
            np.random.default_rng(seed).permutation(len(table)), validation, test, f"{table.name} has"
        )
    return _by_class(table, classes, validation, test, seed)


def rare_rows(classes: Sequence[str], validation: float, test: float) -> Rows:
    """Return the rows of classes with fewer rows than parts."""
    needed = 1 + (validation > 0) + (test > 0)
    _, numbers = _numbered(classes)
    return np.flatnonzero(np.bincount(numbers)[numbers] < needed)


def rare_note(labels: Sequence[str]) -> str:
    """Return a note on the rows of rare classes, by their labels."""
    names = sorted(set(labels))
    rows, classes = counted(len(labels), "row"), counted(len(names), "rare class", "rare classes")
    return f"{rows} of {classes} left out: {', '.join(names[:10])}"


def _numbered(classes: Sequence[str]) -> tuple[list[str], Rows]:
    """Return the sorted names of the classes, and the number of the class of each row."""
    names = sorted(set(classes))
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.fromiter((numbers[name] for name in classes), dtype=np.int64, count=len(classes))


def _cut(order: Rows, validation: float, test: float, what: str) -> Parts:
    """Cut ordered rows into parts, the last for the test."""
    counts = _counts(len(order), validation, test)
    if (
        min(
            counts[0],
            *(count for count, share in zip(counts[1:], (validation, test), strict=True) if share),
            1,
        )
        < 1
    ):
        raise DataError(
            f"{what} {counted(len(order), 'row')}, too few for all parts; give more, or {LOWER_FRACTIONS}"
        )
    return Parts(*(np.sort(part) for part in np.split(order, np.cumsum(counts)[:2])))


def _by_class(table: Table, classes: Sequence[str], validation: float, test: float, seed: int) -> Parts:
    names, numbers = _numbered(classes)
    needed = 1 + (validation > 0) + (test > 0)
    random = np.random.default_rng(seed)
    parts: list[list[Rows]] = [[], [], []]
    rows_of_classes = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    for name, ordered_rows in zip(names, rows_of_classes, strict=True):
        rows = random.permutation(ordered_rows)
        if len(rows) < needed:
            raise DataError(
                f"class {short(repr(name))} has {counted(len(rows), 'row')} "
                f"({table.place(int(rows.min()))}); it needs {needed} to be in training, validation"
                + (" and test" if test else "")
                + f"; add rows, or leave the class out with {named('rare_classes', 'drop')}"
            )
        for part, chosen in zip(
            parts, np.split(rows, np.cumsum(_counts(len(rows), validation, test))[:2]), strict=True
        ):
            part.append(chosen)
    return Parts(*(np.sort(np.concatenate(part)) for part in parts))


def _by_group(table: Table, column: str, validation: float, test: float, seed: int) -> Parts:
    """Assign whole groups in random order until each part has its fraction of the rows."""
    values = table.column(column)
    blank = pc.equal(pc.utf8_trim_whitespace(values.cast(pa.string())), "")
    missing = np.flatnonzero(pc.fill_null(blank, True).to_numpy())  # noqa: FBT003 - value of a null
    if len(missing):
        row = int(missing[0])
        raise DataError(f"{table.place(row)} has no group in column {column!r}; fill it in or drop the row")
    encoded = pc.dictionary_encode(values).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    numbers = encoded.indices.to_numpy().astype(np.int64)
    sizes = np.bincount(numbers)
    needed = 1 + (validation > 0) + (test > 0)
    if len(sizes) < needed:
        raise DataError(
            f"{table.name} has {counted(len(sizes), 'group')} in column {column!r}, but each of {needed} "
            f"parts needs one; choose another column or leave out {named('group')}"
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    part_of_group = _fill(sizes[order], [1 - validation - test, validation, test])
    part = np.empty(len(sizes), dtype=np.int64)
    part[order] = part_of_group
    return Parts(*(np.flatnonzero(part[numbers] == i) for i in range(3)))


def _fill(sizes: Rows, shares: Sequence[float]) -> Rows:
    """Return the part of each group: the one that is furthest below its share of the rows, smallest first."""
    total, have, assigned = int(sizes.sum()), [0, 0, 0], np.empty(len(sizes), dtype=np.int64)
    wanted = [index for index, share in enumerate(shares) if share]
    for place, size in enumerate(sizes):
        empty = [index for index in wanted if not have[index]]
        left = len(sizes) - place
        choices = empty if len(empty) == left else wanted
        chosen = max(choices, key=lambda index: shares[index] * total - have[index])
        assigned[place] = chosen
        have[chosen] += int(size)
    return assigned


def _by_time(table: Table, column: str, validation: float, test: float) -> Parts:
    values = table.column(column)
    blank = pc.equal(pc.utf8_trim_whitespace(values.cast(pa.string())), "")
    missing = np.flatnonzero(pc.fill_null(blank, True).to_numpy())  # noqa: FBT003 - value of a null
    if len(missing):
        row = int(missing[0])
        raise DataError(f"{table.place(row)} has no time in column {column!r}; fill it in or drop the row")
    _require_sortable(table, column, values)
    order = pc.sort_indices(values).to_numpy().astype(np.int64)
    return _cut(order, validation, test, f"{table.name} has")


def _require_sortable(table: Table, column: str, values: pa.ChunkedArray) -> None:
    """Check that times that are texts have the order of texts."""
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return
    others = np.flatnonzero(~pc.match_substring_regex(values, _ISO_TIME).to_numpy())
    if len(others):
        row = int(others[0])
        raise DataError(
            f"{table.place(row)} has the time {short(repr(values[row].as_py()))} in column {column!r}; write "
            "times as numbers, or as 2024-01-31 or 2024-01-31 12:30:00, whose order is that of time"
        )


def _counts(rows: int, validation: float, test: float) -> tuple[int, int, int]:
    """Return the numbers of rows for training, validation and test, at least one for each nonzero fraction.

    The stratified split of scikit-learn may leave out a rare class from a part, or reject it.
    """
    held_out = [max(1, round(share * rows)) if share else 0 for share in (validation, test)]
    while sum(held_out) >= rows and max(held_out) > 0:
        held_out[held_out.index(max(held_out))] -= 1
    return rows - sum(held_out), held_out[0], held_out[1]
