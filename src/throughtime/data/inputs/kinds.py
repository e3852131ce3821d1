"""The kinds of inputs by name. A new kind is a file and a line in `_KINDS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from throughtime._fields import Fields
from throughtime.data.inputs.bpe import BytePairOptions
from throughtime.data.inputs.characters import CharacterOptions
from throughtime.data.inputs.interface import InputOptions, Inputs
from throughtime.data.inputs.own_tokenizer import TokenizerOptions
from throughtime.data.inputs.series import SeriesOptions, series_inputs_from_json
from throughtime.data.inputs.text import text_inputs_from_json
from throughtime.data.inputs.tokens import TokenOptions, token_inputs_from_json
from throughtime.data.inputs.words import WordOptions


@dataclass(frozen=True)
class _Kind:
    options: Callable[..., Any]
    read: Callable[[Any, Fields, str | None], Inputs]


_KINDS: Mapping[str, _Kind] = {
    "words": _Kind(WordOptions, text_inputs_from_json),
    "characters": _Kind(CharacterOptions, text_inputs_from_json),
    "bpe": _Kind(BytePairOptions, text_inputs_from_json),
    "tokenizer": _Kind(TokenizerOptions, text_inputs_from_json),
    "tokens": _Kind(TokenOptions, token_inputs_from_json),
    "series": _Kind(SeriesOptions, series_inputs_from_json),
}


def _kind(fields: Fields) -> _Kind:
    return _KINDS[cast("str", fields.one_of("kind", tuple(_KINDS)))]


def input_options(content: Any) -> InputOptions:
    """Return the options in the JSON values of inputs (see `Inputs.to_json`).

    Raises
    ------
    ValueError
        If the kind is unknown or an option is missing or not allowed.

    Examples
    --------
    >>> input_options({"kind": "waves"})
    Traceback (most recent call last):
        ...
    ValueError: kind must be one of 'words', 'characters', 'bpe', 'tokenizer', 'tokens', 'series', got 'waves'
    """
    fields = Fields(content)
    kind = _kind(fields)
    options: InputOptions = fields.fields("options").dataclass(kind.options)
    return options


def read_inputs(content: Any, tokenizer_json: str | None) -> Inputs:
    """Return inputs from their JSON values and tokenizer.

    Parameters
    ----------
    content : Any
        Result of `Inputs.to_json`.
    tokenizer_json : str, optional
        `Inputs.tokenizer_json`; it may be from anybody, and is checked.

    Raises
    ------
    ValueError
        If the kind is unknown, an entry is missing or not allowed, or the tokenizer is refused.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from throughtime.data.table import Table
    >>> rows = Table(pa.table({"text": ["to be, or not to be"]}), "plays.csv")
    >>> inputs = WordOptions(columns=("text",)).fit(rows)
    >>> read_inputs(inputs.to_json(), inputs.tokenizer_json).encode(rows).values.tolist()
    [2, 1, 0, 0, 0, 2, 1]
    """
    fields = Fields(content)
    return _kind(fields).read(input_options(content), fields, tokenizer_json)
