"""Texts and frames as data for next-step prediction, such as language modelling. Reads no files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from throughtime._options import named
from throughtime._words import counted
from throughtime.bptt import streams
from throughtime.data.fractions import require_training_fraction
from throughtime.data.frames import FrameParts
from throughtime.data.symbols import SymbolUnit, encode_symbols, learn_vocabulary, symbols_of
from throughtime.data.vocabulary import Vocabulary
from throughtime.errors import DataError
from throughtime.ragged import Ragged

Unit = Literal["word", "character", "frame"]


@dataclass(frozen=True)
class Pairs:
    """Input sequences, and targets shifted by one step.

    Parameters
    ----------
    inputs, targets : Ragged
        (T,) int64 or (T, K); the target of an input is the next step.

    Examples
    --------
    >>> import torch
    >>> pairs = Pairs.of_sequences(Ragged.from_lengths(torch.arange(5), [3, 2]))
    >>> pairs.inputs.to_list(), pairs.targets.to_list()
    ([tensor([0, 1]), tensor([3])], [tensor([1, 2]), tensor([4])])
    """

    inputs: Ragged
    targets: Ragged

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def steps(self) -> int:
        """Number of predicted steps."""
        return self.inputs.layout.total

    @classmethod
    def of_sequences(cls, x: Ragged) -> "Pairs":
        """Pair each step of each sequence with the next; a sequence of one step gives no pair."""
        return cls(x.split_time((x.lengths - 1).clamp(min=0))[0], x.split_time(1)[1])

    @classmethod
    def of_streams(cls, tokens: Tensor, count: int) -> "Pairs":
        """Pair each token of a text with the next, and split the pairs into ``count`` streams."""
        return cls(streams(tokens[:-1], count), streams(tokens[1:], count))


@dataclass(frozen=True)
class NextStepSource:
    """Data source for the training of a next-step model.

    Use `text_source` or `frame_source` to construct one.
    """

    unit: Unit
    vocabulary: Vocabulary | None
    """Vocabulary of words or characters; None for frames."""
    vocabulary_size: int
    """V for words and characters, K for frames."""
    training_part: Ragged
    """A text as a single sequence, or all sequences of frames."""
    validation: Ragged
    test: Ragged | None
    description: Mapping[str, Any]

    @property
    def shape(self) -> dict[str, int]:
        """What the model reads: V words or characters, or frames of K features."""
        name = "channels" if self.unit == "frame" else "vocabulary_size"
        return {name: self.vocabulary_size}

    def training(self, epoch: int) -> Ragged:  # noqa: ARG002 - the same in all epochs
        """Return the text or sequences to train on."""
        return self.training_part

    def describe(self) -> dict[str, Any]:
        """Return the sizes and a hash of the data."""
        return dict(self.description)

    def pairs(self, part: Ragged, count: int, window: int) -> Pairs:
        """Return the pairs of a part for training: a text as ``count`` streams, frames as sequences.

        Raises
        ------
        DataError
            If a stream would be shorter than a window.
        """
        if self.unit == "frame":
            return Pairs.of_sequences(part)
        tokens = part.values
        needed = count * window + 1
        if len(tokens) < needed:
            raise DataError(
                f"the text for training has {counted(len(tokens), self.unit)}, but "
                f"{counted(count, 'stream')} with a window of {counted(window, 'step')} need {needed:,}; "
                f"give more text, or lower {named('streams')} or {named('bptt')}"
            )
        return Pairs.of_streams(tokens, count)

    def held_out(self, part: Ragged, count: int, window: int) -> Pairs:
        """Return the pairs of a part for evaluation: a short text has fewer than ``count`` streams."""
        if self.unit == "frame":
            return Pairs.of_sequences(part)
        tokens = part.values
        return Pairs.of_streams(tokens, max(1, min(count, (len(tokens) - 1) // window)))


def text_source(
    texts: Sequence[str], unit: SymbolUnit, *, vocabulary: int, min_count: int, names: Sequence[str]
) -> NextStepSource:
    r"""Encode texts for training, validation and, optionally, test.

    Parameters
    ----------
    texts
        Texts for training, validation and, optionally, test.
    unit
        Unit of a step: ``"word"`` or ``"character"``.
    vocabulary
        Maximum size of the vocabulary, which has the most frequent symbols of the training text.
    min_count
        Minimum number of occurrences in the training text; rarer symbols are unknown.
    names
        Names of the texts in error messages.

    Raises
    ------
    DataError
        If a text has fewer than two steps.

    Examples
    --------
    >>> source = text_source(["a b a\n", "b a"], "word", vocabulary=9, min_count=1, names=["x", "y"])
    >>> source.vocabulary.words
    ('<unk>', 'a', 'b', '\n')
    >>> source.training(0).to_list()
    [tensor([1, 2, 1, 3])]
    """
    symbols_of_texts = [symbols_of(text, unit) for text in texts]
    for symbols, name in zip(symbols_of_texts, names, strict=True):
        if len(symbols) < 2:
            raise DataError(f"{name} has {len(symbols)} {unit}s; give at least two to predict one")
    learned = learn_vocabulary(symbols_of_texts[0], unit, vocabulary, min_count)
    encoded = [encode_symbols(symbols, learned) for symbols in symbols_of_texts]
    return NextStepSource(
        unit=unit,
        vocabulary=learned,
        vocabulary_size=len(learned),
        training_part=Ragged.from_list([encoded[0]]),
        validation=Ragged.from_list([encoded[1]]),
        test=Ragged.from_list([encoded[2]]) if len(encoded) > 2 else None,
        description={
            "unit": unit,
            "vocabulary": len(learned),
            "steps": [len(tokens) for tokens in encoded],
            "unknown": [int((tokens == 0).sum()) for tokens in encoded],
            "sha256": _digest(*encoded, "\0".join(learned.words)),
        },
    )


def frame_source(parts: FrameParts) -> NextStepSource:
    """Return a data source of sequences of frames."""
    present = [part for part in parts if part is not None]
    return NextStepSource(
        unit="frame",
        vocabulary=None,
        vocabulary_size=parts.training.shape[1],
        training_part=parts.training,
        validation=parts.validation,
        test=parts.test,
        description={
            "unit": "frame",
            "notes": parts.training.shape[1],
            "sequences": [len(part) for part in present],
            "steps": [part.layout.total for part in present],
            "sha256": _digest(*(tensor for part in present for tensor in (part.values, part.lengths))),
        },
    )


def cut_text(text: str, unit: SymbolUnit, validation: float, test: float) -> list[str]:
    """Split a text into training, validation and, if ``test`` is not 0, test text, in this order.

    ``validation`` and ``test`` are fractions of the characters; no word is split.

    Raises
    ------
    DataError
        If the fractions leave no training data.

    Examples
    --------
    >>> cut_text("abcdefghij", "character", 0.2, 0.1), cut_text("a bcd e fg", "word", 0.5, 0.2)
    (['abcdefg', 'hi', 'j'], ['a bcd', ' e ', 'fg'])
    """
    require_training_fraction(validation, test)
    end = len(text) - round(test * len(text))
    start = end - round(validation * len(text))
    if unit == "word":
        start, end = _after_word(text, start), _after_word(text, end)
    return [text[:start], text[start:end]] + ([text[end:]] if test else [])


def _after_word(text: str, position: int) -> int:
    in_word = 0 < position < len(text) and not text[position - 1].isspace()
    while in_word and position < len(text) and not text[position].isspace():
        position += 1
    return position


def _digest(*parts: Tensor | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part.contiguous().view(torch.uint8).numpy().data
        digest.update(data)
    return digest.hexdigest()
