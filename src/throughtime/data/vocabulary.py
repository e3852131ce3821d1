"""Vocabulary of words, convertible to and from a word-level tokenizer of the tokenizers library."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from throughtime.errors import DataError

UNKNOWN = "<unk>"


class Vocabulary:
    """A mapping of words to the numbers 0 to V − 1; unknown words have number 0, ``<unk>``.

    Parameters
    ----------
    words : sequence of str
        Unique words without ``<unk>``; they get the numbers from 1.

    Examples
    --------
    >>> vocabulary = Vocabulary(["if", "else"])
    >>> len(vocabulary), vocabulary.number("else"), vocabulary.number("what")
    (3, 2, 0)
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = (UNKNOWN, *words)
        self._numbers = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def number(self, word: str) -> int:
        """Return the number of a word, 0 if it is unknown."""
        return self._numbers.get(word, 0)

    def numbers(self, words: Iterable[str]) -> NDArray[np.int64]:
        """Return the numbers of words, (n,) int64."""
        return np.fromiter((self._numbers.get(word, 0) for word in words), dtype=np.int64)

    def to_tokenizer(self) -> Tokenizer:
        """Return a word-level tokenizer of the tokenizers library."""
        return Tokenizer(WordLevel(dict(self._numbers), unk_token=UNKNOWN))

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer) -> "Vocabulary":
        """Return the vocabulary of a word-level tokenizer.

        Raises
        ------
        DataError
            If its words are not numbered from 0 with ``<unk>`` first.
        """
        numbers = tokenizer.get_vocab(with_added_tokens=False)
        words = sorted(numbers, key=numbers.__getitem__)
        if words[:1] != [UNKNOWN] or list(map(numbers.__getitem__, words)) != list(range(len(words))):
            raise DataError(
                f"the words of the tokenizer are not numbered from 0 with {UNKNOWN} first; restore the file "
                "or train again"
            )
        return cls(words[1:])
