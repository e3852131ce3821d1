"""The n-gram baselines against counting by hand and against data made to be easy or hard for them."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.examples import Examples
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.training.baselines import NGrams, majority, memoryless_loss, ngram_regression

SEQUENCES = st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=5)


def _ragged(sequences: list[list[int]]) -> Ragged:
    return Ragged.from_lengths(
        torch.tensor([t for s in sequences for t in s]).long(), [len(s) for s in sequences]
    )


def _grams(sequence: list[int], longest: int) -> set[tuple[int, ...]]:
    return {tuple(sequence[i : i + n]) for n in range(1, longest + 1) for i in range(len(sequence) - n + 1)}


@given(train=SEQUENCES, other=SEQUENCES, longest=st.integers(1, 3))
def test_rows_hold_the_n_grams_of_their_sequence(
    train: list[list[int]], other: list[list[int]], longest: int
) -> None:
    grams = NGrams(4, longest)
    found = grams.fit(_ragged(train))
    places = [gram for sequence in train for n in range(1, longest + 1) for gram in
              (tuple(sequence[i : i + n]) for i in range(len(sequence) - n + 1))]  # fmt: skip
    known = {gram for gram in places if places.count(gram) > 1}
    assert found.shape == (len(train), len(known))
    for rows, sequences in ((found, train), (grams.transform(_ragged(other)), other)):
        for row, sequence in zip(rows, sequences, strict=True):
            expected = len(_grams(sequence, longest) & known)
            assert row.nnz == expected
            assert row.power(2).sum() == pytest.approx(1.0 if expected else 0.0)


class _Order:
    """Sequences of a and b once each among noise: class 1 if a comes right before b."""

    classes = ("after", "before")
    vocabulary_size = 6

    def _examples(self, seed: int, count: int) -> Examples:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(2, (count,), generator=generator)
        rows = []
        for label in labels.tolist():
            noise = torch.randint(2, 6, (6,), generator=generator)
            pair = torch.tensor([0, 1] if label else [1, 0])
            rows.append(torch.cat([noise[:3], pair, noise[3:]]))
        return Examples(Ragged.from_list(rows), labels)

    def training(self, epoch: int) -> Examples:
        return self._examples(0, 300)

    @property
    def validation(self) -> Examples:
        return self._examples(1, 100)

    @property
    def test(self) -> Examples:
        return self._examples(2, 200)

    def describe(self) -> dict[str, Any]:
        return {}


def test_a_bag_of_words_is_blind_to_order_and_bigrams_are_not() -> None:
    source = _Order()
    blind = ngram_regression(source, source.test, 1, "unigrams")
    seeing = ngram_regression(source, source.test, 2, "bigrams")
    assert blind.correct.mean() < 0.65
    assert seeing.correct.mean() == 1.0
    assert seeing.parameters > blind.parameters > 0


def test_majority_names_the_commonest_class() -> None:
    source = _Order()
    common = int(source.training(0).labels.double().mean() > 0.5)
    assert majority(source, source.test).correct.tolist() == (source.test.labels == common).tolist()


def test_nothing_to_learn_from_is_said() -> None:
    class Unique(_Order):
        def training(self, epoch: int) -> Examples:
            return Examples(Ragged.from_lengths(torch.arange(4), [2, 2]), torch.tensor([0, 1]))

    with pytest.raises(DataError, match="no n-gram occurs twice"):
        ngram_regression(Unique(), Unique().test, 1, "unigrams")


def test_the_loss_without_memory_is_that_of_folds_not_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (400,), generator=generator)
    # Token 7 says the class in nine of ten sequences, the others are noise, as is their order.
    told = torch.where(torch.rand(400, generator=generator) < 0.9, labels, 1 - labels)
    rows = [torch.cat([torch.randint(7, (4,), generator=generator), 7 + t[None]]) for t in told]
    loss = memoryless_loss(Ragged.from_list(rows), labels, 2)
    assert loss is not None
    best = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert best * 0.9 < loss < best * 1.3
    noise = memoryless_loss(Ragged.from_list(rows), labels[torch.randperm(400, generator=generator)], 2)
    assert noise is not None
    assert noise > math.log(2) * 0.99
    assert memoryless_loss(Ragged.from_list(rows), labels, 3) is None, "a class without sequences"
    assert memoryless_loss(Ragged.from_list(rows[:2]), torch.tensor([0, 1]), 2) is None, "one of each"
