r"""Tokenization of text into words or characters for language models. Reads no files.

Words are separated by white space, and the end of a line is the word "\n". A character is a Unicode code
point. Case, punctuation and Unicode normalization form are not changed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import Sequence as InTurn
from tokenizers.pre_tokenizers import Split

from throughtime._options import named
from throughtime.data.vocabulary import UNKNOWN, Vocabulary
from throughtime.errors import DataError

SymbolUnit = Literal["word", "character"]
LINE_END = "\n"

# The white space of `str.split`, without the line end.
_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace() and chr(code) != LINE_END)


def symbols_of(text: str, unit: SymbolUnit) -> Sequence[str]:
    r"""Split a text into words or characters.

    Examples
    --------
    >>> symbols_of("To be,\n  or not", "word"), symbols_of("é\n", "character")
    (['To', 'be,', '\n', 'or', 'not'], 'é\n')
    """
    if unit == "character":
        return text
    lines = text.split(LINE_END)
    words = [word for line in lines for word in (*line.split(), LINE_END)]
    words.pop()  # the last line has no line end
    return words


def learn_vocabulary(symbols: Sequence[str], unit: SymbolUnit, size: int, min_count: int) -> Vocabulary:
    """Return a vocabulary of the most frequent symbols in descending order, after ``<unk>``.

    Parameters
    ----------
    symbols
        Symbols of the training text.
    unit
        Name of a symbol in messages.
    size
        Maximum size, including ``<unk>``.
    min_count
        Minimum number of occurrences.

    Examples
    --------
    >>> learn_vocabulary("hello", "character", 3, 1).words
    ('<unk>', 'l', 'h')
    """
    counts = character_counts(symbols) if isinstance(symbols, str) else Counter(symbols)
    return vocabulary_of_counts(counts, unit, size, min_count)


def vocabulary_of_counts(
    counts: Mapping[str, int], unit: SymbolUnit, size: int, min_count: int
) -> Vocabulary:
    """Return the vocabulary of counted symbols; see `learn_vocabulary`."""
    # Symbols with equal counts are in the order of their first occurrence.
    common = Counter({symbol: n for symbol, n in counts.items() if n >= min_count and symbol != UNKNOWN})
    frequent = [symbol for symbol, _ in common.most_common(max(size - 1, 0))]
    if not frequent:
        raise DataError(
            f"no {unit} of the text for training occurs {min_count} times; lower {named('min_count')} or "
            "give more text"
        )
    return Vocabulary(frequent)


def character_counts(text: str) -> Counter[str]:
    """Return the count of each character, in the order of their first occurrence.

    Examples
    --------
    >>> character_counts("hello")
    Counter({'l': 2, 'h': 1, 'e': 1, 'o': 1})
    """
    codes, first, counts = np.unique(_codes(text), return_index=True, return_counts=True)
    order = np.argsort(first)
    return Counter({chr(codes[i]): int(counts[i]) for i in order})


def encode_symbols(symbols: Sequence[str], vocabulary: Vocabulary) -> torch.Tensor:
    """Return the numbers of symbols, (T,) int64; 0 for symbols that are not in the vocabulary.

    Examples
    --------
    >>> encode_symbols("hello", Vocabulary(["l", "h"])).tolist()
    [2, 0, 1, 1, 0]
    """
    if not isinstance(symbols, str):
        return torch.from_numpy(vocabulary.numbers(symbols))
    codes, inverse = np.unique(_codes(symbols), return_inverse=True)
    return torch.from_numpy(vocabulary.numbers(map(chr, codes))[inverse])


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def symbol_tokenizer(vocabulary: Vocabulary, unit: SymbolUnit) -> Tokenizer:
    r"""Return a tokenizer of the tokenizers library that splits and encodes in the same way.

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
    r"""Incremental decoder of symbol numbers to text.

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
        """Return the text that the next symbol adds, with a space before it if needed."""
        symbol = self._words[number]
        separator = " " if self._spaced and LINE_END not in {symbol, self._before} else ""
        self._before = symbol
        return separator + symbol


def encode_prompt(prompt: str, vocabulary: Vocabulary, unit: SymbolUnit) -> torch.Tensor:
    """Return the numbers of a prompt's symbols, (T,) int64.

    Raises
    ------
    DataError
        If symbols are not in the vocabulary; the message lists them.

    Examples
    --------
    >>> encode_prompt("hell", Vocabulary(["l", "h", "e"]), "character").tolist()
    [2, 3, 1, 1]
    """
    symbols = symbols_of(prompt, unit)
    numbers = encode_symbols(symbols, vocabulary)
    unknown = [
        f"{symbol!r} ({unit} {position})"
        for position, (symbol, number) in enumerate(zip(symbols, numbers.tolist(), strict=True), start=1)
        if number == 0 and symbol != UNKNOWN
    ]
    if unknown:
        shown = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
        instead = f" or replace them by {UNKNOWN}" if unit == "word" else ""
        raise DataError(
            f"the prompt has {unit}s that are not in the vocabulary of the model: {shown}; remove "
            f"them{instead}"
        )
    return numbers
