"""Unusual gaps and parameters: faults that templates cannot show, found in scans and while logs are written."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest

from throughtime.logs.follow import Follower, SessionVerdict
from throughtime.logs.formats import written
from throughtime.logs.model import LogModel
from throughtime.logs.options import LogOptions, ReadingOptions, SessionOptions
from throughtime.logs.scan import LogScan, scan_logs
from throughtime.logs.training import TrainingLog, log_recipe, read_training_log, train_logs
from throughtime.logs.value_learner import ValueLearner, usual_gaps
from throughtime.logs.value_steps import evidence_of
from throughtime.logs.values import Usual, Values

from .conftest import REQUESTS, files_at

_START = dt.datetime(2026, 1, 31, 12)  # noqa: DTZ001 - logs without a time zone
_SLOW, _FAILED, _LARGE = 31, 77, 142


def service_log(sessions: int, seed: int, *, faults: bool = False) -> str:
    """Return interleaved requests, whose faults are a slow step, a status and a size, in the same templates."""
    random, lines = Random(seed), list[tuple[float, str]]()
    for number in range(sessions):
        now = random.uniform(0, sessions / 4)
        failed, large = faults and number == _FAILED, faults and number == _LARGE
        steps = [
            f"INFO front - accepted from 10.0.0.{random.randrange(256)}",
            *[f"DEBUG db - read row {random.randrange(1, 10**6)}"] * random.randrange(1, 4),
            f"INFO store - wrote {10**7 if large else random.randrange(100, 900)} bytes",
            f"INFO front - answered {500 if failed else random.choice([200, 200, 204])} to the client",
        ]
        for place, step in enumerate(steps):
            level, logger, rest = step.split(" ", 2)
            lines.append((now, f"{level} {logger} {rest[:2]}req-{number:05d} {rest[2:]}"))
            slow = faults and number == _SLOW and place == len(steps) - 2
            now += 20.0 if slow else random.lognormvariate(-3, 0.5)
    return "".join(f"{_time(at)} {text}\n" for at, text in sorted(lines))


def _time(seconds: float) -> str:
    return (_START + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


class Service(NamedTuple):
    model: LogModel
    log: TrainingLog
    faulty: Path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("service")
    (folder / "normal.log").write_text(service_log(500, 0))
    (folder / "faulty.log").write_text(service_log(200, 1, faults=True))
    log = read_training_log(
        files_at(folder / "normal.log"), LogOptions(sessions=SessionOptions(session=REQUESTS))
    )
    recipe = log_recipe({"epochs": 6, "learning_rate": 0.02, "hidden_size": 16, "embedding_size": 16})
    train_logs(log, folder / "run", recipe, progress=False)
    return Service(LogModel.open(folder / "run"), log, folder / "faulty.log")


@pytest.fixture(scope="module")
def scan(service: Service) -> LogScan:
    return scan_logs(service.model, files_at(service.faulty), top=200)


def _ranks(scan: LogScan) -> list[int]:
    names = [session.name for session in scan.sessions]
    return [names.index(f"req-{number:05d}") for number in (_SLOW, _FAILED, _LARGE)]


def test_faults_in_gaps_and_parameters_come_first(service: Service, scan: LogScan) -> None:
    assert len(service.model.templates) == 4
    assert sorted(_ranks(scan)) == [0, 1, 2]
    assert all(session.is_reported for session in scan.sessions[:3])
    model = LogModel(
        service.model.run,
        service.model.settings,
        service.model.predictor,
        service.model.calibration,
        Values((), 4),
    )
    of_templates = scan_logs(model, files_at(service.faulty), top=200)
    assert min(_ranks(of_templates)) > 10
    for a, b in zip(
        sorted(scan.sessions, key=lambda s: s.name),
        sorted(of_templates.sessions, key=lambda s: s.name),
        strict=True,
    ):
        assert a.surprise == pytest.approx(b.surprise)
        assert a.score == pytest.approx(a.surprise + a.unusual + a.frequency)


def test_what_is_unusual_is_shown(scan: LogScan) -> None:
    sessions = {session.name: session for session in scan.sessions}
    expected = {
        _SLOW: ("gap", "20", "at most"),
        _FAILED: ("parameter 2", "500", "200, 204"),
        _LARGE: ("parameter 2", "10000000", "at least 2"),
    }
    text = "\n".join(written(scan, "table"))
    for number, (name, value, usual) in expected.items():
        lines = sessions[f"req-{number:05d}"].lines
        (unusual,) = [value for line in lines for value in line.unusual]
        assert unusual.name == name
        assert unusual.value.startswith(value)
        assert unusual.usual.startswith(usual[:10])
        assert f"{unusual.name}: {unusual.value}, usually {unusual.usual}" in text
    assert sum(bool(line.unusual) for session in scan.sessions for line in session.lines) <= 4


@pytest.mark.parametrize("restarts", [False, True])
def test_scores_while_the_log_is_written_are_those_of_the_scan(
    service: Service, scan: LogScan, tmp_path: Path, restarts: bool
) -> None:
    path = tmp_path / "app.log"
    content = service.faulty.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"")
    follower, verdicts = Follower(service.model, [path], silence=1e9), list[object]()
    for start in range(0, len(content), 100):
        with path.open("ab") as file:
            file.writelines(content[start : start + 100])
        verdicts += follower.poll(float(start))
        verdicts += follower.poll(start + 1.0)
        if restarts:
            state = follower.state()
            follower.close()
            follower = Follower(service.model, [path], silence=1e9, state=state)
    verdicts += follower.finish()
    follower.close()
    scores = {v.name: v.score for v in verdicts if isinstance(v, SessionVerdict)}
    assert scores == pytest.approx(
        {session.name: session.surprise + session.unusual for session in scan.sessions}, abs=1e-4
    )


@pytest.mark.parametrize(
    ("inputs", "positions"),
    [("templates", set()), ("templates,gaps", {0}), ("templates,parameters", {1, 2}), ("auto", {0, 1, 2})],
)
def test_inputs_are_chosen(
    service: Service, inputs: str, positions: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from throughtime.logs import learned

    monkeypatch.setattr(learned, "MOST_RECORDS", 1500)
    options = replace(service.log.settings.options, reading=ReadingOptions(inputs=inputs))  # type: ignore[arg-type]
    log = replace(service.log, settings=replace(service.log.settings, options=options))
    sessions = np.arange(len(log.sequences))
    result = learned.learned_values(log, sessions[100:], sessions[:100])
    assert {usual.position for usual in result.values.usual} <= positions
    assert {min(usual.position, 2) for usual in result.values.usual} == positions - {1}
    ends = log.sequences.rows[log.sequences.offsets[1:] - 1]
    assert result.is_read.tolist() == (ends < 1500).tolist()
    assert LogOptions.from_json(options.to_json()) == options


def _learned(values: Sequence[str]) -> list[Usual]:
    learner = ValueLearner()
    for value in values:
        learner.add(0, [value])
    return list(learner.usual())


def test_parameters_without_usual_values_are_not_used() -> None:
    assert not _learned([f"user-{number}" for number in range(1000)])
    assert not _learned(["a"] * 10)
    assert not _learned([*"abcdefghij"] + ["z"] * 30)
    (names,) = _learned([*"ab"] * 100 + ["c"])
    assert (names.total, names.unusual, names.texts) == (201, 1, ("a", "b", "c"))
    assert names.surprise == pytest.approx(np.log(202 / 2))
    (quantity,) = _learned([f"{number}ms" for number in range(100, 1101)])
    assert (quantity.low, quantity.high) == pytest.approx((105 / 4, 1095 * 4))
    assert [quantity.contains(text) for text in ("30ms", "4300", "20ms", "5000ms", "fast")] == [
        True,
        True,
    ] + [False] * 3


def test_wide_distributions_have_no_bound() -> None:
    """A uniform or exponential distribution has values near 0, a Pareto distribution very large ones."""
    random = np.random.default_rng(0)
    for values, bounds in (
        (random.uniform(0, 900, 500), (False, True)),
        (random.exponential(5, 500), (False, True)),
        (random.lognormal(2, 0.5, 500), (True, True)),
        (1 / random.random(500), (True, False)),
    ):
        (usual,) = _learned([f"{value:.4f}" for value in values])
        assert (usual.low is not None, usual.high is not None) == bounds
    assert not _learned([f"{value:.4f}" for value in random.normal(size=500)])


def test_the_bound_of_gaps() -> None:
    random = np.random.default_rng(0)
    gaps = np.append(random.exponential(size=2000), [np.nan, 500.0])
    (usual,) = usual_gaps(np.append(np.zeros(2000, dtype=np.int64), [0, 0]), gaps)
    assert usual.high == pytest.approx(4 * np.quantile(gaps[~np.isnan(gaps)], 0.995))
    assert (usual.total, usual.unusual) == (2001, 1)
    values = Values([usual], 1)
    checked, surprise = values.check_gaps(np.array([0, 0, 0, -1]), np.array([1.0, 99.0, np.nan, 99.0]))
    assert checked.tolist() == [True, True, False, False]
    assert surprise == pytest.approx([0, np.log(2002 / 2), 0, 0])
    (coarse,) = usual_gaps(np.zeros(400, dtype=np.int64), np.append(np.zeros(399), 1.0))
    assert coarse.high == 4.0
    assert not list(usual_gaps(np.zeros(500, dtype=np.int64), 1 / random.random(500)))


def test_evidence_in_normal_sessions_is_rare() -> None:
    """A value that is new with probability 1/n counts by its surprise, adjusted for the number of values."""
    random = np.random.default_rng(0)
    new = random.random((20_000, 25)) < 1 / 400
    evidence = evidence_of(np.full(20_000, 25), np.where(new.any(1), np.log(400), 0.0))
    for level in (0.5, 2.0):
        assert (evidence > level).mean() <= np.exp(-level)


def test_values_of_an_earlier_model_are_kept() -> None:
    old = Values([Usual(0, 1, 50, 0, None, None, ("a",)), Usual(1, 0, 50, 0, None, 2.0, ())], 2)
    new = Values([Usual(0, 1, 90, 0, None, None, ("b",))], 3).extended(old, 3)
    assert [(usual.template, usual.total) for usual in new.usual] == [(0, 90), (1, 50)]
    assert Values.from_json(new.to_json(), 3).usual == new.usual
    with pytest.raises(ValueError, match="values.usual.template must be below 1"):
        Values.from_json(new.to_json(), 1)
