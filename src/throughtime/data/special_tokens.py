"""Checks of the part of ``tokenizer.json`` that adds special tokens, such as [CLS], to each text."""

from collections.abc import Iterator, Mapping
from typing import Any

from throughtime._fields import Fields, short

MOST_SPECIAL_TOKENS = 64
"""Maximum number of special tokens that may be added to one text."""


def check_special_tokens(post_processor: Any, numbers: Mapping[str, int]) -> None:
    """Check that few tokens are added, each with its number in the vocabulary, and the text is there once.

    Parameters
    ----------
    post_processor : Any
        Entry ``post_processor`` of the file as JSON values, with known types.
    numbers : mapping of str to int
        Number of each token.

    Raises
    ------
    ValueError
        If a special token is not in the vocabulary, if there are more than `MOST_SPECIAL_TOKENS`, or if a
        template omits or repeats the text.

    Examples
    --------
    >>> bert = {"type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2]}
    >>> check_special_tokens(bert, {"a": 0, "[CLS]": 1, "[SEP]": 3})
    Traceback (most recent call last):
        ...
    ValueError: post_processor.sep has number 2 for '[SEP]', which has 3 in the vocabulary
    """
    count = 0
    for place, token, number in _special_tokens(post_processor, "post_processor"):
        count += 1
        if numbers.get(token) != number:
            raise ValueError(
                f"{place} has number {number} for {short(token)}, which has "
                f"{numbers.get(token, 'none')} in the vocabulary"
            )
    if count > MOST_SPECIAL_TOKENS:
        raise ValueError(
            f"post_processor adds {count} special tokens to each text; use at most {MOST_SPECIAL_TOKENS}"
        )


def _special_tokens(part: Any, place: str) -> Iterator[tuple[str, str, int]]:
    """Yield the place, text and number of each token that is added to a text."""
    if part is None:
        return
    fields = Fields(part, f"{place}.")
    kind = fields.text("type")
    if kind in {"BertProcessing", "RobertaProcessing"}:
        yield from (_pair(fields, place, key) for key in ("cls", "sep"))
    elif kind == "TemplateProcessing":
        yield from _of_template(fields, place)
    elif kind == "Sequence":
        for i, inner in enumerate(fields.items("processors")):
            yield from _special_tokens(inner, f"{place}.processors.{i}")


def _pair(fields: Fields, place: str, key: str) -> tuple[str, str, int]:
    match fields.items(key):
        case [str() as token, int() as number]:
            return f"{place}.{key}", token, number
    raise ValueError(f"{place}.{key} is not a token and its number")


def _of_template(fields: Fields, place: str) -> Iterator[tuple[str, str, int]]:
    special = fields.fields("special_tokens")
    texts = 0
    for i, item in enumerate(fields.items("single")):
        piece = Fields(item, f"{place}.single.{i}.")
        if piece.has("Sequence"):
            piece.fields("Sequence").one_of("id", ("A",))
            texts += 1
        else:
            yield from _added(special.fields(piece.fields("SpecialToken").text("id")), f"{place}.single.{i}")
    if texts != 1:
        raise ValueError(f"{place}.single has the text {texts} times; it must have $A once")


def _added(token: Fields, place: str) -> Iterator[tuple[str, str, int]]:
    names, numbers = token.texts("tokens"), token.items("ids")
    if len(names) != len(numbers):
        raise ValueError(f"{place} has {len(names)} tokens, but {len(numbers)} numbers")
    yield from ((place, name, number) for name, number in zip(names, numbers, strict=True))
