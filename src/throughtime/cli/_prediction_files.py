"""Predictions as CSV, JSON Lines or Parquet, in a file or on standard output."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from throughtime.cli._predict_options import Format
from throughtime.cli._predictions import PredictedRows
from throughtime.data.printable import json_line, printable
from throughtime.errors import DataError, RunError

Write = Callable[[PredictedRows], None]


@contextmanager
def writing(kind: Format, path: Path | None) -> Iterator[Write]:
    """Yield a function that writes rows; a file appears under its name once it is complete.

    Rows on standard output are written at once, for programs that wait for the answer.
    """
    if path is None:
        yield _text_writer(kind, sys.stdout)
        return
    if not path.parent.is_dir():
        raise RunError(f"the folder {path.parent} does not exist; create it or choose another --out")
    part = path.with_name(f".{path.name}.part")
    try:
        if kind == "parquet":
            with _parquet(part) as write:
                yield write
        else:
            with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                yield _text_writer(kind, file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    print(f"saved in {printable(str(path))}", file=sys.stderr)  # noqa: T201 - command output


def _text_writer(kind: Format, file: TextIO) -> Write:
    write = _csv(file) if kind == "csv" else _json_lines(file)

    def flushed(rows: PredictedRows) -> None:
        write(rows)
        file.flush()

    return flushed


def _json_lines(file: TextIO) -> Write:
    def write(rows: PredictedRows) -> None:
        columns = rows.columns
        for values in zip(*columns.values(), strict=True):
            file.write(json_line(dict(zip(columns, values, strict=True))) + "\n")

    return write


def _csv(file: TextIO) -> Write:
    writer = csv.writer(file, lineterminator="\n")
    # Control characters of the data must not command a terminal.
    shown = printable if file.isatty() else str
    begun = False

    def write(rows: PredictedRows) -> None:
        nonlocal begun
        columns = rows.columns
        if not begun:
            writer.writerow(map(shown, columns))
            begun = True
        for values in zip(*columns.values(), strict=True):
            writer.writerow([shown(_cell(value)) for value in values])

    return write


def _cell(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    writer: pq.ParquetWriter | None = None

    def write(rows: PredictedRows) -> None:
        nonlocal writer
        try:
            table = pa.table(dict(rows.columns))
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema)
            writer.write_table(table.cast(writer.schema))
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"a copied column has values of several types ({' '.join(str(error).split())}); leave it "
                "out, or write .jsonl"
            ) from error

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
