"""Generated sentences for the two demos, whose class depends on the order of words."""

import random

import torch
from torch import Tensor

from throughtime import Ragged

CLASSES = ("negative", "positive")
_SUBJECTS = ("the film", "this plot", "her acting", "the music", "that scene", "the ending")
_FILLERS = ("really", "quite", "honestly", "again", "today", "for once", "overall", "in the end")
WORDS = (
    "<unknown>",
    *sorted({word for part in (*_SUBJECTS, *_FILLERS) for word in part.split()}),
    "was",
    "not",
    "good",
    "bad",
    "but",
)
_NUMBERS = {word: number for number, word in enumerate(WORDS)}


def sentences(count: int, seed: int = 0) -> tuple[Ragged, Tensor]:
    """Return sentences such as "the plot was good but the music was not bad", and their classes.

    The class is that of the last clause, in which "not" turns the meaning round. A bag of words cannot know
    which clause is the last and to which the "not" belongs: at best it is right on 62.5 %.

    Parameters
    ----------
    count
        Number of sentences.
    seed
        Random seed.
    """
    generator = random.Random(seed)  # noqa: S311 - no secret
    texts, labels = [], []
    for _ in range(count):
        positive = generator.random() < 0.5
        first = _clause(generator, generator.random() < 0.5)
        texts.append(f"{first} but {_clause(generator, positive)}")
        labels.append(int(positive))
    return encode(texts), torch.tensor(labels)


def encode(texts: list[str]) -> Ragged:
    """Return texts as numbers of their words; unknown words are 0."""
    rows = [[_NUMBERS.get(word, 0) for word in text.lower().split()] or [0] for text in texts]
    return Ragged.from_list([torch.tensor(row) for row in rows])


def words(numbers: list[int]) -> str:
    """Return the words of numbers; -1, beyond the text, is a dot."""
    return " ".join("·" if number < 0 else WORDS[number] for number in numbers)


def _clause(generator: random.Random, positive: bool) -> str:  # noqa: FBT001 - one of two classes
    filler = generator.choice(_FILLERS) + " " if generator.random() < 0.5 else ""
    negated = generator.random() < 0.5
    word = "good" if positive != negated else "bad"
    return f"{filler}{generator.choice(_SUBJECTS)} was {'not ' if negated else ''}{word}"
