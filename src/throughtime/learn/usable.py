"""The rows of a table that a recipe does not leave out: blank ones, and those without a target."""

from dataclasses import dataclass

import numpy as np

from throughtime._words import counted
from throughtime.data.inputs import InputOptions
from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.learn.recipe import Recipe
from throughtime.learn.split import Rows
from throughtime.tasks import TASKS, SequenceTask


@dataclass(frozen=True, eq=False)
class UsableRows:
    """The rows that are used, and what to tell the user of the others.

    Parameters
    ----------
    table : Table
        The rows.
    kept : (n,) int64
        Their numbers in the whole table, counted from 0.
    notes : tuple of str
        How many rows without a target were left out.
    """

    table: Table
    kept: Rows
    notes: tuple[str, ...] = ()


def usable_rows(recipe: Recipe, options: InputOptions, table: Table) -> UsableRows:
    """Return the rows that a recipe does not leave out.

    Parameters
    ----------
    recipe : Recipe
        With the names of all columns.
    options : InputOptions
        Of the columns that the model reads.
    table : Table
        All rows.

    Raises
    ------
    DataError
        If all rows lack a target.
    """
    blank = _blank_rows(options, table) if recipe.files.skip_blank else np.empty(0, dtype=np.int64)
    without = np.setdiff1d(_rows_without_target(recipe, table), blank)
    kept = np.setdiff1d(np.arange(len(table)), np.concatenate((blank, without)))
    if len(without) and not len(kept):
        columns = ", ".join(map(repr, recipe.columns.target))
        raise DataError(f"{table.name}: no row has a target in {columns}; name another column")
    used = table if len(kept) == len(table) else table.select(kept)
    note = f"{table.name}: {counted(len(without), 'row')} without a target left out"
    return UsableRows(used, kept, (note,) if len(without) else ())


def _blank_rows(options: InputOptions, table: Table) -> Rows:
    rows, before = list[Rows](), 0
    for part in table.chunks():
        rows.append(options.blank_rows(part) + before)
        before += len(part)
    return np.concatenate(rows)


def _rows_without_target(recipe: Recipe, table: Table) -> Rows:
    kind = TASKS[recipe.task]
    # Targets that only serve to measure may be in the test part alone.
    columns = [name for name in recipe.columns.target if name in table.names]
    if recipe.files.missing_target == "refuse" or not columns or not issubclass(kind, SequenceTask):
        return np.empty(0, dtype=np.int64)
    return kind.without_target(table, columns)
