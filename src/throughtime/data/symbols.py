r"""Words or characters of a running text, and their numbers. Reads no files.

A word is what stands between white space, as it stands there; the end of a line is the word "\n". A character
is a Unicode code point. Nothing is changed: no case, no punctuation, no form of a character.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import Sequence as InTurn
from tokenizers.pre_tokenizers import Split

from throughtime.data.vocabulary import UNKNOWN, Vocabulary
from throughtime.errors import DataError

SymbolUnit = Literal["word", "character"]
LINE_END = "\n"

# What `str.split` calls white space, without the line end.
_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace() and chr(code) != LINE_END)


def symbols_of(text: str, unit: SymbolUnit) -> Sequence[str]:
    r"""Return the steps of a text.

    Examples
    --------
    >>> symbols_of("To be,\n  or not", "word"), symbols_of("é\n", "character")
    (['To', 'be,', '\n', 'or', 'not'], 'é\n')
    """
    if unit == "character":
        return text
    lines = text.split(LINE_END)
    found = [word for line in lines for word in (*line.split(), LINE_END)]
    found.pop()  # the last line ends with the text
    return found


def learn_vocabulary(symbols: Sequence[str], unit: SymbolUnit, size: int, min_count: int) -> Vocabulary:
    """Return the commonest symbols, from frequent to rare, after ``<unk>`` for all others.

    Parameters
    ----------
    symbols
        Of the training, and no others.
    unit
        What they are.
    size
        At most, ``<unk>`` included.
    min_count
        Symbols that occur less often are not in it.

    Examples
    --------
    >>> learn_vocabulary("hello", "character", 3, 1).words
    ('<unk>', 'l', 'h')
    """
    counts = Counter(_counted(symbols) if isinstance(symbols, str) else symbols)
    counts.pop(UNKNOWN, None)
    # Of equally common ones the earlier comes first.
    kept = [symbol for symbol, count in counts.most_common(max(size - 1, 0)) if count >= min_count]
    if not kept:
        raise DataError(
            f"no {unit} of the text for training occurs {min_count} times; lower --min-count, or give more "
            "text"
        )
    return Vocabulary(kept)


def _counted(text: str) -> dict[str, int]:
    codes, first, counts = np.unique(_codes(text), return_index=True, return_counts=True)
    order = np.argsort(first)
    return {chr(codes[i]): int(counts[i]) for i in order}


def encode_symbols(symbols: Sequence[str], vocabulary: Vocabulary) -> torch.Tensor:
    """Return the numbers of symbols, (T,) int64; 0 for what the vocabulary lacks.

    Examples
    --------
    >>> encode_symbols("hello", Vocabulary(["l", "h"])).tolist()
    [2, 0, 1, 1, 0]
    """
    if not isinstance(symbols, str):
        return torch.from_numpy(vocabulary.numbers(symbols))
    known, place = np.unique(_codes(symbols), return_inverse=True)
    return torch.from_numpy(vocabulary.numbers(map(chr, known))[place])


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def symbol_tokenizer(vocabulary: Vocabulary, unit: SymbolUnit) -> Tokenizer:
    r"""Return the same as a tokenizer of the tokenizers library.

    Examples
    --------
    >>> symbol_tokenizer(Vocabulary(["a", "\n"]), "word").encode(" a b\na").ids
    [1, 0, 2, 1]
    """
    tokenizer = vocabulary.to_tokenizer()
    tokenizer.pre_tokenizer = (
        Split(Regex("[\\s\\S]"), "isolated")
        if unit == "character"
        else InTurn([Split(LINE_END, "isolated"), Split(Regex(f"[{_SPACE}]+"), "removed")])
    )
    return tokenizer


class Spelling:
    r"""Symbols out of numbers, one after the other, as a text.

    Examples
    --------
    >>> spelling = Spelling(Vocabulary(["a", "\n"]), "word")
    >>> [spelling.add(number) for number in (1, 1, 2, 1)]
    ['a', ' a', '\n', 'a']
    """

    def __init__(self, vocabulary: Vocabulary, unit: SymbolUnit, before: str = LINE_END) -> None:
        self._words, self._spaced = vocabulary.words, unit == "word"
        self._before = before

    def add(self, number: int) -> str:
        """Return what the next symbol adds to the text."""
        symbol = self._words[number]
        between = " " if self._spaced and LINE_END not in {symbol, self._before} else ""
        self._before = symbol
        return between + symbol


def encode_prompt(prompt: str, vocabulary: Vocabulary, unit: SymbolUnit) -> torch.Tensor:
    """Return the numbers of a prompt's symbols, (T,) int64.

    Raises
    ------
    DataError
        If the training never saw one of them; it names all.

    Examples
    --------
    >>> encode_prompt("hell", Vocabulary(["l", "h", "e"]), "character").tolist()
    [2, 3, 1, 1]
    """
    symbols = symbols_of(prompt, unit)
    numbers = encode_symbols(symbols, vocabulary)
    strange = [
        f"{symbol!r} ({unit} {place})"
        for place, (symbol, number) in enumerate(zip(symbols, numbers.tolist(), strict=True), start=1)
        if number == 0 and symbol != UNKNOWN
    ]
    if strange:
        shown = ", ".join(strange[:5]) + (", …" if len(strange) > 5 else "")
        instead = f", or write {UNKNOWN} in their place" if unit == "word" else ""
        raise DataError(
            f"the prompt has {unit}s that the vocabulary of the training lacks: {shown}; leave them "
            f"out{instead}"
        )
    return numbers
