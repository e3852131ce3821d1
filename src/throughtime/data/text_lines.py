"""Reader of plain text with one text per line."""

from pathlib import Path

import pyarrow as pa

from throughtime.data.columns import with_columns
from throughtime.data.gzipped import read_utf8
from throughtime.data.plain_text import lines_of
from throughtime.data.read_options import ReadOptions
from throughtime.data.table import Table


def read_text_lines(path: Path, options: ReadOptions) -> Table:
    """Read each line as a ``text``; a blank line is a blank text."""
    lines = lines_of(read_utf8(path, options.encoding).decode())
    content = pa.table({"text": pa.array(lines, pa.large_string())})
    return Table(with_columns(content, path, options.columns), str(path), "line")
