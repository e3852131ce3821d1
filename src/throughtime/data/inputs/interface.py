"""Interface of inputs: options, which a user sets, and what is learned from training rows with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from throughtime._fields import Fields, to_json
from throughtime._options import named
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError
from throughtime.ragged import Ragged

Blank = Literal["refuse", "skip", "empty"]
"""What to do with a row without text, tokens or steps: refuse it, let the caller drop it, or encode it."""


@dataclass(frozen=True)
class InputShape:
    """What the steps of a batch are: tokens from 0 to V − 1, or numbers in C channels.

    Parameters
    ----------
    vocabulary_size : int, optional
        Number of tokens V, if steps are tokens.
    channels : int, optional
        Number of channels C, if steps are numbers.
    """

    vocabulary_size: int | None = None
    channels: int | None = None


class InputOptions(Protocol):
    """What a user asks for; a frozen dataclass of JSON values."""

    @property
    def blank(self) -> Blank:
        """What to do with blank rows; the caller drops them for ``"skip"``."""

    def blank_rows(self, table: Table) -> NDArray[np.int64]:
        """Return the rows without text, tokens or steps, counted from 0."""

    def fit(self, table: Table) -> "Inputs":
        """Learn vocabulary or scales from training rows."""


class Inputs(Protocol):
    """What turns rows into sequences. Slices of a table may be encoded one after another."""

    @property
    def options(self) -> InputOptions:
        """What the user asked for."""

    @property
    def shape(self) -> InputShape:
        """Number of tokens or channels."""

    @property
    def tokenizer_json(self) -> str | None:
        """Content of the run's ``tokenizer.json``; None for series."""

    @property
    def token_names(self) -> tuple[str, ...]:
        """Name of each token in the order of token numbers, as for `read_vectors`; none for series."""

    def encode(self, table: Table) -> Ragged:
        """Return the sequence of each row: (T,) int64 of tokens, or (T, C) float32 of steps."""

    def words(self, table: Table) -> list[list[str]]:
        """Return the text of each token, or the number of each step, for reports."""

    def to_json(self) -> dict[str, Any]:
        """Return everything but the tokenizer as JSON values."""


def check_options(options: Any, columns: Sequence[str] | None = None) -> None:
    """Check the types and ranges of options, and that there are columns.

    Raises
    ------
    ShapeError
        If a field has another type or a value that is not allowed, or there are no columns.
    """
    try:
        Fields(to_json(options)).check(type(options))
    except ValueError as error:
        raise ShapeError(str(error)) from error
    if columns is not None and not columns:
        raise ShapeError("columns is empty; name at least one column")


def require_vocabulary(size: int, least: int) -> None:
    """Check that a vocabulary has room for all tokens that are always in it.

    Raises
    ------
    ShapeError
        If it has not.
    """
    if size < least:
        raise ShapeError(f"vocabulary = {size} is too small; use at least {least}")


def require_no_blank_rows(table: Table, rows: NDArray[np.int64], blank: Blank, what: str) -> None:
    """Check that no row is blank, unless the option is ``"empty"``.

    Raises
    ------
    DataError
        If one is; the message names the first.
    """
    if blank == "empty" or not len(rows):
        return
    others = f" (and {len(rows) - 1:,} more)" if len(rows) > 1 else ""
    raise DataError(
        f"{table.place(int(rows[0]))}{others} has {what}; fill it in, or drop such rows with "
        f"{named('skip_blank', value=True)}"
    )
