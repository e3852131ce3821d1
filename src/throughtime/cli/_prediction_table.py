"""Predictions as a table on a terminal. Columns keep their widths, and the text gets what is left."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from throughtime.cli._predictions import ROW, PredictedRows
from throughtime.data.printable import printable

_SCORES = ("probability", "score")
_SEPARATOR = len(" │ ")
_WIDEST = 24
_LEAST_TEXT = 12
_TEXT = "text"


@dataclass(frozen=True)
class TableLayout:
    """Which columns of the predictions are shown: the main ones and their score."""

    main_columns: int

    def cells(self, rows: PredictedRows) -> dict[str, list[str]]:
        """Return the columns as texts."""
        main = list(rows.predictions)[: self.main_columns]
        names = [*main, *(name for name in _SCORES if name in rows.predictions and name not in main)]
        predictions = {name: rows.predictions[name] for name in names}
        columns = {ROW: rows.numbers, **predictions, **rows.copied}
        texts = {name: [_cell(value, name) for value in values] for name, values in columns.items()}
        if rows.texts is not None:
            texts[_TEXT if _TEXT not in texts else "input"] = [_cell(text) for text in rows.texts]
        return texts


class TableWriter:
    """Prints tables of rows one after another, with the widths of the first."""

    def __init__(self, layout: TableLayout) -> None:
        self.layout = layout
        self.console = Console(highlight=False)
        self.widths: Mapping[str, int] | None = None

    def write_all(self, parts: Iterable[PredictedRows]) -> None:
        """Print all rows, and what does not fit."""
        left_out: list[str] = []
        for part in parts:
            cells = self.layout.cells(part)
            first = self.widths is None
            if self.widths is None:
                self.widths = widths_of(cells, self.console.width, has_text=part.texts is not None)
                left_out = [printable(name) for name in cells if name not in self.widths]
            self.console.print(_table(cells, self.widths, header=first))
        if left_out:
            names = ", ".join(left_out)
            self.console.print(f"not shown: {names}; use --format csv", markup=False, soft_wrap=True)


def widths_of(cells: Mapping[str, list[str]], width: int, *, has_text: bool) -> dict[str, int]:
    """Return the widths of the columns that fit, in order; the text, if it is last, gets what is left."""
    widths: dict[str, int] = {}
    names = list(cells)[:-1] if has_text else list(cells)
    left = width
    for number, name in enumerate(names):
        needed = max(cell_len(printable(name)), *map(cell_len, cells[name]))
        # The prediction itself may be a list, such as the tags of a sentence.
        widest = max(_WIDEST, width // 2 - 8) if number == 1 else _WIDEST
        if number and left < min(needed, widest):
            break
        widths[name] = min(needed, widest)
        left -= widths[name] + _SEPARATOR
    if has_text and left >= _LEAST_TEXT and len(widths) == len(names):
        name = list(cells)[-1]
        widths[name] = max(len(name), min(left, max(map(cell_len, cells[name]))))
    return widths


def _table(cells: Mapping[str, list[str]], widths: Mapping[str, int], *, header: bool) -> Table:
    table = Table(show_edge=False, pad_edge=False, show_header=header)
    for number, (name, width) in enumerate(widths.items()):
        is_text = number == len(widths) - 1 and name in {_TEXT, "input"}
        table.add_column(
            Text(printable(name)),
            width=width,
            justify="right" if _is_number(cells[name][0]) else "left",
            overflow="ellipsis" if is_text else "fold",
            no_wrap=is_text,
        )
    for values in zip(*(cells[name] for name in widths), strict=True):
        table.add_row(*map(Text, values))
    return table


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).isdecimal()


def _cell(value: Any, name: str = "") -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if name == "probability" else f"{value:.4g}"
    if isinstance(value, list):
        return printable(" ".join(map(str, value)))
    return "" if value is None else printable(" ".join(str(value).split()))
