"""A tokenizer from its JSON, after all checks."""

import json
from typing import Any

from tokenizers import Tokenizer

from throughtime.data.tokenizer_file import check_tokenizer
from throughtime.data.tokenizing import panics_as_errors


def tokenizer_from_json(text: str | bytes | None) -> Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``, which may be from anybody.

    Raises
    ------
    ValueError
        If it is missing, is not the JSON of a tokenizer, or is not allowed (see `check_tokenizer`).

    Examples
    --------
    >>> tokenizer_from_json('{"model": {"type": "Neural"}}')
    Traceback (most recent call last):
        ...
    ValueError: model.type must be one of 'BPE', 'Unigram', 'WordLevel', 'WordPiece', got 'Neural'
    """
    if text is None:
        raise ValueError("the tokenizer is missing")
    content = _parsed(text)
    check_tokenizer(content, None)
    try:
        with panics_as_errors():
            return Tokenizer.from_str(json.dumps(content))  # what was checked, without repeated keys
    except Exception as error:  # the library raises no more specific exception
        raise ValueError(f"it cannot be read by the tokenizers library ({error})") from error


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from error
