"""Errors of rows in words for whoever sends requests, where the usual words name options of a training."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from throughtime._words import counted
from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.learn import Predictor
from throughtime.serve.rows import Row, table_of


def fault_of(predictor: Predictor, rows: Sequence[Row]) -> DataError | None:
    """Return the error of the first row that is blank, lacks a value or is too long for the model, if any."""
    try:
        table = table_of(rows, predictor.recipe.columns)
        faults = (_blank(predictor, table), _missing(predictor, rows), _longer(predictor, table))
    except DataError:
        return None
    return next((fault for fault in faults if fault is not None), None)


def _blank(predictor: Predictor, table: Table) -> DataError | None:
    inputs, columns = predictor.encoder.inputs.options, predictor.recipe.columns
    blank = inputs.blank_rows(table)
    if inputs.blank == "empty" or not len(blank):
        return None
    names = ", ".join(map(repr, (*columns.text, *columns.tokens, *columns.series)))
    what = "text" if columns.text else "tokens" if columns.tokens else "steps"
    return DataError(
        f"{table.place(int(blank[0]))} has no {what} in column {names}; fill it in or remove the row"
    )


def _missing(predictor: Predictor, rows: Sequence[Row]) -> DataError | None:
    columns, numeric = predictor.recipe.columns, predictor.encoder.numeric
    series_refuse = getattr(predictor.encoder.inputs.options, "missing", None) is None
    refusing = (*(columns.series if series_refuse else ()),)
    if numeric is not None and numeric.options.missing is None:
        refusing += tuple(columns.numeric)
    for number, row in enumerate(rows, 1):
        for name in refusing:
            for value, where in _values(row[name]):
                if not isinstance(value, int | float):
                    return DataError(f"row {number} has no value{where} in column {name!r}; fill it in")
                if not math.isfinite(value):
                    return DataError(
                        f"row {number} has {value}{where} in column {name!r}; send a finite number"
                    )
    return None


def _values(value: Any, where: str = "") -> Iterator[tuple[Any, str]]:
    """Yield each number of a value, and where it is in lists."""
    if isinstance(value, list):
        for place, part in enumerate(value, 1):
            yield from _values(part, f" at step {place}" if not where else f"{where}, channel {place}")
    elif not isinstance(value, str):
        yield value, where


def _longer(predictor: Predictor, table: Table) -> DataError | None:
    limit = predictor.encoder.limit
    if limit is None or limit.longer != "refuse":
        return None
    lengths = predictor.encoder.inputs.encode(table).lengths
    longer = (lengths > limit.length).nonzero().flatten().tolist()
    return too_long(table.place(longer[0]), int(lengths[longer[0]]), limit.length) if longer else None


def too_long(place: str, steps: int, most: int) -> DataError:
    """Return the error of a row that is too long."""
    return DataError(f"{place} has {counted(steps, 'step')}, but at most {most:,} are allowed; shorten it")
