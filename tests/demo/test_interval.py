"""The interval of an accuracy: equal to the binomial one for independent examples, wider for clusters."""

import numpy as np
import pytest
from scipy.stats import binomtest

from throughtime.demo.interval import accuracy_interval


@pytest.mark.parametrize("share", [0.55, 0.8, 0.95])
def test_independent_examples_have_the_binomial_interval(share: float) -> None:
    n = 2000
    correct = np.arange(n) < share * n
    low, high = accuracy_interval(correct, np.arange(n))
    expected = binomtest(int(correct.sum()), n).proportion_ci(0.95, method="wilson")
    assert low == pytest.approx(expected.low, abs=2e-3)
    assert high == pytest.approx(expected.high, abs=2e-3)


def test_examples_that_stand_or_fall_together_count_as_one() -> None:
    clusters = np.repeat(np.arange(100), 50)
    correct = clusters % 5 > 0
    low, high = accuracy_interval(correct, clusters)
    alone = accuracy_interval(np.arange(100) % 5 > 0, np.arange(100))
    assert (low, high) == pytest.approx(alone)
    apart = accuracy_interval(correct, np.arange(len(correct)))
    # Fifty times as many examples that are independent have an interval narrower by the root of that.
    assert (high - low) / (apart[1] - apart[0]) == pytest.approx(50**0.5, rel=0.1)


def test_large_clusters_weigh_more() -> None:
    clusters = np.array([0] * 90 + [1] * 10)
    low, high = accuracy_interval(clusters == 0, clusters)
    assert (low, high) == (0.0, 1.0)


def test_it_repeats() -> None:
    correct, clusters = np.arange(60) % 3 > 0, np.arange(60) // 4
    assert accuracy_interval(correct, clusters) == accuracy_interval(correct, clusters)
