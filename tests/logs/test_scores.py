"""The score of a session: three largest surprises, at once and step by step."""

import numpy as np
import pytest

from throughtime.logs.conformal import Calibration
from throughtime.logs.scores import score_of, session_scores, with_step


def test_scores_are_those_of_each_session_alone() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 9, 50)
    surprise = np.round(random.exponential(size=lengths.sum()), 1)  # with ties
    sessions = np.split(surprise, np.cumsum(lengths)[:-1])
    expected = [sum(sorted(steps.tolist())[-3:]) / 3 for steps in sessions]
    np.testing.assert_allclose(session_scores(surprise, lengths), expected)
    for steps, score in zip(sessions, expected, strict=True):
        largest: list[float] = []
        for step in steps.tolist():
            largest = with_step(largest, step)
        assert score_of(largest) == pytest.approx(score)


def test_scores_of_another_kind_are_refused() -> None:
    content = Calibration.of([1.0, 2.0]).to_json()
    assert Calibration.from_json(content).scores == (1.0, 2.0)
    with pytest.raises(ValueError, match=r"calibration\.largest is 1, expected 3"):
        Calibration.from_json({**content, "largest": 1})
    del content["largest"]
    with pytest.raises(ValueError, match="largest"):
        Calibration.from_json(content)
