"""The rows that ``throughtime predict`` reads, in tables of bounded size."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa

from throughtime._words import counted
from throughtime.cli._predict_options import InputFormat, PredictOptions
from throughtime.data.files import regular_file
from throughtime.data.read_table import read_table
from throughtime.data.row_stream import ROWS, StreamOptions, stream_rows
from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.learn import Predictor
from throughtime.learn.predictor import chunks

_STREAMED: Mapping[str, InputFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text"}
STANDARD_INPUT = "standard input"


def tables_of(predictor: Predictor, data: Path, options: PredictOptions) -> Iterator[Table]:
    """Yield the rows of a file, a folder, or standard input (``-``), with the columns of the training.

    Raises
    ------
    DataError
        If they cannot be read; the message names the row.
    """
    blank = options.skip_blank or predictor.recipe.files.skip_blank
    for table in _as_they_are(predictor, data, options):
        rows = renamed(table, predictor, options.columns)
        if blank:
            rows = _without_blank(rows, predictor)
        if len(rows):
            yield rows


def format_of(data: Path, predictor: Predictor, chosen: InputFormat | None) -> InputFormat | None:
    """Return the format of data that are read row by row; None of other files.

    Raises
    ------
    DataError
        If a format is given for a file, which has that of its suffix.
    """
    if str(data) == "-":
        columns = predictor.recipe.columns
        plain = len(columns.text) == 1 and not columns.numeric
        return chosen or ("text" if plain else "jsonl")
    if chosen is not None:
        raise DataError(
            f"{data} is read in the format of its suffix; --input-format is for standard input (-)"
        )
    suffixes = [suffix.lower() for suffix in data.suffixes if suffix.lower() != ".gz"]
    return None if data.is_dir() else _STREAMED.get(suffixes[-1] if suffixes else "")


def renamed(table: Table, predictor: Predictor, names: Sequence[str]) -> Table:
    """Return a table whose columns of these names have the names of the training.

    Raises
    ------
    DataError
        If there is another number of names, or no such column.
    """
    columns = predictor.recipe.columns
    wanted = [*columns.text, *columns.tokens, *columns.series]
    if not names and len(wanted) == 1 and table.names == ("text",):
        names = ("text",)  # plain text has no other name
    if not names:
        return table
    if len(names) != len(wanted):
        raise DataError(
            f"the run reads {counted(len(wanted), 'column')} ({', '.join(wanted)}), but --input names "
            f"{len(names)}; name one for each"
        )
    new = dict(zip(names, wanted, strict=True))
    for name in names:
        table.column(name)  # raises if it does not exist
    kept = [name for name in table.names if name in new or name not in wanted]
    content = table.content.select(kept).rename_columns([new.get(name, name) for name in kept])
    return replace(table, content=content)


def _as_they_are(predictor: Predictor, data: Path, options: PredictOptions) -> Iterator[Table]:
    kind = format_of(data, predictor, options.input_format)
    if kind is None:
        yield from chunks(predictor.table(data), ROWS)
        return
    how = _stream_options(predictor, data, options)
    if str(data) == "-":
        yield from stream_rows(sys.stdin.buffer, STANDARD_INPUT, kind, how)
        return
    with _opened(data) as file:
        yield from stream_rows(file, str(data), kind, how)


def _stream_options(predictor: Predictor, data: Path, options: PredictOptions) -> StreamOptions:
    """Return types of the columns of texts and targets, which those of single tables may differ from."""
    files, columns = predictor.recipe.files, predictor.recipe.columns
    texts = options.columns or [*columns.text, *columns.tokens]
    if columns.series:
        texts = ()
    types = dict.fromkeys([*texts, *options.ids], pa.string())
    if options.target and str(data) != "-" and ".csv" in data.suffixes:
        whole = read_table(data, encoding=files.encoding, delimiter=files.delimiter, columns=options.target)
        types |= {name: whole.column(name).type for name in options.target if name not in types}
    return StreamOptions(files.encoding, files.delimiter, types)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with regular_file(path) as (file, size):
        if not size:
            raise DataError(f"{path} is empty; give a file with rows")
        if path.suffix.lower() != ".gz":
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("BinaryIO", unpacked)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{path} cannot be read as gzip ({error}); restore the file") from error


def _without_blank(table: Table, predictor: Predictor) -> Table:
    blank = predictor.encoder.inputs.options.blank_rows(table)
    return table.select(np.setdiff1d(np.arange(len(table)), blank)) if len(blank) else table


def shown_texts(predictor: Predictor) -> Callable[[Table], list[str]] | None:
    """Return a function to the text of each row that a table on the terminal shows; None for series."""
    columns = predictor.recipe.columns
    name = next(iter((*columns.text, *columns.tokens)), None)
    if name is None:
        return None

    def texts(table: Table) -> list[str]:
        values = table.column(name).to_pylist()
        return [
            " ".join(map(str, value)) if isinstance(value, list) else str(value or "") for value in values
        ]

    return texts
