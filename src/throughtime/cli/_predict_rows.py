"""``throughtime predict`` with a run of ``throughtime train``: predictions for each row of a table."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from throughtime._words import counted
from throughtime.cli._predict_options import Format, PredictOptions
from throughtime.cli._prediction_files import writing
from throughtime.cli._prediction_table import TableLayout, TableWriter
from throughtime.cli._predictions import PredictedRows
from throughtime.cli._rows_of_data import format_of, shown_texts, tables_of
from throughtime.data.printable import printable
from throughtime.errors import DataError, RunError, UnsupportedError
from throughtime.learn import Predictor
from throughtime.learn.predictor import Predicted
from throughtime.tasks import METRICS, Outputs
from throughtime.training import Run

_SUFFIXES: Mapping[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


def predict_rows(run: Run, data: Path, options: PredictOptions) -> None:
    """Print or write the predictions of each row, and the metrics if there are targets."""
    predictor = Predictor.of(run)
    if options.int8:
        predictor = predictor.quantize()
    target = _targets(predictor, options.target)
    kind = output_format(options, data, predictor)
    parts = predictor.iterate(tables_of(predictor, data, options), target)
    measured: list[tuple[Outputs, Any]] = []
    rows = _rows(parts, predictor, options, measured if target else None)
    if kind == "table":
        TableWriter(TableLayout(predictor.task.main_columns)).write_all(rows)
    else:
        with writing(kind, options.out) as write:
            for part in rows:
                write(part)
    if measured:
        _print_metrics(predictor.measure(measured)[0], sum(len(outputs) for outputs, _ in measured))


def output_format(options: PredictOptions, data: Path, predictor: Predictor) -> Format:
    """Return the format of the predictions.

    Unless it is given, it is that of the suffix of ``--out``; on a terminal a table; and in a pipe JSON Lines
    where the data are JSON Lines, else CSV.

    Raises
    ------
    UnsupportedError, RunError
        If the format and the file do not fit, or the file exists.
    """
    out = options.out
    if out is None:
        if options.format == "parquet":
            raise UnsupportedError("Parquet is written to a file; give --out FILE.parquet")
        if options.format is not None:
            return options.format
        if sys.stdout.isatty():
            return "table"
        return "jsonl" if format_of(data, predictor, options.input_format) == "jsonl" else "csv"
    if out.exists():
        raise RunError(f"{out} exists already; choose another --out")
    suffix = _SUFFIXES.get(out.suffix.lower())
    if options.format == "table" or (suffix is None and options.format is None):
        raise UnsupportedError(f"--out {out}: choose a name that ends in .csv, .jsonl or .parquet")
    if options.format is not None and suffix not in (None, options.format):
        raise UnsupportedError(
            f"--out {out} is not {options.format}; leave out --format, or choose another name"
        )
    return options.format or suffix or "csv"


def _targets(predictor: Predictor, names: Sequence[str]) -> Sequence[str]:
    """Return the target columns in the data, as many as in the training."""
    trained = predictor.recipe.columns.target
    if names and trained and len(names) != len(trained):
        raise DataError(
            f"the run was trained on {counted(len(trained), 'target')} ({', '.join(trained)}), but --target "
            f"names {len(names)}; name one for each"
        )
    return names


def _rows(
    parts: Iterator[Predicted],
    predictor: Predictor,
    options: PredictOptions,
    measured: list[tuple[Outputs, Any]] | None,
) -> Iterator[PredictedRows]:
    """Yield printable rows, and add what metrics need to ``measured``; all rows of it are read."""
    texts, left = shown_texts(predictor), options.top
    for part in parts:
        if measured is not None:
            measured.append((part.outputs, part.targets))
        rows = PredictedRows.of(part, options.ids, options.target, texts)
        if left is None:
            yield rows
            continue
        if left:
            yield rows.first(left)
        left = max(0, left - len(rows))
        if not left and measured is None:
            return


def _print_metrics(figures: Mapping[str, float], rows: int) -> None:
    """Print to standard error, so that a pipe receives the predictions only."""
    print(f"metrics on {counted(rows, 'row')}", file=sys.stderr)  # noqa: T201 - command output
    for name, value in figures.items():
        print(printable(f"{METRICS[name].title}: {METRICS[name].text(value)}"), file=sys.stderr)  # noqa: T201
