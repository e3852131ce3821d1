"""Use of the tokenizers library: training of a word tokenizer, encoding, and its panics as errors."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.trainers import WordLevelTrainer

from throughtime.data.vocabulary import UNKNOWN
from throughtime.errors import DataError
from throughtime.ragged import Ragged

_TEXTS_PER_CALL = 8192  # the library's encodings take about 100 bytes per token


def word_tokenizer(texts: Iterable[str], size: int, *, lower_case: bool, min_count: int = 2) -> Tokenizer:
    """Train a tokenizer of words and runs of punctuation; words that are rare become ``<unk>``.

    Parameters
    ----------
    texts
        Training texts.
    size
        Maximum size of the vocabulary, including ``<unk>``; it has the most frequent words.
    lower_case
        Whether to convert texts to lower case.
    min_count
        Minimum number of occurrences of a word.

    Examples
    --------
    >>> tokenizer = word_tokenizer(["to be, or not to be"], size=10, lower_case=True)
    >>> tokenizer.encode("To be?").tokens
    ['to', 'be', '<unk>']
    """
    tokenizer = Tokenizer(WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    if lower_case:
        tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    trainer = WordLevelTrainer(
        vocab_size=size, min_frequency=min_count, special_tokens=[UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@contextlib.contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise a panic of the tokenizers library, which ``except Exception`` does not catch, as RuntimeError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the library does not export the class
            raise
        raise RuntimeError(f"the tokenizers library stopped: {error}") from error


@contextlib.contextmanager
def _encoding_errors() -> Iterator[None]:
    try:
        with panics_as_errors():
            yield
    except TypeError:
        raise
    except Exception as error:  # the library raises no more specific exception
        raise DataError(f"the tokenizer cannot encode these texts ({error}); train it again") from error


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Ragged:
    """Return the token numbers of texts, (T,) int64; a text without tokens becomes an empty sequence.

    Raises
    ------
    DataError
        If the tokenizer fails.

    Examples
    --------
    >>> tokenizer = word_tokenizer(["to be, or not to be"], size=10, lower_case=True)
    >>> encode(tokenizer, ["be to", ""]).lengths.tolist()
    [2, 0]
    """
    lengths: list[int] = []
    parts = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        with _encoding_errors():
            encodings = tokenizer.encode_batch_fast(list(texts[start : start + _TEXTS_PER_CALL]))
        numbers = [encoding.ids for encoding in encodings]
        lengths += map(len, numbers)
        parts.append(np.fromiter(chain.from_iterable(numbers), dtype=np.int64))
    return Ragged.from_lengths(torch.from_numpy(np.concatenate(parts)), lengths)


def token_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[str]]:
    """Return the part of the text that each token stands for; of a token that the tokenizer adds, its name.

    Raises
    ------
    DataError
        If the tokenizer fails.

    Examples
    --------
    >>> tokenizer = word_tokenizer(["to be, or not to be"], size=10, lower_case=True)
    >>> token_texts(tokenizer, ["To see"])
    [['To', 'see']]
    """
    with _encoding_errors():
        encodings = tokenizer.encode_batch(list(texts))
    return [
        [
            text[start:end] or token
            for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True)
        ]
        for text, encoding in zip(texts, encodings, strict=True)
    ]
