"""`PredictOptions`: the options of ``throughtime predict``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["table", "csv", "jsonl", "parquet"]
InputFormat = Literal["csv", "jsonl", "text"]


@dataclass(frozen=True)
class PredictOptions:
    """The options of the command, as its help describes them."""

    columns: Sequence[str] = ()
    target: Sequence[str] = ()
    ids: Sequence[str] = ()
    format: Format | None = None
    out: Path | None = None
    input_format: InputFormat | None = None
    skip_blank: bool = False
    top: int | None = None
    prior: float = 0.01
    int8: bool = False

    def names_of_rows(self) -> list[str]:
        """Return the options that were given and apply to rows of tables only."""
        given = {
            "--input": self.columns,
            "--target": self.target,
            "--id": self.ids,
            "--input-format": self.input_format,
            "--skip-blank": self.skip_blank,
            "--int8": self.int8,
        }
        return [name for name, value in given.items() if value]
