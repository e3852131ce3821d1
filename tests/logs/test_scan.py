"""A scan finds the faults of a generated log, with their places, and what it says agrees with the model."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest

from throughtime.errors import DataError, RunError
from throughtime.logs.formats import written
from throughtime.logs.generated import FAULTS, FIRST_OF_FAULTS, generated_log
from throughtime.logs.model import CALIBRATION, END, NEW_TEMPLATE, LogModel
from throughtime.logs.options import LogOptions, SessionOptions
from throughtime.logs.scan import LogScan, ScannedSession, scan_logs
from throughtime.logs.training import log_recipe, read_training_log, train_logs
from throughtime.training import Run

from .conftest import REQUESTS, Trained, files_at, write_log


@pytest.fixture(scope="module")
def scan(trained: Trained) -> LogScan:
    return scan_logs(LogModel.open(trained.run), files_at(trained.faulty), top=200)


def _of(scan: LogScan, trained: Trained) -> dict[str, ScannedSession]:
    """Return the sessions by their fault."""
    faults = {line.session: line.fault for line in trained.lines if line.fault}
    return {faults[session.name]: session for session in scan.sessions if session.name in faults}


def test_the_faults_are_the_most_surprising_sessions(scan: LogScan, trained: Trained) -> None:
    faulty = {line.session for line in trained.lines if line.fault}
    assert {session.name for session in scan.sessions[: len(FAULTS)]} == faulty
    assert all(session.is_reported for session in scan.sessions[: len(FAULTS)])
    assert scan.reported == sum(session.is_reported for session in scan.sessions)
    assert scan.reported <= len(FAULTS) + 6  # at a rate of 0.01
    assert (scan.total, len(scan.sessions), scan.held_out) == (200, 200, 120)
    scores = [session.score for session in scan.sessions]
    assert scores == sorted(scores, reverse=True)


def test_lines_are_those_of_the_file(scan: LogScan, trained: Trained) -> None:
    text = trained.faulty.read_text().splitlines()
    for session in scan.sessions:
        for line in session.lines:
            assert line.text == text[line.line - 1]
            assert session.name in line.text
            assert session.first_line <= line.line <= session.last_line


def test_what_is_wrong_is_named(scan: LogScan, trained: Trained) -> None:
    sessions = _of(scan, trained)
    crash, declined = sessions["crash"], sessions["declined"]
    (failed,) = [line for line in crash.lines if line.lines == 5]
    assert failed.is_new
    assert "could not be loaded" in failed.text
    assert "payment" in max(declined.lines, key=lambda line: line.surprise).text
    # A payment that is captured before it is authorised: what was expected is the other of the two lines.
    order = next(line for line in sessions["order"].lines if "captured" in line.text)
    assert "authorised" in order.expected[0].template
    assert not order.is_new
    leak = max(sessions["leak"].lines, key=lambda line: line.surprise)
    assert "released" in leak.expected[0].template


def test_new_templates_are_those_that_only_faults_have(scan: LogScan, trained: Trained) -> None:
    expected = {
        line.template
        for line in trained.lines
        if line.template is not None and line.template >= FIRST_OF_FAULTS
    }
    assert len(scan.new_templates) == len(expected)
    lines = trained.faulty.read_text().splitlines()
    records = sum(line.template in expected for line in trained.lines)
    assert sum(template.records for template in scan.new_templates) == records
    for template in scan.new_templates:
        assert template.level in lines[template.line - 1]
    assert any(template.text.endswith("could not be loaded KeyError") for template in scan.new_templates)


def test_the_surprise_is_that_of_the_probabilities(model: LogModel) -> None:
    """Each step alone, from the language model's own states, is a plain reference."""
    import torch

    events = pa.array([[0, 2, 3, 1]], pa.list_(pa.int32()))
    inner = model.scorer.predictor.model.model
    inputs = model.scorer.predictor.examples(pa.table({"events": events})).inputs.values.tolist()
    tokens = [*inputs, inner.vocabulary_size - 1]
    zero = torch.zeros(1, inner.layers[0].input_size)
    state, expected, step = None, [], zero
    with torch.no_grad():
        for token in tokens:
            hidden, state = inner.layers[0].step(step, state)
            expected.append(-inner.read_out(inner.projected(hidden))[0, token].item())
            step = inner.features(torch.tensor([token]))
    np.testing.assert_allclose(model.scorer.surprise(events), expected, rtol=1e-4, atol=1e-5)
    shown = model.scorer.expected(events, model.template_names, count=1000)
    assert len(shown) == len(tokens)
    for choices in shown:
        assert sum(choice.probability for choice in choices) == pytest.approx(1, abs=1e-4)
    names = {choice.template for choice in shown[0]}
    assert {END, NEW_TEMPLATE} <= names
    assert names - {END, NEW_TEMPLATE} <= set(model.template_names.values())


