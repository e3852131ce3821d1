"""Inputs of text: one or several columns, and the tokenizer that encodes them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from throughtime._fields import Fields, to_json
from throughtime.data.inputs.interface import Blank, InputShape, check_options, require_no_blank_rows
from throughtime.data.inputs.text_columns import SEPARATOR, joined_texts, rows_without_text, text_column
from throughtime.data.inputs.tokenizer_json import tokenizer_from_json
from throughtime.data.table import Table
from throughtime.data.tokenizing import encode, token_texts
from throughtime.ragged import Ragged


@dataclass(frozen=True, kw_only=True)
class TextOptions(ABC):
    """Options of every kind of text.

    Parameters
    ----------
    columns : tuple of str
        Columns of text; several are joined by the special token ``<sep>``.
    blank : {"refuse", "skip", "empty"}
        What to do with a row that has only white space: refuse it with an error, which is also the case for
        ``"skip"`` unless the caller has dropped `blank_rows`, or encode it as an empty sequence.

    Raises
    ------
    ShapeError
        If there are no columns, or an option has a value that is not allowed.
    """

    kind = ""
    columns: tuple[str, ...]
    blank: Blank = "refuse"

    def __post_init__(self) -> None:
        check_options(self, self.columns)

    @abstractmethod
    def fit(self, table: Table) -> "TextInputs":
        """Train the tokenizer."""

    def blank_rows(self, table: Table) -> NDArray[np.int64]:
        """Return the rows without text, counted from 0."""
        return rows_without_text(table, self.columns)

    def texts(self, table: Table) -> list[str]:
        """Return the text of each row, with the texts of several columns joined.

        Raises
        ------
        DataError
            If a column is missing or does not hold text, or a row is blank (unless ``blank="empty"``).
        """
        self._require_text(table)
        return joined_texts(table, self.columns)

    def training_texts(self, table: Table) -> Iterator[str]:
        """Yield the texts of all columns row by row, not joined, to train a tokenizer.

        Raises
        ------
        DataError
            As `texts`.
        """
        for part in table.chunks():
            self._require_text(part)
            columns = [text_column(part, name).to_pylist() for name in self.columns]
            yield from chain.from_iterable(zip(*columns, strict=True))

    def _require_text(self, table: Table) -> None:
        names = ", ".join(map(repr, self.columns))
        what = f"no text in column{'s' if len(self.columns) > 1 else ''} {names}"
        require_no_blank_rows(table, self.blank_rows(table), self.blank, what)

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Tokens that the options add to the vocabulary."""
        return (SEPARATOR,) if len(self.columns) > 1 else ()


@dataclass(frozen=True, eq=False)
class TextInputs:
    """Encoder of texts.

    Parameters
    ----------
    options : TextOptions
        Columns and what to do with blank rows.
    tokenizer : tokenizers.Tokenizer
        The trained tokenizer.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from throughtime.data.inputs import WordOptions
    >>> rows = Table(pa.table({"text": ["to be, or not to be", "not to see"]}), "plays.csv")
    >>> inputs = WordOptions(columns=("text",)).fit(rows)
    >>> inputs.shape.vocabulary_size, inputs.encode(rows).lengths.tolist(), inputs.words(rows)[1]
    (4, [7, 3], ['not', 'to', 'see'])
    """

    options: TextOptions
    tokenizer: Tokenizer

    @property
    def shape(self) -> InputShape:
        """Size of the vocabulary."""
        return InputShape(vocabulary_size=self.tokenizer.get_vocab_size())

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer as JSON."""
        text: str = self.tokenizer.to_str()
        return text

    @property
    def token_names(self) -> tuple[str, ...]:
        """Name of each token in the order of token numbers."""
        numbers: dict[str, int] = self.tokenizer.get_vocab()
        return tuple(sorted(numbers, key=numbers.__getitem__))

    def encode(self, table: Table) -> Ragged:
        """Return the tokens of each row, (T,) int64.

        Raises
        ------
        DataError
            If a column is missing or does not hold text, a row is blank (unless ``blank="empty"``), or the
            tokenizer fails.
        """
        return encode(self.tokenizer, self.options.texts(table))

    def words(self, table: Table) -> list[list[str]]:
        """Return the part of the text that each token stands for.

        Raises
        ------
        DataError
            As `encode`.
        """
        return token_texts(self.tokenizer, self.options.texts(table))

    def to_json(self) -> dict[str, Any]:
        """Return the kind and the options as JSON values."""
        return {"kind": self.options.kind, "options": to_json(self.options)}


def text_inputs_from_json(
    options: TextOptions,
    content: Fields,  # noqa: ARG001 - the tokenizer is all that is learned
    tokenizer_json: str | None,
) -> TextInputs:
    """Return inputs from their options and tokenizer.

    Raises
    ------
    ValueError
        If the tokenizer is missing, cannot be read, or is not allowed (see `check_tokenizer`).
    """
    return TextInputs(options, tokenizer_from_json(tokenizer_json))


def with_special_tokens(tokenizer: Tokenizer, tokens: Iterable[str]) -> Tokenizer:
    """Add special tokens at the end of the vocabulary, unless they are in it, and return the tokenizer."""
    tokenizer.add_special_tokens(list(tokens))
    return tokenizer
