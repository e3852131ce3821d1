"""The bag of words on data that is easy or hard for it by construction."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from throughtime.baselines import BagOfWords, fit_bag_of_words
from throughtime.baselines.ngrams import NGrams
from throughtime.data.examples import Examples
from throughtime.ragged import Ragged


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