def test_fewer_false_alarms_report_fewer_sessions(model: LogModel, trained: Trained) -> None:
    few = scan_logs(model, files_at(trained.faulty), false_alarms=0.01)
    many = scan_logs(model, files_at(trained.faulty), false_alarms=0.2)
    assert few.reported < many.reported
    assert len(many.sessions) == 10
    with pytest.raises(DataError, match="needs 999 held-out sessions, but the run has 120"):
        scan_logs(model, files_at(trained.faulty), false_alarms=0.001)


def test_a_normal_log_is_reported_at_about_the_rate(model: LogModel, tmp_path: Path) -> None:
    normal = write_log(tmp_path / "normal.log", list(generated_log(300, seed=9)))
    assert scan_logs(model, files_at(normal), false_alarms=0.05).reported / 300 < 0.1


def test_noise_is_ignored(model: LogModel, trained: Trained, tmp_path: Path) -> None:
    lines = trained.faulty.read_text().splitlines(keepends=True)
    noise = "2026-01-31 12:00:00,000 WARNING [noise] x - req-000007 the clock drifts\n"
    noisy = tmp_path / "faulty.log"
    noisy.write_text("".join(line + noise for line in lines))
    options = {"top": 200, "ignore": ["clock drifts"]}
    ignoring = scan_logs(model, files_at(noisy), **options)  # type: ignore[arg-type]
    plain = scan_logs(model, files_at(trained.faulty), top=200)
    assert [s.score for s in ignoring.sessions] == pytest.approx([s.score for s in plain.sessions])
    assert "the clock drifts" in str(scan_logs(model, files_at(noisy)).new_templates)
    assert (ignoring.ignored, ignoring.records) == (len(lines), plain.records)


def test_jsonl_has_a_line_for_each_session_and_a_summary(scan: LogScan) -> None:
    rows = [json.loads(line) for line in written(scan, "jsonl")]
    kinds = [row["kind"] for row in rows]
    assert kinds == ["session"] * 200 + ["new_template"] * len(scan.new_templates) + ["summary"]
    assert rows[0]["name"] == scan.sessions[0].name
    assert rows[0]["lines"][0]["expected"][0] == {
        "template": scan.sessions[0].lines[0].expected[0].template,
        "probability": scan.sessions[0].lines[0].expected[0].probability,
    }
    assert rows[-1]["reported"] == scan.reported


def test_sarif_has_a_result_for_each_reported_session(scan: LogScan) -> None:
    content = json.loads("\n".join(written(scan, "sarif")))
    (run,) = content["runs"]
    assert content["version"] == "2.1.0"
    sessions = [result for result in run["results"] if result["ruleId"] == "surprising-session"]
    assert len(sessions) == scan.reported
    assert {result["ruleId"] for result in run["results"]} <= {
        rule["id"] for rule in run["tool"]["driver"]["rules"]
    }
    place = sessions[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].startswith("file:///")
    worst = max(scan.sessions[0].lines, key=lambda line: line.surprise)
    assert place["region"]["startLine"] == worst.line


def test_junit_has_a_failure_for_each_reported_session(scan: LogScan) -> None:
    suite = ET.fromstring("\n".join(written(scan, "junit")))
    assert len(suite.findall("testcase")) == 200
    assert len(suite.findall("testcase/failure")) == scan.reported == int(suite.attrib["failures"])


def test_the_table_fits_and_marks_reported_sessions(scan: LogScan) -> None:
    lines = list(written(scan, "table"))
    assert max(map(len, lines)) <= 160
    assert sum(line.startswith("*") and "surprise" in line for line in lines) == scan.reported
    assert lines[-1].startswith(f"* reported: {scan.reported} of 200 sessions, ")


@pytest.mark.parametrize(
    "options", [SessionOptions(by="thread", length=16), SessionOptions(window=5.0), SessionOptions(length=20)]
)
def test_other_sessions_are_trained_and_scanned(tmp_path: Path, options: SessionOptions) -> None:
    normal = write_log(tmp_path / "normal.log", list(generated_log(60)))
    log = read_training_log(files_at(normal), LogOptions(sessions=options))
    recipe = log_recipe({"epochs": 1, "hidden_size": 8, "embedding_size": 8})
    result = train_logs(log, tmp_path / "run", recipe, progress=False)
    assert result.model is not None
    model = LogModel.open(tmp_path / "run")
    assert model.settings == log.settings
    scan = scan_logs(model, files_at(normal))
    assert scan.records == len(log.events)
    assert not scan.new_templates


def _small(folder: Path, normal: Path, sessions: str = REQUESTS) -> tuple[object, Path]:
    log = read_training_log(files_at(normal), LogOptions(sessions=SessionOptions(session=sessions)))
    return log, folder / "run"


