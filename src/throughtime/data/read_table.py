"""`read_table`: a file of any format, or a folder of classes, as a `Table`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from throughtime._options import named
from throughtime.data.array_files import read_npy, read_npz
from throughtime.data.arrow_file import read_arrow
from throughtime.data.class_folder import read_class_folder
from throughtime.data.delimited import read_csv, read_tsv
from throughtime.data.files import size_of
from throughtime.data.json_rows import read_json, read_jsonl
from throughtime.data.parquet import read_parquet_table
from throughtime.data.read_options import ReadOptions
from throughtime.data.table import Table
from throughtime.data.text_lines import read_text_lines
from throughtime.data.ts_file import read_ts
from throughtime.errors import DataError


class Format(NamedTuple):
    """A file format.

    Parameters
    ----------
    read
        Reads a file of this format that is not empty.
    gzip
        Whether the file may be compressed, with the suffix .gz after its own.
    options
        Names of the `ReadOptions` that only some formats have.
    """

    read: Callable[[Path, ReadOptions], Table]
    gzip: bool = False
    options: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    ".csv": Format(read_csv, gzip=True, options=("delimiter",)),
    ".tsv": Format(read_tsv, gzip=True, options=("delimiter",)),
    ".json": Format(read_json, gzip=True),
    ".jsonl": Format(read_jsonl, gzip=True),
    ".ndjson": Format(read_jsonl, gzip=True),
    ".txt": Format(read_text_lines, gzip=True),
    ".ts": Format(read_ts, gzip=True),
    ".parquet": Format(lambda path, options: Table(read_parquet_table(path, options.columns), str(path))),
    ".arrow": Format(read_arrow, options=("memory_map",)),
    ".feather": Format(read_arrow, options=("memory_map",)),
    ".npz": Format(read_npz, options=("part",)),
    ".npy": Format(read_npy),
}
"""Formats by suffix."""


def read_table(
    path: Path | str,
    *,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    columns: Sequence[str] | None = None,
    memory_map: bool = False,
    part: str | None = None,
) -> Table:
    r"""Read a file in the format of its suffix, or a folder with one subfolder per class.

    ===========================  ===============================================================
    .csv, .tsv                   a header, and one row per line; a .tsv file of the UCR archive,
                                 without a header, has the columns ``label`` and ``series``
    .jsonl, .ndjson, .json       an object per line; an array of objects, or an object of arrays
    .parquet, .arrow, .feather   columns of any type
    .ts                          the columns ``series`` and ``label``
    .npz, .npy                   arrays (n, T) or (n, C, T); ``x`` is ``series``, ``y`` ``label``
    .txt                         the column ``text``: one text per line
    folder                       the columns ``text`` and ``label``: a text per file
    ===========================  ===============================================================

    Text formats may be compressed with gzip (.csv.gz).

    Parameters
    ----------
    path : path
        The file or folder.
    encoding : str
        Encoding of a text format, such as ``"latin-1"``.
    delimiter : str, optional
        Character between fields; by default a comma in .csv and a tab in .tsv files.
    columns : sequence of str, optional
        Names of the columns to read; all by default.
    memory_map : bool
        Map an Arrow file into memory instead of reading it; it may then be larger than memory.
    part : str, optional
        Suffix of the arrays of a .npz file to read: ``"test"`` for ``x_test`` and ``y_test``. By default
        arrays without a suffix, or those with ``_train``.

    Raises
    ------
    DataError
        If the file is missing, empty, malformed, or of another encoding; if it lacks a column; if it is a
        pipe or a device, has 2 GiB or more, or unpacks to too much; if the format lacks an option.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "plays.csv"
    ...     _ = path.write_text("text;year\nto be;1601\nor not;1601\n")
    ...     table = read_table(path, delimiter=";")
    >>> table.names, table.column("year").to_pylist()
    (('text', 'year'), [1601, 1601])
    """
    path = Path(path)
    options = ReadOptions(encoding, delimiter, columns, memory_map, part)
    if path.is_dir():
        _require_options(path, options, ())
        table = read_class_folder(path, options)
    else:
        table = _read_file(path, options)
    if not len(table):
        raise DataError(f"{path} has no rows; give a file with rows")
    return table


def is_table(path: Path) -> bool:
    """Return whether a path has the suffix of a format, such as .csv or .csv.gz."""
    suffix, packed = _suffix(path)
    return suffix in FORMATS and (FORMATS[suffix].gzip or not packed)


def _read_file(path: Path, options: ReadOptions) -> Table:
    size = size_of(path)
    suffix, packed = _suffix(path)
    format_ = FORMATS.get(suffix)
    if format_ is None:
        raise DataError(
            f"{path}: the suffix {path.suffix!r} is not supported; use one of {', '.join(FORMATS)}"
        )
    if packed and not format_.gzip:
        raise DataError(f"{path}: {suffix} files are not read through gzip; unpack it")
    if not size:
        raise DataError(f"{path} is empty; give a file with rows")
    _require_options(path, options, format_.options)
    return format_.read(path, options)


def _suffix(path: Path) -> tuple[str, bool]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    return (suffixes[:-1] if packed else suffixes)[-1:][0] if len(suffixes) > packed else "", packed


def _require_options(path: Path, options: ReadOptions, available: Sequence[str]) -> None:
    formats = {
        name: [suffix for suffix, format_ in FORMATS.items() if name in format_.options]
        for name in ("delimiter", "memory_map", "part")
        if getattr(options, name) and name not in available
    }
    for name, suffixes in formats.items():
        option = name if name == "part" else named(name)  # part is for callers from Python only
        raise DataError(f"{path}: {option} is for {', '.join(suffixes)} files; leave it out")
