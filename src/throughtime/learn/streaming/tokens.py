"""Lists of tokens in chunks, such as the events of a log."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from throughtime.data.columns import short
from throughtime.data.inputs import TokenInputs
from throughtime.errors import DataError
from throughtime.learn.streaming.white_space import whole_words
from throughtime.ragged import Ragged


class TokenReader:
    """Chunks of tokens, strings or integers as in training; or text to be split at white space.

    Of text, the part since the last white space is kept, as the token may go on.
    """

    def __init__(self, inputs: TokenInputs) -> None:
        self._vocabulary, self._split = inputs.vocabulary, inputs.options.split

    @property
    def empty(self) -> Tensor:
        """No tokens, (0,)."""
        return torch.empty(0, dtype=torch.int64)

    def begin(self) -> str:
        """Return an empty text."""
        return ""

    def encode(self, chunks: Mapping[Hashable, Any], kept: Sequence[Any]) -> tuple[Ragged, list[Any]]:
        """Return the tokens of each chunk that are complete."""
        pairs = [
            self._tokens(key, chunk, before)
            for (key, chunk), before in zip(chunks.items(), kept, strict=True)
        ]
        numbers = self._vocabulary.numbers(token for tokens, _ in pairs for token in tokens)
        steps = Ragged.from_lengths(torch.from_numpy(numbers), [len(tokens) for tokens, _ in pairs])
        return steps, [rest for _, rest in pairs]

    def finish(self, kept: Any) -> Ragged | None:
        """Return the last token of a text."""
        tokens = kept.split()
        if not tokens:
            return None
        return Ragged.from_list([torch.from_numpy(self._vocabulary.numbers(tokens))])

    def _tokens(self, key: Hashable, chunk: Any, before: str) -> tuple[list[str], str]:
        if isinstance(chunk, str) and self._split:
            head, rest = whole_words(before + chunk)
            return head.split(), rest
        if isinstance(chunk, np.ndarray | Tensor):
            chunk = chunk.tolist()
        if not isinstance(chunk, list | tuple) or not all(map(_is_token, chunk)):
            text = "a text or " if self._split else ""
            raise DataError(
                f"the chunk of stream {key!r} is {short(repr(chunk))}, expected {text}a list of tokens: "
                "texts or whole numbers"
            )
        return [*before.split(), *map(str, chunk)], ""


def _is_token(token: Any) -> bool:
    return isinstance(token, str | int | np.integer) and not isinstance(token, bool)
