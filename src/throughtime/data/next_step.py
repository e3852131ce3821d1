"""Texts and frames as sequences of which each step is predicted from those before it. Reads no files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from throughtime.bptt import streams
from throughtime.data.frames import FrameParts
from throughtime.data.symbols import SymbolUnit, encode_symbols, learn_vocabulary, symbols_of
from throughtime.data.vocabulary import Vocabulary
from throughtime.errors import DataError
from throughtime.ragged import Ragged

Unit = Literal["word", "character", "frame"]


@dataclass(frozen=True)
class Pairs:
    """Sequences of steps, and what comes after each step.

    Parameters
    ----------
    inputs, targets : Ragged
        (T,) int64 or (T, K), aligned.

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
        """How many steps are predicted."""
        return self.inputs.layout.total

    @classmethod
    def of_sequences(cls, x: Ragged) -> "Pairs":
        """Pair each step of each sequence with the next; a sequence of one step gives none."""
        return cls(x.split_time((x.lengths - 1).clamp(min=0))[0], x.split_time(1)[1])

    @classmethod
    def of_streams(cls, tokens: Tensor, count: int) -> "Pairs":
        """Pair each token of one long text with the next, and cut it into so many streams."""
        return cls(streams(tokens[:-1], count), streams(tokens[1:], count))


@dataclass(frozen=True)
class NextStepSource:
    """What a training of a model of the next step needs to know of its data.

    Made by `text_source` or `frame_source`.
    """

    unit: Unit
    vocabulary: Vocabulary | None
    """Of words or characters."""
    vocabulary_size: int
    """V of words or characters, K of frames."""
    training: Ragged
    """One sequence for a text, each sequence of frames for itself."""
    validation: Ragged
    test: Ragged | None
    description: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    """None: no sequence has a class."""

    def describe(self) -> dict[str, Any]:
        """Return sizes and a hash of all data."""
        return dict(self.description)

    def pairs(self, part: Ragged, count: int, window: int) -> Pairs:
        """Return a part as it is trained on: a text in streams of a window or more, frames as they are.

        Raises
        ------
        DataError
            If the text is shorter.
        """
        if self.unit == "frame":
            return Pairs.of_sequences(part)
        tokens = part.values
        needed = count * window + 1
        if len(tokens) < needed:
            raise DataError(
                f"the text for training has {len(tokens)} {self.unit}s; {count} streams of a window of "
                f"{window} steps need {needed}; give more text, fewer streams (--streams), or a shorter "
                "window (--bptt)"
            )
        return Pairs.of_streams(tokens, count)

    def held_out(self, part: Ragged, count: int, window: int) -> Pairs:
        """Return a part as it is evaluated: a text in as many streams, or fewer where it is short."""
        if self.unit == "frame":
            return Pairs.of_sequences(part)
        tokens = part.values
        return Pairs.of_streams(tokens, max(1, min(count, (len(tokens) - 1) // window)))


def text_source(
    texts: Sequence[str], unit: SymbolUnit, *, vocabulary: int, min_count: int, names: Sequence[str]
) -> NextStepSource:
    r"""Encode a text for training, one for validation and, if there is one, one for the test.

    Parameters
    ----------
    texts
        Two or three.
    unit
        What a step is.
    vocabulary
        Words or characters that are told apart at most, the commonest of the text for training.
    min_count
        Those that occur less often there are unknown.
    names
        What errors call the texts.

    Raises
    ------
    DataError
        If a text has fewer than two steps.

    Examples
    --------
    >>> source = text_source(["a b a\n", "b a"], "word", vocabulary=9, min_count=1, names=["x", "y"])
    >>> source.vocabulary.words
    ('<unk>', 'a', 'b', '\n')
    >>> source.training.to_list()
    [tensor([1, 2, 1, 3])]
    """
    found = [symbols_of(text, unit) for text in texts]
    for symbols, name in zip(found, names, strict=True):
        if len(symbols) < 2:
            raise DataError(f"{name} has {len(symbols)} {unit}s; it takes two at least to predict one")
    known = learn_vocabulary(found[0], unit, vocabulary, min_count)
    encoded = [encode_symbols(symbols, known) for symbols in found]
    return NextStepSource(
        unit=unit,
        vocabulary=known,
        vocabulary_size=len(known),
        training=Ragged.from_list([encoded[0]]),
        validation=Ragged.from_list([encoded[1]]),
        test=Ragged.from_list([encoded[2]]) if len(encoded) > 2 else None,
        description={
            "unit": unit,
            "vocabulary": len(known),
            "steps": [len(one) for one in encoded],
            "unknown": [int((one == 0).sum()) for one in encoded],
            "sha256": _digest(*encoded, "\0".join(known.words)),
        },
    )


def frame_source(parts: FrameParts) -> NextStepSource:
    """Make a source of sequences of frames."""
    given = [part for part in parts if part is not None]
    return NextStepSource(
        unit="frame",
        vocabulary=None,
        vocabulary_size=parts.training.shape[1],
        training=parts.training,
        validation=parts.validation,
        test=parts.test,
        description={
            "unit": "frame",
            "notes": parts.training.shape[1],
            "sequences": [len(part) for part in given],
            "steps": [part.layout.total for part in given],
            "sha256": _digest(*(tensor for part in given for tensor in (part.values, part.lengths))),
        },
    )


def cut_text(text: str, unit: SymbolUnit, validation: float, test: float) -> list[str]:
    """Cut the end of a text off for validation and, unless its share is 0, for the test, in that order.

    Shares are of characters; no word is cut in two.

    Raises
    ------
    DataError
        If nothing is left to train on.

    Examples
    --------
    >>> cut_text("abcdefghij", "character", 0.2, 0.1), cut_text("a bcd e fg", "word", 0.5, 0.2)
    (['abcdefg', 'hi', 'j'], ['a bcd', ' e ', 'fg'])
    """
    if validation + test >= 1:
        raise DataError(
            f"shares of {validation:g} and {test:g} leave nothing to train on; lower --validation or --test"
        )
    end = len(text) - round(test * len(text))
    start = end - round(validation * len(text))
    if unit == "word":
        start, end = _after_word(text, start), _after_word(text, end)
    return [text[:start], text[start:end]] + ([text[end:]] if test else [])


def _after_word(text: str, place: int) -> int:
    inside = 0 < place < len(text) and not text[place - 1].isspace()
    while inside and place < len(text) and not text[place].isspace():
        place += 1
    return place


def _digest(*parts: Tensor | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part.contiguous().view(torch.uint8).numpy().data
        digest.update(data)
    return digest.hexdigest()
