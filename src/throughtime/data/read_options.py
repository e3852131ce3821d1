"""`ReadOptions`: what a caller of `throughtime.data.read_table.read_table` may choose."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """Options of a reader; each format uses those that apply to it.

    Parameters
    ----------
    encoding : str
        Encoding of a text file.
    delimiter : str, optional
        Character between the fields of a CSV or TSV file.
    columns : sequence of str, optional
        Names of the columns to read; all by default.
    memory_map : bool
        Whether an Arrow file is mapped into memory instead of being read.
    part : str, optional
        Suffix of the arrays of a .npz file to read, such as ``"test"`` for ``x_test`` and ``y_test``.
    """

    encoding: str = "utf-8"
    delimiter: str | None = None
    columns: Sequence[str] | None = None
    memory_map: bool = False
    part: str | None = None
