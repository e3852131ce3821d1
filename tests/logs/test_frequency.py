"""The frequency of kinds of sessions: against scipy's binomial test, and the rate of false alarms with it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from throughtime.logs.conformal import Calibration
from throughtime.logs.events import Events
from throughtime.logs.formats import written
from throughtime.logs.frequency import KindCounts, frequency_of, kinds_of, set_hashes
from throughtime.logs.generated import generated_log
from throughtime.logs.model import LogModel
from throughtime.logs.scan import scan_logs
from throughtime.logs.sequences import Sequences

from .conftest import files_at, write_log


def test_the_excess_is_that_of_a_binomial_test() -> None:
    trained, scanned = np.repeat([1, 2, 3], [700, 30, 3]), np.repeat([1, 2, 3, 4], [60, 24, 1, 8])
    frequency = frequency_of(scanned, KindCounts.of(trained), trained[::40])
    for kind, excess in zip(scanned, frequency.excess, strict=True):
        n, m = int((trained == kind).sum()), int((scanned == kind).sum()) - 1
        p = binomtest(m, n + m, 92 / (92 + 733), alternative="greater").pvalue if n + m else 1.0
        expected = min(-np.log(4 * p), np.log(734 / (n + 1))) if 4 * p <= 0.01 else 0.0
        assert excess == pytest.approx(expected, rel=1e-9)
    assert frequency.excess[scanned == 4] == pytest.approx(np.log(734))
    assert (frequency.excess[scanned == 2] > 3).all()
    assert not frequency.excess[(scanned == 1) | (scanned == 3)].any()
    assert frequency.expected[scanned == 2] == pytest.approx(93 * 30 / 733)


@pytest.mark.parametrize("anomalies", [0, 30])
def test_normal_sessions_are_reported_at_the_rate(anomalies: int) -> None:
    """Also if many others are anomalies of a kind that normal sessions have, too."""
    random = np.random.default_rng(0)
    share = np.array([0.5, 0.2, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01])
    reported = []
    for _ in range(300):
        kinds = random.choice(len(share), size=500, p=share)
        scores = random.normal(size=500) + kinds / 4
        trained, held_out = KindCounts.of(kinds[:400]), slice(301, 400)
        calibration = Calibration.of(scores[held_out], kinds[held_out], trained)
        frequency = calibration.frequency(np.append(kinds[400:], [7] * anomalies))
        p_values = calibration.raised(frequency.reference).p_values(scores[400:] + frequency.excess[:100])
        reported.append((p_values <= 0.1).mean())
    assert 0.07 < np.mean(reported) <= 0.1 + 3 * np.std(reported) / np.sqrt(300)


def test_the_kind_is_the_set_of_templates_without_the_context() -> None:
    event = np.array([0, 1, 1, 0, 2, 3, -1, -1, 3])
    zeros = np.zeros(9, dtype=np.int64)
    events = Events(event, zeros, zeros, zeros, zeros, zeros.astype(float), ("a",), np.array([True]), ())
    sequences = Sequences(
        events, np.arange(9), np.array([0, 2, 4, 6, 9]), np.array([0, 0, 1, 1]), np.zeros(4, dtype=np.bool_)
    )
    assert (
        kinds_of(sequences).tolist()
        == set_hashes(np.array([0, 1, 3, -1, 3]), np.array([2, 0, 1, 2]))[[0, 0, 2, 3]].tolist()
    )
    assert len(set(kinds_of(sequences).tolist())) == 3


def test_the_calibration_is_stored_with_its_kinds() -> None:
    kinds = np.array([5, 3, 5, 9])
    calibration = Calibration.of([0.5, 2.0, 1.0, 1.5], kinds[:4], KindCounts.of(kinds))
    assert calibration.kinds == (5, 5, 9, 3)
    assert Calibration.from_json(calibration.to_json()) == calibration
    earlier = Calibration.from_json({"largest": 3, "scores": [0.5, 1.0]})
    assert not earlier.frequency(kinds).excess.any()
    with pytest.raises(ValueError, match="calibration.kinds must have 4 entries, as scores, got 3"):
        Calibration.from_json({**calibration.to_json(), "kinds": [5, 5, 9]})


def test_rare_sessions_that_are_frequent_now_come_first(model: LogModel, tmp_path: Path) -> None:
    """Sessions with the line of a clean-up are 2 % of the training log."""
    lines = list(generated_log(1500, seed=3))
    cleaned = {line.session for line in lines if line.template == 14}
    others = {line.session for line in lines} - cleaned
    kept = cleaned | set(sorted(others)[:150])
    files = files_at(write_log(tmp_path / "app.log", [line for line in lines if line.session in kept]))
    scan = scan_logs(model, files, top=200)
    first = [session.name in cleaned for session in scan.sessions[: len(cleaned) // 2]]
    assert np.mean(first) > 0.9
    session = scan.sessions[0]
    assert session.score > session.surprise
    assert session.same_templates > 3 * session.expected
    text = f"{session.same_templates} sessions with the same templates, {session.expected:.1f} expected"
    assert text in "\n".join(written(scan, "table"))
    plain = scan_logs(model, files, top=200, frequency=False)
    assert all(session.score == session.surprise for session in plain.sessions)
