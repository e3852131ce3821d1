"""What ``tokenizer.json`` of a run may hold: a tokenizer that ends, and whose tokens the model knows.

A file of the tokenizers library may hold regular expressions that take forever, replacements that make a
text a million times as long, and tokens beyond the model's vocabulary. The library finds some of these only
when it reads a text, and then ends the thread rather than raise an error.
"""

import re
from collections.abc import Iterator
from typing import Any

from throughtime._fields import Fields, short

_MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")
_NORMALIZERS = (
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Sequence", "Strip", "StripAccents",
)  # fmt: skip
_PRE_TOKENIZERS = (
    "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace", "Punctuation", "Sequence",
    "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit",
)  # fmt: skip
# Of a word, of which WordPiece compares all parts with its vocabulary: its time grows with the third power.
# The library's own default.
_MOST_CHARACTERS = 100

# Some characters, or as many of them as there are: an expression that is matched without going back.
_CHARACTERS = re.compile(r"\[(?:[^\[\]\\]|\\.)+\]\+?", re.DOTALL)


def check_tokenizer(content: Any, vocabulary_size: int) -> None:
    """Check a tokenizer before the tokenizers library reads it.

    Parameters
    ----------
    content : Any
        Of the file, as JSON values.
    vocabulary_size : int
        Of the model: tokens are below it.

    Raises
    ------
    ValueError
        If something is missing, or may not be in a run.
    """
    fields = Fields(content)
    _check_parts(content.get("normalizer"), "normalizer", "normalizers", _NORMALIZERS)
    _check_parts(content.get("pre_tokenizer"), "pre_tokenizer", "pretokenizers", _PRE_TOKENIZERS)
    _check_parts(content.get("post_processor"), "post_processor", "processors", ("ByteLevel",))
    for name in ("truncation", "padding"):
        if content.get(name) is not None:
            raise ValueError(f"{name} would change sequences; a run's tokenizer has none")
    numbers = _numbers(fields)
    wrong = [number for number, expected in enumerate(sorted(numbers.values())) if number != expected]
    if wrong:
        raise ValueError(f"its {len(numbers)} tokens are not numbered from 0 on, each with its own number")
    if len(numbers) > vocabulary_size:
        raise ValueError(
            f"it has {len(numbers)} tokens, and the model's vocabulary (config.json) is of {vocabulary_size}"
        )


def _check_parts(part: Any, place: str, several: str, known: tuple[str, ...]) -> None:
    """Check a normalizer and its like."""
    if part is None:
        return
    fields = Fields(part, f"{place}.")
    fields.one_of("type", known)
    if fields.text("type") == "Split":
        _check_pattern(fields.fields("pattern"), place)
    if fields.text("type") == "Sequence":
        for i, inner in enumerate(fields.items(several)):
            _check_parts(inner, f"{place}.{several}.{i}", several, known)


def _check_pattern(pattern: Fields, place: str) -> None:
    if not pattern.has("Regex"):
        if not pattern.text("String"):
            raise ValueError(f"{place} splits at an empty string")
    elif not _CHARACTERS.fullmatch(pattern.text("Regex")):
        raise ValueError(
            f"{place} has the regular expression {short(pattern.text('Regex'))}, which may take forever; "
            "a run's tokenizer splits at strings, or at characters such as [\\s]+"
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
            f"model.max_input_chars_per_word = {model.whole('max_input_chars_per_word')} takes far too long; "
            f"at most {_MOST_CHARACTERS}"
        )
    if kind == "Unigram":
        if model.whole("unk_id") >= len(numbers):
            raise ValueError(f"model.unk_id = {model.whole('unk_id')} is none of its {len(numbers)} tokens")
    elif model.value("unk_token") is not None or kind != "BPE":
        unknown = model.text("unk_token")
        if unknown not in numbers:
            raise ValueError(f"its unknown token {unknown!r} is missing from model.vocab")
    for i, added in enumerate(fields.items("added_tokens")):
        token = Fields(added, f"added_tokens.{i}.")
        if not token.text("content"):
            raise ValueError(f"added_tokens.{i}.content is empty")
        if numbers.setdefault(token.text("content"), token.whole("id")) != token.whole("id"):
            raise ValueError(f"added_tokens.{i} has another number than model.vocab gives it")
    return numbers


def _check_bpe(model: Fields) -> None:
    """Refuse tokens drawn at random, and merges without the prefix, at which the library ends the process."""
    if model.has("dropout") and model.value("dropout") not in (None, 0):
        raise ValueError(f"model.dropout = {short(model.value('dropout'))} draws tokens at random; set null")
    if not model.has("continuing_subword_prefix") or not model.value("continuing_subword_prefix"):
        return
    prefix = model.text("continuing_subword_prefix")
    if not prefix.isascii():  # the library takes its number of characters for one of bytes
        raise ValueError(f"model.continuing_subword_prefix = {short(prefix)} is not ASCII")
    for i, merge in enumerate(model.items("merges")):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) for p in parts):
            raise ValueError(f"model.merges.{i} is not a pair of tokens")
        if not parts[1].startswith(prefix):
            raise ValueError(
                f"model.merges.{i} joins {short(parts[1])}, which does not begin with "
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
