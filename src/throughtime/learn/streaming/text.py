"""Texts in chunks: what could go on is kept until white space follows."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from throughtime.data.columns import short
from throughtime.data.inputs import TextInputs
from throughtime.data.tokenizing import encode
from throughtime.errors import DataError, UnsupportedError
from throughtime.learn.streaming.white_space import whole_words
from throughtime.ragged import Ragged

_CUTS: dict[str, Callable[[str], tuple[str, str]]] = {
    "words": whole_words,
    "bpe": whole_words,
    "characters": lambda text: (text, ""),
}
"""How texts are cut, by the kind of tokenizer: the first part has the same tokens in the whole text."""


class TextReader:
    """Chunks of text, of tokens as strings, or of token numbers.

    The text since the last white space is kept, as its tokens depend on what follows; of characters nothing.
    Tokens and token numbers begin a new word.

    Raises
    ------
    UnsupportedError
        If the model reads several columns of text.
    """

    def __init__(self, inputs: TextInputs) -> None:
        columns = inputs.options.columns
        if len(columns) > 1:
            raise UnsupportedError(
                f"the model reads {len(columns)} columns of text ({', '.join(columns)}), of which a stream "
                "does not know when one ends; train it on one column"
            )
        self._tokenizer, self._kind = inputs.tokenizer, inputs.options.kind
        self._size = inputs.shape.vocabulary_size or 0
        self._unknown = self._tokenizer.token_to_id("<unk>")

    @property
    def empty(self) -> Tensor:
        """No tokens, (0,)."""
        return torch.empty(0, dtype=torch.int64)

    def begin(self) -> str:
        """Return an empty text."""
        return ""

    def encode(self, chunks: Mapping[Hashable, Any], kept: Sequence[Any]) -> tuple[Ragged, list[Any]]:
        """Return the tokens of the whole words, or of the token numbers, of each chunk."""
        pairs = [
            self._cut(key, before + chunk) if isinstance(chunk, str) else (before, "")
            for (key, chunk), before in zip(chunks.items(), kept, strict=True)
        ]
        steps = encode(self._tokenizer, [head for head, _ in pairs])
        if not all(isinstance(chunk, str) for chunk in chunks.values()):
            numbers = [
                self.empty if isinstance(chunk, str) else self._numbers(key, chunk)
                for key, chunk in chunks.items()
            ]
            steps = Ragged.cat_time([steps, Ragged.from_list(numbers)])
        return steps, [rest for _, rest in pairs]

    def finish(self, kept: Any) -> Ragged | None:
        """Return the tokens of the last word."""
        return encode(self._tokenizer, [kept]) if kept else None

    def _cut(self, key: Hashable, text: str) -> tuple[str, str]:
        if self._kind not in _CUTS:
            raise UnsupportedError(
                f"stream {key!r}: a tokenizer of your own may join any characters, so that text in chunks "
                "has other tokens than the whole; push the token numbers that it gives"
            )
        return _CUTS[self._kind](text)

    def _numbers(self, key: Hashable, chunk: Any) -> Tensor:
        if isinstance(chunk, list | tuple) and all(isinstance(token, str) for token in chunk):
            return torch.tensor([self._number(key, token) for token in chunk], dtype=torch.int64)
        try:
            numbers = np.asarray(chunk)
        except (ValueError, TypeError):
            numbers = np.array(None)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(
                f"the chunk of stream {key!r} is {short(repr(chunk))}, expected a text, a list of tokens or "
                "their numbers"
            )
        wrong = numbers[(numbers < 0) | (numbers >= self._size)]
        if len(wrong):
            raise DataError(
                f"the chunk of stream {key!r} has token number {wrong[0]}; there are 0 to {self._size - 1}"
            )
        return torch.from_numpy(numbers.astype(np.int64))

    def _number(self, key: Hashable, token: str) -> int:
        normalizer = self._tokenizer.normalizer
        name = token if normalizer is None else normalizer.normalize_str(token)
        number: int | None = self._tokenizer.token_to_id(name)
        if number is None:
            number = self._unknown
        if number is None:
            raise DataError(
                f"the chunk of stream {key!r} has the token {short(repr(token))}, which is not in the "
                "vocabulary; push text or token numbers"
            )
        return number
