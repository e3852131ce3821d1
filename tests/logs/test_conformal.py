"""Conformal p-values against their definition, and the rate of false alarms."""

import numpy as np
import pytest

from throughtime.errors import DataError
from throughtime.logs.conformal import Calibration


def test_p_values_are_those_of_the_definition() -> None:
    random = np.random.default_rng(0)
    held_out, scores = random.normal(size=50).round(1), random.normal(size=200).round(1)
    calibration = Calibration.of(held_out)
    expected = [(1 + np.sum(held_out >= score)) / 51 for score in scores]
    np.testing.assert_allclose(calibration.p_values(scores), expected, rtol=1e-12)


def test_a_fraction_of_normal_sessions_is_reported() -> None:
    random = np.random.default_rng(0)
    reported = [
        (Calibration.of(random.normal(size=99)).p_values(random.normal(size=100)) <= 0.1).mean()
        for _ in range(200)
    ]
    assert np.mean(reported) == pytest.approx(0.1, abs=0.01)


def test_the_rate() -> None:
    assert Calibration.of(np.zeros(999)).rate(None) == 0.01
    assert Calibration.of(np.zeros(9)).rate(None) == 0.1
    assert Calibration.of(np.zeros(9)).rate(0.1) == 0.1
    with pytest.raises(DataError, match="needs 99 held-out sessions, but the run has 9; give at least 0.1"):
        Calibration.of(np.zeros(9)).rate(0.01)


def test_many_scores_are_sampled() -> None:
    calibration = Calibration.of(np.arange(150_000))
    assert len(calibration.scores) == 100_000
    assert calibration.p_values([75_000])[0] == pytest.approx(0.5, abs=0.01)
