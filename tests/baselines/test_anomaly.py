"""Bigrams against counts by hand, autoregression against NumPy."""

import math

import numpy as np
import pytest
import torch

from throughtime.baselines.autoregression import Autoregression
from throughtime.baselines.bigram import BigramModel
from throughtime.data.examples import Examples
from throughtime.ragged import Ragged


def _tokens(*sequences: list[int], weights: list[float] | None = None) -> Examples:
    tokens = Ragged.from_list([torch.tensor(row, dtype=torch.int64) for row in sequences])
    targets = torch.zeros(len(sequences), dtype=torch.bool)
    return Examples(tokens, targets, weights=None if weights is None else torch.tensor(weights))


def test_bigrams_are_those_counted_by_hand() -> None:
    model = BigramModel.fitted(_tokens([0, 1, 0], [0]))
    surprise = model(_tokens([0, 1], [5], []))
    assert surprise.lengths.tolist() == [3, 2, 1]
    # Outcomes are 0, 1, unknown and end; 0, 1, 0, end, 0, end were observed.
    unigram = {"0": 4 / 10, "1": 2 / 10, "?": 1 / 10, "end": 3 / 10}
    after_end = (2 + 1 * unigram["0"]) / (2 + 1)  # always 0
    after_0 = {"1": (1 + 2 * unigram["1"]) / (3 + 2), "end": (2 + 2 * unigram["end"]) / (3 + 2)}
    after_1 = (0 + 1 * unigram["end"]) / (1 + 1)
    unknown_first = (0 + 1 * unigram["?"]) / (2 + 1)
    expected = [after_end, after_0["1"], after_1, unknown_first, unigram["end"], unigram["end"] / 3]
    np.testing.assert_allclose(surprise.values[:, 0].exp().reciprocal().numpy(), expected)


def test_probabilities_sum_to_one() -> None:
    random = np.random.default_rng(0)
    rows = [random.integers(0, 5, size=length).tolist() for length in (4, 0, 9, 2)]
    model = BigramModel.fitted(_tokens(*rows, weights=[1.0, 0.5, 2.0, 1.0]))
    for first in (0, 3, 17):
        followed = model(_tokens(*([first, second] for second in range(6)), [first]))
        of_second = [row[1, 0] for row in followed.to_list()]
        assert sum(math.exp(-float(value)) for value in of_second) == pytest.approx(1.0)


def test_a_weight_of_two_is_a_sequence_twice() -> None:
    weighted = BigramModel.fitted(_tokens([0, 1], [1], weights=[2.0, 1.0]))
    twice = BigramModel.fitted(_tokens([0, 1], [0, 1], [1]))
    test = _tokens([0, 1, 1, 0])
    torch.testing.assert_close(weighted(test).values, twice(test).values)


def test_without_training_tokens_all_outcomes_are_unknown_or_the_end() -> None:
    model = BigramModel.fitted(_tokens([], []))
    assert float(model(_tokens([]))[0].exp()) == pytest.approx(1 / ((2 + 1 * 3 / 4) / 3))


def _series(*sequences: torch.Tensor) -> Examples:
    return Examples(Ragged.from_list(list(sequences)), torch.zeros(len(sequences), dtype=torch.bool))


def test_autoregression_is_least_squares_over_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(n, 2, generator=generator).cumsum(0).double() for n in (20, 1, 0, 7)]
    model = Autoregression.fitted(_series(*rows))
    values = torch.cat(rows).numpy()
    x = np.concatenate([row[:-1] for row in rows if len(row)]) - values.mean(0)
    y = np.concatenate([row[1:] for row in rows if len(row)]) - values.mean(0)
    for channel in range(2):
        slope = np.linalg.lstsq(x[:, [channel]], y[:, channel], rcond=None)[0][0]
        assert model.slope[channel] == pytest.approx(slope)
        assert model.residual[channel] == pytest.approx(np.mean((y[:, channel] - slope * x[:, channel]) ** 2))
    surprise = model(_series(*rows))
    assert surprise.lengths.tolist() == [20, 1, 0, 7]
    first = torch.distributions.Normal(torch.from_numpy(model.mean), torch.from_numpy(model.variance).sqrt())
    assert float(surprise.values[0]) == pytest.approx(-float(first.log_prob(rows[0][0]).sum()))
    expected = torch.from_numpy(model.mean + model.slope * (rows[0][3].numpy() - model.mean))
    later = torch.distributions.Normal(expected, torch.from_numpy(model.residual).sqrt())
    assert float(surprise.values[4]) == pytest.approx(-float(later.log_prob(rows[0][4]).sum()))


def test_constant_channels_and_single_steps_have_finite_surprise() -> None:
    for rows in ([torch.ones(5, 1)], [torch.ones(1, 1), torch.zeros(1, 1)], [torch.arange(5.0)[:, None]]):
        model = Autoregression.fitted(_series(*rows))
        assert bool(model(_series(*rows)).values.isfinite().all())
