"""Reader of .ts files, the format of aeon and sktime for series with a class or a target each.

A header of lines ``@name value`` ends with ``@data``; then each line is one series: channels separated by
colons, each a list of numbers separated by commas, and last the class or the target. A missing value is ``?``
or ``NaN``. See https://www.aeon-toolkit.org/en/latest/api_reference/file_specifications/ts.html.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from throughtime._words import counted
from throughtime.data.columns import short, with_columns
from throughtime.data.encoding import decode
from throughtime.data.gzipped import read_utf8
from throughtime.data.plain_text import lines_of
from throughtime.data.read_options import ReadOptions
from throughtime.data.series import series_of_parts
from throughtime.data.table import Table
from throughtime.errors import DataError

_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class _Header:
    classes: frozenset[str] | None = None
    target: bool = False
    dimensions: int | None = None
    length: int | None = None
    equal_length: bool = False

    @property
    def labelled(self) -> bool:
        return self.classes is not None or self.target


def read_ts(path: Path, options: ReadOptions) -> Table:
    """Read the columns ``series`` and ``label`` (classes as text, or targets as numbers) of a .ts file."""
    lines = lines_of(decode(read_utf8(path, options.encoding), str(path)))
    numbered = [
        (number, text)
        for number, line in enumerate(lines, 1)
        if (text := line.strip()) and not text.startswith("#")
    ]
    start = next((i for i, (_, text) in enumerate(numbered) if text.lower() == "@data"), None)
    if start is None:
        raise DataError(
            f"{path} has no line @data, after which the series of a .ts file start; restore the file"
        )
    header = _header(numbered[:start], path)
    rows = numbered[start + 1 :]
    content = _columns([text for _, text in rows], header, [f"{path}: line {number}" for number, _ in rows])
    return Table(with_columns(pa.table(content), path, options.columns), str(path))


def _header(lines: Sequence[tuple[int, str]], path: Path) -> _Header:
    fields: dict[str, tuple[str, list[str]]] = {}
    for number, line in lines:
        name, *values = line.split()
        place = f"{path}: line {number}"
        if not name.startswith("@"):
            raise DataError(f"{place} is {short(repr(line))}, expected a line @name value before @data")
        fields[name[1:].lower()] = place, values
    if _boolean(fields, "timestamps"):
        raise DataError(
            f"{fields['timestamps'][0]} states time stamps, which are not read; write the values alone and "
            "@timeStamps false"
        )
    has_classes = _boolean(fields, "classlabel")
    dimensions = _count(fields, "dimensions") or (1 if _boolean(fields, "univariate") else None)
    return _Header(
        classes=frozenset(fields["classlabel"][1][1:]) if has_classes else None,
        target=_boolean(fields, "targetlabel"),
        dimensions=dimensions,
        length=_count(fields, "serieslength"),
        equal_length=_boolean(fields, "equallength"),
    )


def _boolean(fields: dict[str, tuple[str, list[str]]], name: str) -> bool:
    place, values = fields.get(name, ("", ["false"]))
    value = _BOOLEANS.get(values[0].lower()) if values else None
    if value is None:
        raise DataError(f"{place} gives {short(repr(' '.join(values)))} for @{name}, expected true or false")
    return value


def _count(fields: dict[str, tuple[str, list[str]]], name: str) -> int | None:
    place, values = fields.get(name, ("", ["0"]))
    if len(values) != 1 or not values[0].isdecimal() or len(values[0]) > 9:
        raise DataError(f"{place} gives {short(repr(' '.join(values)))} for @{name}, expected a number")
    return int(values[0]) or None


def _columns(rows: Sequence[str], header: _Header, places: Sequence[str]) -> dict[str, pa.Array]:
    parts = [row.split(":") for row in rows]
    labels = [part.pop().strip() for part in parts] if header.labelled else []
    expected = header.dimensions or max(1, len(parts[0] if parts else ()))
    for part, place in zip(parts, places, strict=True):
        if len(part) != expected or not part:
            label = " and a label" if header.labelled else ""
            raise DataError(
                f"{place} has {counted(len(part), 'channel')}{label}, expected {expected}; fix that line"
            )
    series = _series(parts, places)
    _require_lengths(series, header, places)
    columns = {"series": series_of_parts(series, places)}
    if header.target:
        columns["label"] = pa.array(_numbers(pa.array(labels, pa.string()), places, "the target"))
    elif header.classes is not None:
        _require_classes(labels, header.classes, places)
        columns["label"] = pa.array(labels, pa.string())
    return columns


def _series(parts: Sequence[Sequence[str]], places: Sequence[str]) -> list[NDArray[np.float64]]:
    """Return each series as an array (C, T)."""
    cells = pc.split_pattern(pa.array([cell for part in parts for cell in part], pa.string()), ",")
    lengths = np.diff(cells.offsets.to_numpy())
    channels = len(parts[0]) if parts else 1
    of_rows = lengths.reshape(-1, channels)
    unequal = (of_rows != of_rows[:, :1]).any(axis=1).nonzero()[0]
    if len(unequal):
        row = unequal[0]
        channel = (of_rows[row] != of_rows[row, 0]).nonzero()[0][0]
        raise DataError(
            f"{places[row]}: channel {channel + 1} has {counted(of_rows[row, channel], 'value')}, but "
            f"channel 1 has {of_rows[row, 0]}; give all channels of a series the same length"
        )
    rows_of_values = np.repeat(np.arange(len(parts)), of_rows.sum(axis=1))
    values = _numbers(cells.values, places, "a value", rows_of_values)
    blocks = np.split(values, np.cumsum(of_rows.sum(axis=1))[:-1]) if len(parts) else []
    return [block.reshape(channels, -1) for block in blocks]


def _numbers(
    texts: pa.Array, places: Sequence[str], what: str, rows: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Parse numbers; ``rows`` are their rows, by default one number per row."""
    texts = pc.utf8_trim_whitespace(texts)
    texts = pc.if_else(pc.equal(texts, "?"), pa.scalar("nan"), texts)
    try:
        numbers: NDArray[np.float64] = texts.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        index = next(index for index, text in enumerate(texts) if not _is_number(text))
        row = index if rows is None else int(rows[index])
        raise DataError(
            f"{places[row]}: {what} is {short(repr(texts[index].as_py()))}, expected a number, or ? if it is "
            "missing; fix that line"
        ) from error
    return numbers


def _is_number(text: pa.Scalar) -> bool:
    try:
        text.cast(pa.float64())
    except pa.ArrowException:
        return False
    return True


def _require_lengths(series: Sequence[NDArray[np.float64]], header: _Header, places: Sequence[str]) -> None:
    expected = header.length or (series[0].shape[1] if series and header.equal_length else None)
    for part, place in zip(series, places, strict=True):
        if expected is not None and part.shape[1] != expected:
            raise DataError(
                f"{place} has {counted(part.shape[1], 'step')}, expected {expected} by the header; fix that "
                "line, or write @equalLength false without @seriesLength"
            )


def _require_classes(labels: Sequence[str], classes: frozenset[str], places: Sequence[str]) -> None:
    for label, place in zip(labels, places, strict=True):
        if label not in classes:
            listed = short(", ".join(sorted(classes))) or "none"
            raise DataError(
                f"{place} has the class {short(repr(label))}, but the header lists {listed}; fix that line "
                "or @classLabel"
            )
