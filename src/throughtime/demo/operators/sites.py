"""Windows around operators as batches of token numbers, and the replacement of operators."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.operators.families import FAMILIES, OPERATORS
from throughtime.ragged import Ragged

LONGEST = 100
"""Maximum number of tokens of a window, with both markers; a longer one is cut around its operator."""
OPEN, CLOSE = "<op>", "</op>"
"""Markers around the operator to classify."""

STRANGERS = tuple(f"<v{number}>" for number in range(1, 17))
"""Tokens of the first, second, … unknown name of a window; any further one is ``<unk>``."""

_NAMES = tuple(OPERATORS)
NUMBER = {name: number for number, name in enumerate(_NAMES)}
"""Every operator's number; the members of a family are neighbours."""
_FIRST = torch.tensor([NUMBER[FAMILIES[OPERATORS[name][0]][0]] for name in _NAMES])
_SIZE = torch.tensor([len(FAMILIES[OPERATORS[name][0]]) for name in _NAMES])


@dataclass(frozen=True)
class Sites:
    """B operators, each in its window, as their authors wrote them.

    Parameters
    ----------
    tokens : Ragged
        (T,) int64, the windows.
    places : Tensor
        (B,) int64, where in ``tokens.values`` each operator lies.
    operators : Tensor
        (B,) int64, its number, see `operator_name`.
    where : ndarray
        (B, 3) int64: file, line (from 1), column (from 0).
    operator_tokens : Tensor
        (23,) int64, the token of every operator.
    """

    tokens: Ragged
    places: Tensor
    operators: Tensor
    where: NDArray[np.int64]
    operator_tokens: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def select(self, index: Tensor) -> "Sites":
        """Return the sites at these positions, (n,) int64."""
        tokens = self.tokens[index]
        within = (self.places - self.tokens.offsets[:-1])[index]
        return Sites(
            tokens,
            tokens.offsets[:-1] + within,
            self.operators[index],
            self.where[index.numpy()],
            self.operator_tokens,
        )

    def with_operators(self, operators: Tensor) -> Ragged:
        """Return the windows with these operators, (B,) int64, in place of the authors' own."""
        values = self.tokens.values.index_copy(0, self.places, self.operator_tokens[operators])
        return self.tokens.with_values(values)

    def draw(self, generator: torch.Generator) -> Ragged:
        """Return the windows, half of the operators replaced at random, each by another of its family.

        Examples
        --------
        >>> vocabulary = Vocabulary([OPEN, CLOSE, "a", "b", *OPERATORS])
        >>> table = np.array([[1, 0, 3, 0, 1, 2]])  # place, first and last; file, line, column
        >>> sites = windows(["a", "is", "b"], np.array([0, 1, 2]), table, vocabulary)
        >>> sites.draw_others(torch.Generator().manual_seed(0)).tolist() == [NUMBER["is not"]]
        True
        >>> [vocabulary.words[i] for i in sites.tokens.values.tolist()]
        ['a', '<op>', 'is', '</op>', 'b']
        """
        replaced = torch.randint(2, (len(self),), generator=generator)
        others = self.draw_others(generator)
        return self.with_operators(torch.where(replaced == 1, others, self.operators))

    def draw_others(self, generator: torch.Generator) -> Tensor:
        """Return for every site, (B,) int64, another operator of its family, each as likely."""
        first, size = _FIRST[self.operators], _SIZE[self.operators]
        step = 1 + (torch.rand(len(self), generator=generator, dtype=torch.float64) * (size - 1)).long()
        return first + (self.operators - first + step) % size


def operator_name(number: int) -> str:
    """Return the operator of this number.

    Examples
    --------
    >>> operator_name(0), operator_name(len(OPERATORS) - 1)
    ('==', 'or')
    """
    return _NAMES[number]


def family_of(operators: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number of the first operator of each one's family, and the size of the family.

    Examples
    --------
    >>> first, size = family_of(torch.tensor([NUMBER["<"], NUMBER["or"]]))
    >>> [operator_name(number) for number in first.tolist()], size.tolist()
    (['==', 'and'], [6, 2])
    """
    return _FIRST[operators], _SIZE[operators]


def windows(
    words: Sequence[str], tokens: NDArray[Any], table: NDArray[np.int64], vocabulary: Vocabulary
) -> Sites:
    """Cut the windows of sites out of a stream of tokens.

    A word that the vocabulary lacks becomes ``<v1>``, ``<v2>``, … in the order in which a window meets it,
    so that the model still sees where a name occurs again.

    Parameters
    ----------
    words
        Every word of the stream.
    tokens : ndarray
        (N,) integers, index into ``words``, files one after the other.
    table : ndarray
        (B, 6) int64: place, first and last token of the window; then file, line, column.
    vocabulary
        What tokens become.
    """
    place, first, last = table[:, 0], table[:, 1], table[:, 2]
    room = LONGEST - 2
    start = np.where(last - first > room, np.clip(place - room // 2, first, last - room), first)
    stop = np.minimum(last, start + room)
    lengths = stop - start + 2
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    # Order of a window: tokens before the operator, marker, operator, marker, tokens after.
    owner = np.repeat(np.arange(len(table)), lengths)
    step = np.arange(offsets[-1]) - offsets[owner]
    before = (place - start)[owner]
    source = start[owner] + step - (step > before) - (step > before + 2)
    raw = tokens[np.minimum(source, len(tokens) - 1)] if len(source) else np.zeros(0, np.int64)
    values = vocabulary.numbers(words)[raw] if len(words) else raw
    values = np.where(step == before, vocabulary.number(OPEN), values)
    values = np.where(step == before + 2, vocabulary.number(CLOSE), values)
    _number_strangers(values, raw, owner, len(words), vocabulary)
    of_word = np.array([NUMBER.get(word, -1) for word in words], dtype=np.int64)
    return Sites(
        Ragged(torch.from_numpy(values), torch.from_numpy(offsets)),
        torch.from_numpy(offsets[:-1] + place - start + 1),
        torch.from_numpy(of_word[tokens[place]] if len(table) else place),
        table[:, 3:],
        torch.tensor([vocabulary.number(name) for name in _NAMES]),
    )


def _number_strangers(
    values: NDArray[np.int64], raw: NDArray[Any], owner: NDArray[np.int64], count: int, vocabulary: Vocabulary
) -> None:
    """Replace unknown tokens, in place, by the number of the name within its window."""
    unknown = np.flatnonzero(values == 0)
    names = owner[unknown] * count + raw[unknown]
    _, first, name = np.unique(names, return_index=True, return_inverse=True)
    # Names in order of first use, and from 0 within each window.
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    windows_of = owner[unknown][first[order]]
    within = np.arange(len(order)) - np.searchsorted(windows_of, windows_of)
    number = within[rank[name]]
    strangers = vocabulary.numbers(STRANGERS)
    values[unknown] = np.where(number < len(strangers), strangers[np.minimum(number, len(strangers) - 1)], 0)
