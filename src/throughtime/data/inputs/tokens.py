"""Inputs of token lists, such as the event ids of a session of a log."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from throughtime._fields import Fields, Positive, to_json
from throughtime._options import named
from throughtime.data.inputs.column_kinds import content_of, is_list, is_text
from throughtime.data.inputs.interface import Blank, InputShape, check_options, require_no_blank_rows
from throughtime.data.inputs.json_lists import with_lists
from throughtime.data.inputs.list_columns import Lists, lists_of
from throughtime.data.inputs.tokenizer_json import tokenizer_from_json
from throughtime.data.table import Table
from throughtime.data.vocabulary import UNKNOWN, Vocabulary
from throughtime.errors import DataError
from throughtime.ragged import Ragged

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """Options of a column of lists of strings or integers; rare and unknown ones become ``<unk>``, token 0.

    Parameters
    ----------
    column : str
        Column of lists.
    split : bool
        Whether the column holds text, to be split at white space.
    vocabulary : int
        Maximum size of the vocabulary, including ``<unk>``; it has the most frequent tokens.
    min_count : int
        Minimum number of occurrences of a token in the training rows.
    blank : {"refuse", "skip", "empty"}
        What to do with a row without tokens: refuse it with an error, which is also the case for ``"skip"``
        unless the caller has dropped `blank_rows`, or encode it as an empty sequence.

    Examples
    --------
    >>> rows = Table(pa.table({"events": [[5, 5, 22], [22, 5, 9]]}), "log.jsonl")
    >>> inputs = TokenOptions(column="events").fit(rows)
    >>> inputs.encode(rows).values.tolist(), inputs.vocabulary.words
    ([1, 1, 2, 2, 1, 0], ('<unk>', '5', '22'))
    """

    kind = "tokens"
    column: str
    split: bool = False
    vocabulary: Positive = 20_000
    min_count: Positive = 2
    blank: Blank = "refuse"

    def __post_init__(self) -> None:
        check_options(self, [self.column])

    def blank_rows(self, table: Table) -> NDArray[np.int64]:
        """Return the rows without tokens, counted from 0."""
        return np.flatnonzero(self._lists(table).lengths == 0)

    def lists(self, table: Table) -> Lists:
        """Return the tokens of all rows, as strings or integers.

        Raises
        ------
        DataError
            If the column is missing or does not hold tokens, if a token is null, or if a row has no tokens
            (unless ``blank="empty"``).
        """
        lists = self._lists(table)
        blank = np.flatnonzero(lists.lengths == 0)
        require_no_blank_rows(table, blank, self.blank, f"no tokens in column {self.column!r}")
        if lists.elements.null_count:
            row, step = lists.position(lists.elements.is_null().index(True).as_py())
            raise DataError(
                f"{table.place(row)} has no token at position {step + 1} of column {self.column!r}; remove "
                "it or name it"
            )
        return lists

    def _lists(self, table: Table) -> Lists:
        column = table.column(self.column) if self.split else with_lists(table, self.column)
        if self.split and is_text(column.type):
            trimmed = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
            column = pc.utf8_split_whitespace(pc.if_else(pc.equal(trimmed, ""), None, trimmed))
        self._require_tokens(column.type, table.name)
        if pa.types.is_null(column.type):
            return Lists(pa.array([], pa.large_string()), np.zeros(len(table), dtype=np.int64))
        lists = lists_of(column)
        kind = pa.int64() if _fits_int64(lists.elements.type) else pa.large_string()
        return Lists(lists.elements.cast(kind), lists.lengths)

    def _require_tokens(self, kind: pa.DataType, name: str) -> None:
        if pa.types.is_null(kind) or (is_list(kind) and _is_token(kind.value_type)):
            return
        raise DataError(
            f"{name}: column {self.column!r} holds {content_of(kind)}, not lists of texts or whole numbers; "
            f"{self._instead(kind)}"
        )

    def _instead(self, kind: pa.DataType) -> str:
        if is_text(kind):
            return (
                f"split it at white space with {named('split_tokens', value=True)}, write JSON lists, or use "
                f"it with {named('text', self.column)}"
            )
        if is_list(kind):
            return f"use it with {named('series', self.column)}, or convert it to lists of texts"
        return "convert it to lists of texts"

    def fit(self, table: Table) -> "TokenInputs":
        """Learn the vocabulary: the most frequent tokens; those of equal count in their order.

        Raises
        ------
        DataError
            As `lists`, or if no token occurs ``min_count`` times.
        """
        counts = Counter[str]()
        for part in table.chunks():
            of_part = self.lists(part).elements.value_counts()
            tokens = of_part.field("values").cast(pa.large_string()).to_pylist()
            counts.update(dict(zip(tokens, of_part.field("counts").to_pylist(), strict=True)))
        common = counts.most_common()  # those of equal count in the order of their first occurrence
        frequent = [token for token, count in common if count >= self.min_count and token != UNKNOWN]
        if not frequent:
            raise DataError(
                f"{table.name}: no token of column {self.column!r} occurs {self.min_count} times; lower "
                f"{named('min_count')} or give more rows"
            )
        return TokenInputs(self, Vocabulary(frequent[: self.vocabulary - 1]))


def _is_int64(word: str) -> bool:
    return bool(_INTEGER.fullmatch(word)) and -(2**63) <= int(word) < 2**63


def _fits_int64(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind)) and kind != pa.uint64()


def _is_token(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(pa.types.is_integer(kind) or pa.types.is_null(kind))


class _Known(NamedTuple):
    """Tokens of one type, and their numbers followed by that of all others."""

    tokens: pa.Array
    numbers_of_tokens: NDArray[np.int64]

    @classmethod
    def of(cls, words: Sequence[str], kind: pa.DataType) -> Self:
        """Return the words that are of this type: strings, or integers as Python writes them."""
        of_kind = [i for i, word in enumerate(words) if kind != pa.int64() or _is_int64(word)]
        tokens = pa.array([words[i] for i in of_kind], pa.large_string()).cast(kind)
        return cls(tokens, np.array([*of_kind, 0], dtype=np.int64))

    def numbers(self, elements: pa.Array) -> NDArray[np.int64]:
        """Return the number of each element."""
        index = pc.fill_null(pc.index_in(elements, self.tokens), len(self.tokens))
        numbers: NDArray[np.int64] = self.numbers_of_tokens[index.to_numpy(zero_copy_only=False)]
        return numbers


@dataclass(frozen=True, eq=False)
class TokenInputs:
    """Encoder of token lists.

    Parameters
    ----------
    options : TokenOptions
        Column and what to do with blank rows.
    vocabulary : Vocabulary
        The tokens, ``<unk>`` first.
    """

    options: TokenOptions
    vocabulary: Vocabulary
    _known: Mapping[pa.DataType, "_Known"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known = {kind: _Known.of(self.vocabulary.words, kind) for kind in (pa.large_string(), pa.int64())}
        object.__setattr__(self, "_known", known)

    @property
    def shape(self) -> InputShape:
        """Size of the vocabulary."""
        return InputShape(vocabulary_size=len(self.vocabulary))

    @property
    def tokenizer_json(self) -> str:
        """A word-level tokenizer of the vocabulary as JSON."""
        text: str = self.vocabulary.to_tokenizer().to_str()
        return text

    @property
    def token_names(self) -> tuple[str, ...]:
        """Name of each token in the order of token numbers."""
        return self.vocabulary.words

    def encode(self, table: Table) -> Ragged:
        """Return the tokens of each row, (T,) int64.

        Raises
        ------
        DataError
            If the column is missing or does not hold tokens, if a token is null, or if a row has no tokens
            (unless ``blank="empty"``).
        """
        lists = self.options.lists(table)
        numbers = self._known[lists.elements.type].numbers(lists.elements)
        return Ragged.from_lengths(torch.from_numpy(numbers), torch.from_numpy(lists.lengths))

    def words(self, table: Table) -> list[list[str]]:
        """Return the tokens of each row as strings, unknown ones included.

        Raises
        ------
        DataError
            As `encode`.
        """
        lists = self.options.lists(table)
        tokens, ends = lists.elements.cast(pa.large_string()).to_pylist(), lists.offsets.tolist()
        return [tokens[start:end] for start, end in pairwise(ends)]

    def to_json(self) -> dict[str, Any]:
        """Return the kind and the options as JSON values."""
        return {"kind": self.options.kind, "options": to_json(self.options)}


def token_inputs_from_json(
    options: TokenOptions,
    content: Fields,  # noqa: ARG001 - the vocabulary is all that is learned
    tokenizer_json: str | None,
) -> TokenInputs:
    """Return inputs from their options and tokenizer.

    Raises
    ------
    ValueError
        If the tokenizer is missing, cannot be read, is not allowed (see `check_tokenizer`), or has not
        ``<unk>`` as token 0.
    """
    return TokenInputs(options, Vocabulary.from_tokenizer(tokenizer_from_json(tokenizer_json)))