def test_a_training_that_was_stopped_goes_on_to_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cli.test_tune import press_at_step

    normal = write_log(tmp_path / "normal.log", list(generated_log(60)))
    recipe = log_recipe({"epochs": 3, "hidden_size": 8, "embedding_size": 8})
    log, _ = _small(tmp_path, normal)
    whole = train_logs(log, tmp_path / "whole", recipe, progress=False).model  # type: ignore[arg-type]
    with monkeypatch.context() as patched:
        press_at_step(patched, 4)
        stopped = train_logs(log, tmp_path / "run", recipe, progress=False)  # type: ignore[arg-type]
    assert stopped.result.interrupted
    assert stopped.model is None
    with pytest.raises(RunError, match="has not finished; continue it with --resume"):
        LogModel.open(tmp_path / "run")
    resumed = train_logs(log, tmp_path / "run", recipe, resume=True, progress=False).model  # type: ignore[arg-type]
    assert whole is not None
    assert resumed is not None
    assert resumed.calibration == whole.calibration
    assert (tmp_path / "run" / CALIBRATION).read_bytes() == (tmp_path / "whole" / CALIBRATION).read_bytes()


def test_a_run_of_something_else_is_refused(tmp_path: Path) -> None:
    import throughtime as tt

    tt.fit({"text": ["a b", "b a"] * 10, "label": ["x", "y"] * 10}, model="textcnn", epochs=1, out=tmp_path / "run",
           progress=False)  # fmt: skip
    with pytest.raises(RunError, match="is a run of task 'classification', not of a log"):
        LogModel.open(tmp_path / "run")
    with pytest.raises(RunError, match="does not exist"):
        LogModel.open(tmp_path / "gone")


def test_damaged_settings_are_named(trained: Trained, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(trained.run, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    content = json.loads((tmp_path / "run" / "logs.json").read_text())
    content["options"]["sessions"]["session"] = "("
    run.write_json("logs.json", content)
    with pytest.raises(RunError, match=r"logs\.json is damaged: session='\('"):
        LogModel.open(tmp_path / "run")


def test_too_few_sessions_are_an_error(tmp_path: Path) -> None:
    normal = write_log(tmp_path / "normal.log", list(generated_log(2)))
    log, out = _small(tmp_path, normal)
    with pytest.raises(DataError, match="the log has 2 rows, too few for all parts"):
        train_logs(log, out, log_recipe({}), progress=False)  # type: ignore[arg-type]


def test_normal_data_are_added_later(model: LogModel, trained: Trained, tmp_path: Path) -> None:
    """Lines of a new version of the service are new before, and known after a further training."""
    lines = [line.text for line in generated_log(200, seed=5)]
    changed = [
        text.replace("answered status", "answered in time, status").replace("cart.Store", "basket.Store")
        for text in lines
    ]
    path = tmp_path / "next.log"
    path.write_text("".join(f"{text}\n" for text in changed))
    before = scan_logs(model, files_at(path))
    assert before.reported > 100
    log = read_training_log(files_at(path), model.settings.options, model)
    assert log.settings.templates[: len(model.templates)] != model.templates.all  # their counts
    names = [template.text for template in log.settings.templates]
    assert names[: len(model.templates)] == [template.text for template in model.templates.all]
    assert len(names) == len(model.templates) + 2
    recipe = model.recipe.changed(epochs=4)
    further = train_logs(log, tmp_path / "run", recipe, start=model, progress=False).model
    assert further is not None
    after = scan_logs(LogModel.open(tmp_path / "run"), files_at(path), false_alarms=0.05)
    assert not after.new_templates
    assert after.reported < 30
    events = pa.array([[0, 1]], pa.list_(pa.int32()))
    assert (tmp_path / "run" / "logs.json").exists()
    assert len(further.scorer.expected(events, further.template_names, 1000)[0]) == len(names) + 2


def test_a_further_training_begins_with_the_same_surprise(model: LogModel, trained: Trained) -> None:
    """Weights keep their tokens: before the first step, only the shares of new tokens are added."""
    from dataclasses import replace

    from throughtime.learn.automatic import automatic_settings
    from throughtime.logs.further import further_prepared
    from throughtime.logs.model import as_table
    from throughtime.tasks.anomaly import Surprise

    log = read_training_log(files_at(trained.faulty), model.settings.options, model)
    table = as_table(log.sequences.lists(log.events.event))
    prepared = further_prepared(model, model.recipe, table)
    prepared = replace(prepared, recipe=automatic_settings(prepared))
    new = prepared.recipe.spec("tokens").build(prepared.source.shape, prepared.task).eval()
    assert prepared.prepare_model is not None
    assert isinstance(new, Surprise)
    prepared.prepare_model(new)
    old = model.predictor.model
    tokens = model.predictor.examples(as_table(pa.array([[0, 2, 3, 1]], pa.list_(pa.int32())))).inputs
    _, states = old.before(tokens)
    _, grown = new.before(tokens)
    np.testing.assert_allclose(grown.values.detach(), states.values.detach(), atol=1e-6)
    weights = old.model.read_out(states.values).detach().exp().numpy()
    shares = new.model.read_out(grown.values).detach().exp().numpy()
    kept = np.delete(shares, range(weights.shape[1] - 1, shares.shape[1] - 1), axis=1)
    np.testing.assert_allclose(kept / kept.sum(1, keepdims=True), weights, atol=1e-5)
