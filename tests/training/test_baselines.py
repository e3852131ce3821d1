"""The n-gram baselines against plain counts, and on data that is easy or hard for them by construction."""

import math
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from throughtime.data.examples import Examples
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.training.baselines import BagOfWords, NGrams, fit_bag_of_words, majority, ngram_regression

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
    shape: ClassVar = {"vocabulary_size": 6}

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
    common = int(source.training(0).targets.double().mean() > 0.5)
    assert majority(source, source.test).correct.tolist() == (source.test.targets == common).tolist()


def test_nothing_to_learn_from_is_said() -> None:
    class Unique(_Order):
        def training(self, epoch: int) -> Examples:
            return Examples(Ragged.from_lengths(torch.arange(4), [2, 2]), torch.tensor([0, 1]))

    with pytest.raises(DataError, match="no n-gram occurs twice"):
        ngram_regression(Unique(), Unique().test, 1, "unigrams")


def _counted(count: int, seed: int, noise: float = 0.1) -> Examples:
    """The class says of which of two tokens there are more, and is wrong now and then: presence tells nothing."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    rows = []
    for label in labels.tolist():
        row = torch.cat([torch.full((3 - label,), 7), torch.full((2 + label,), 8), torch.arange(7)])
        rows.append(row[torch.randperm(len(row), generator=generator)])
    wrong = torch.rand(count, generator=generator) < noise
    return Examples(Ragged.from_list(rows), labels ^ wrong.long())


def _log_loss(bag: BagOfWords, examples: Examples) -> float:
    likely = torch.from_numpy(bag.log_probabilities(examples.inputs, 2))
    return float(torch.nn.functional.nll_loss(likely, examples.targets))


def test_a_bag_of_words_counts() -> None:
    bag = fit_bag_of_words(_counted(600, 0), _counted(200, 1))
    assert bag is not None
    assert bag.rows == 600
    best = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert _log_loss(bag, _counted(1000, 2)) < best * 1.1


def _weak(count: int, seed: int) -> Examples:
    """Each of 300 tokens is a little likelier in one class: how strong the penalty is decides."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    tilt = torch.linspace(-0.4, 0.4, 300)
    odds = torch.stack([torch.softmax(-tilt, 0), torch.softmax(tilt, 0)])[labels]
    return Examples(
        Ragged.from_lengths(torch.multinomial(odds, 12, True, generator=generator).flatten(), [12] * count),
        labels,
    )


def test_validation_chooses_the_penalty_and_the_scale_of_a_bag_of_words() -> None:
    training, validation, test = _weak(150, 0), _weak(1000, 1), _weak(1000, 2)
    bag = fit_bag_of_words(training, validation)
    assert bag is not None
    truth = training.targets.numpy()
    others = {}
    for unit in (False, True):
        grams = NGrams(300, 1, counts=True, unit=unit)
        design = grams.fit(training.inputs)
        for penalty in (0.25, 1.0, 4.0, 16.0, 64.0, 256.0):
            fitted = LogisticRegression(C=penalty, max_iter=2000).fit(design, truth)
            others[unit, penalty] = _log_loss(BagOfWords(fitted, grams, 150), validation)
    chosen = _log_loss(bag, validation)
    assert chosen == pytest.approx(min(others.values()), rel=0.02)
    assert max(others.values()) > 1.5 * chosen, "the choice matters"
    assert _log_loss(bag, test) < math.log(2)


def test_a_bag_of_words_without_validation_rows_holds_some_out() -> None:
    nothing = _counted(10, 0).select(torch.arange(0))
    bag = fit_bag_of_words(_counted(500, 0), nothing)
    assert bag is not None
    assert bag.rows == 400
    assert _log_loss(bag, _counted(500, 2)) < 0.45


def test_a_bag_of_words_says_how_many_rows_it_was_fitted_to() -> None:
    training = _counted(500, 0)
    limited = fit_bag_of_words(training, _counted(100, 1), most=training.inputs.layout.total * 2 // 5)
    assert limited is not None
    assert limited.rows == 100


def test_where_a_bag_of_words_has_nothing_to_learn_there_is_none() -> None:
    examples = _counted(40, 0)
    of_one_class = examples.select((examples.targets == 1).nonzero().flatten())
    assert fit_bag_of_words(of_one_class, examples) is None
    apart = Examples(Ragged.from_lengths(torch.arange(4), [2, 2]), torch.tensor([0, 1]))
    assert fit_bag_of_words(apart, apart) is None
    unseen = fit_bag_of_words(examples, examples)
    assert unseen is not None
    likely = unseen.log_probabilities(examples.inputs[:1], 3)
    assert likely[0, 2] == pytest.approx(math.log(2**-52)), "a class that it never saw"
