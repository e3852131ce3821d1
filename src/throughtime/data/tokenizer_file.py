"""Checks of ``tokenizer.json``: the tokenizer must terminate and match the vocabulary of the model.

A file of the tokenizers library can have regular expressions that do not terminate, replacements that make a
text a million times longer, and tokens outside of the vocabulary of the model. The library detects some of
these only when it encodes a text, and then panics instead of raising an error.
"""

import re
from collections.abc import Iterator
from typing import Any

from throughtime._fields import Fields, short
from throughtime.data.special_tokens import check_special_tokens

_MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")
_NORMALIZERS = (
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Sequence", "Strip", "StripAccents",
)  # fmt: skip
_PRE_TOKENIZERS = (
    "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation", "Sequence",
    "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit",
)  # fmt: skip
_POST_PROCESSORS = ("BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing")
# Maximum length of a word for WordPiece, whose time grows with its third power; the default of the library.
_MOST_CHARACTERS = 100

# A character class, optionally repeated: matched without backtracking.
_CHARACTERS = re.compile(r"\[(?:[^\[\]\\]|\\.)+\]\+?", re.DOTALL)


def check_tokenizer(content: Any, vocabulary_size: int | None) -> None:
    """Check a tokenizer before the tokenizers library reads it.

    Parameters
    ----------
    content : Any
        Content of the file as JSON values.
    vocabulary_size : int, optional
        Number of tokens of the model; None before there is one.

    Raises
    ------
    ValueError
        If an entry is missing or not allowed.
    """
    fields = Fields(content)
    _check_parts(content.get("normalizer"), "normalizer", "normalizers", _NORMALIZERS)
    _check_parts(content.get("pre_tokenizer"), "pre_tokenizer", "pretokenizers", _PRE_TOKENIZERS)
    _check_parts(content.get("post_processor"), "post_processor", "processors", _POST_PROCESSORS)
    for name in ("truncation", "padding"):
        if content.get(name) is not None:
            raise ValueError(f"{name} would change sequences; set it to null")
    numbers = _numbers(fields)
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise ValueError(f"its {len(numbers)} tokens are not numbered from 0 without gaps and repetitions")
    check_special_tokens(content.get("post_processor"), numbers)
    if vocabulary_size is not None and len(numbers) > vocabulary_size:
        raise ValueError(f"it has {len(numbers)} tokens, but the model (config.json) has {vocabulary_size}")


def _check_parts(part: Any, place: str, several: str, types: tuple[str, ...]) -> None:
    """Check a normalizer, pre-tokenizer or post-processor, and those of a sequence."""
    if part is None:
        return
    fields = Fields(part, f"{place}.")
    fields.one_of("type", types)
    if fields.text("type") == "Split":
        _check_pattern(fields.fields("pattern"), place)
    if fields.text("type") == "Sequence":
        for i, inner in enumerate(fields.items(several)):
            _check_parts(inner, f"{place}.{several}.{i}", several, types)


def _check_pattern(pattern: Fields, place: str) -> None:
    if not pattern.has("Regex"):
        if not pattern.text("String"):
            raise ValueError(f"{place} splits at an empty string; give at least one character")
    elif not _CHARACTERS.fullmatch(pattern.text("Regex")):
        raise ValueError(
            f"{place} has the regular expression {short(pattern.text('Regex'))}, which may be too slow; "
            "use a string, or a character class such as [\\s]+"
        )


def _numbers(fields: Fields) -> dict[str, int]:
    """Return the number of every token."""
    model = fields.fields("model")
    kind = model.one_of("type", _MODELS)
    numbers = dict(_unigrams(model) if kind == "Unigram" else _vocabulary(model))
    if kind == "BPE":
        _check_bpe(model)
    if kind == "WordPiece" and model.whole("max_input_chars_per_word") > _MOST_CHARACTERS:
        raise ValueError(
            f"model.max_input_chars_per_word = {model.whole('max_input_chars_per_word')} takes too long; "
            f"use at most {_MOST_CHARACTERS}"
        )
    if kind == "Unigram":
        if model.whole("unk_id") >= len(numbers):
            raise ValueError(
                f"model.unk_id = {model.whole('unk_id')} is not one of its {len(numbers)} tokens"
            )
    elif model.value("unk_token") is not None or kind != "BPE":
        unknown = model.text("unk_token")
        if unknown not in numbers:
            raise ValueError(f"its unknown token {unknown!r} is missing from model.vocab")
    for i, added in enumerate(fields.items("added_tokens")):
        token = Fields(added, f"added_tokens.{i}.")
        if not token.text("content"):
            raise ValueError(f"added_tokens.{i}.content is empty")
        if numbers.setdefault(token.text("content"), token.whole("id")) != token.whole("id"):
            raise ValueError(f"added_tokens.{i}.id differs from the number of the token in model.vocab")
    return numbers


def _check_bpe(model: Fields) -> None:
    """Check that a BPE model has no dropout, and no merges without the prefix, which abort the process."""
    if model.has("dropout") and model.value("dropout") not in (None, 0):
        raise ValueError(f"model.dropout = {short(model.value('dropout'))} gives random tokens; set null")
    if not model.has("continuing_subword_prefix") or not model.value("continuing_subword_prefix"):
        return
    prefix = model.text("continuing_subword_prefix")
    if not prefix.isascii():  # the library uses its number of characters as a number of bytes
        raise ValueError(f"model.continuing_subword_prefix = {short(prefix)} is not ASCII")
    for i, merge in enumerate(model.items("merges")):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) for p in parts):
            raise ValueError(f"model.merges.{i} is not a pair of tokens")
        if not parts[1].startswith(prefix):
            raise ValueError(
                f"model.merges.{i} appends {short(parts[1])}, which does not start with "
                f"model.continuing_subword_prefix = {short(prefix)}"
            )


def _vocabulary(model: Fields) -> Iterator[tuple[str, int]]:
    tokens = model.fields("vocab")
    return ((token, tokens.whole(token)) for token in model.mapping("vocab"))


def _unigrams(model: Fields) -> Iterator[tuple[str, int]]:
    for i, pair in enumerate(model.items("vocab")):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f"model.vocab.{i} is not a token and its score")
        yield pair[0], i
