"""`PredictedRows`: the columns of the output of ``throughtime predict``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from throughtime.data.columns import short
from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.learn.predictor import Predicted

ROW = "row"


@dataclass(frozen=True)
class PredictedRows:
    """Rows with their numbers, columns that were copied from the data, and predictions.

    Parameters
    ----------
    numbers : list of int
        Number of each row in the data, from 1.
    copied : mapping of str to list
        Columns of identifiers and true values.
    predictions : mapping of str to list
        Columns of predictions, the main ones first.
    texts : list of str or None
        Text of each row for the terminal.
    """

    numbers: list[int]
    copied: Mapping[str, list[Any]]
    predictions: Mapping[str, list[Any]]
    texts: list[str] | None = None

    @classmethod
    def of(
        cls,
        part: Predicted,
        ids: Sequence[str],
        target: Sequence[str],
        texts: Callable[[Table], list[str]] | None,
    ) -> Self:
        """Return the rows of a table with the columns to copy.

        Raises
        ------
        DataError
            If a column is missing, or would have the name of another one.
        """
        truth = {name: "truth" if len(target) == 1 else f"truth_{name}" for name in target}
        taken = [ROW, *part.columns, *truth.values()]
        for name in ids:
            if name in taken:
                raise DataError(
                    f"--id {short(name)}: the output has a column of this name already; rename it in the data"
                )
        values = {name: part.table.column(name).to_pylist() for name in (*ids, *target)}
        numbers = part.table.numbers
        return cls(
            list(range(1, len(part.table) + 1)) if numbers is None else numbers.tolist(),
            {name: values[name] for name in ids} | {shown: values[name] for name, shown in truth.items()},
            part.columns,
            None if texts is None else texts(part.table),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def columns(self) -> dict[str, list[Any]]:
        """All columns of a file of predictions."""
        return {ROW: self.numbers, **self.copied, **self.predictions}

    def first(self, count: int) -> Self:
        """Return at most so many rows."""
        return replace(
            self,
            numbers=self.numbers[:count],
            copied={name: values[:count] for name, values in self.copied.items()},
            predictions={name: values[:count] for name, values in self.predictions.items()},
            texts=None if self.texts is None else self.texts[:count],
        )
