"""The commands with the default model, a blend: training with its options, and all that reads the run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from throughtime.learn import load
from throughtime.learn.auto import read_outcome
from throughtime.models import Blend, TextCNN
from throughtime.training import Run

from .conftest import RunCli, rows_of_all_tasks, trained, write_csv
from .test_bad_input import refused

SHORT = ("--epochs", 1, "--no-baselines")
COLUMNS = ("--text", "words", "--target", "kind")


def _rows() -> list[dict[str, Any]]:
    rows = rows_of_all_tasks()
    return [
        {**row, "user": number // 3, "day": number, "price": number % 7} for number, row in enumerate(rows)
    ]


def _write_series(path: Path, count: int = 60) -> Path:
    random = np.random.default_rng(0)
    waves = [np.sin(np.arange(12 + i % 5) * (0.3 + 0.4 * (i % 2))) for i in range(count)]
    rows = [
        {"series": (wave + random.normal(0, 0.1, len(wave))).round(3).tolist(), "label": "ab"[i % 2]}
        for i, wave in enumerate(waves)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A run of texts and one of series, with their files beside them."""
    folder = tmp_path_factory.mktemp("auto")
    texts, series = write_csv(folder / "tokens.csv", _rows()), _write_series(folder / "series.jsonl")
    return {
        "tokens": trained(folder / "tokens", texts, *COLUMNS, *SHORT),
        "series": trained(folder / "series", series, *SHORT),
    }


def _data(run: Path) -> Path:
    return next(path for path in run.parent.iterdir() if path.is_file() and path.stem == run.name)


@pytest.mark.parametrize("inputs", ["tokens", "series"])
def test_predictions_are_those_of_load(inputs: str, runs: Mapping[str, Path], run_cli: RunCli) -> None:
    run = runs[inputs]
    done = run_cli("predict", run, _data(run), "--format", "jsonl")
    assert (done.code, done.err) == (0, "")
    predictor = load(run)
    probabilities = predictor.predict_proba(_data(run))
    written = [json.loads(line) for line in done.out.splitlines()]
    columns = [f"probability_{name}" for name in predictor.classes or ()]
    np.testing.assert_allclose([[row[name] for name in columns] for row in written], probabilities, atol=1e-6)


def test_the_onnx_file_computes_what_the_run_does(
    runs: Mapping[str, Path], tmp_path: Path, run_cli: RunCli
) -> None:
    """Of tokens; tests/export has a blend of series, whose file reads what the data have."""
    run, out = runs["tokens"], tmp_path / "model.onnx"
    done = run_cli("export", run, "--to", "onnx", "--out", out)
    assert (done.code, done.err) == (0, "")
    predictor = load(run)
    assert isinstance(predictor.model, Blend)
    x = predictor.examples(_data(run)).inputs
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    padded = {"tokens": x.to_padded(batch_first=True).numpy(), "lengths": x.lengths.numpy()}
    (logits,) = session.run(["logits"], padded)
    with torch.no_grad():
        expected = predictor.model(x)
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-4)


def test_runs_are_compared_in_80_columns(
    runs: Mapping[str, Path], run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = run_cli("compare", *runs.values())
    assert (done.code, done.err) == (0, "")
    assert "blend" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("inputs", ["tokens", "series"])
def test_a_blend_is_not_diagnosed(inputs: str, runs: Mapping[str, Path], run_cli: RunCli) -> None:
    run = runs[inputs]
    message = "has a blend of several models, and a diagnosis is of one network; train one of them by itself (model="
    refused(run_cli("diagnose", run, _data(run)), [message])
    assert not (run / "diagnosis.json").exists()


def test_the_table_of_models_fits_80_columns_and_adds_up(
    tmp_path: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    data = write_csv(tmp_path / "data.csv", _rows())
    done = run_cli("train", data, *COLUMNS, *SHORT, "--out", tmp_path / "run")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("held-out rows")) :]
    table = [line for line in table if "┃" in line or "│" in line or "━" in line]
    assert max(map(len, table)) <= 80
    outcome = read_outcome(Run.open(tmp_path / "run"))
    assert outcome is not None
    for member in outcome.members:
        assert any(line.startswith(member.model) and f"{member.weight:.2f}" in line for line in table)
    assert any(line.startswith("blend") for line in table)


def test_a_finished_run_is_left_as_it_is(runs: Mapping[str, Path], run_cli: RunCli) -> None:
    run = runs["series"]
    before = (run / "model.safetensors").read_bytes()
    done = run_cli("train", _data(run), "--no-baselines", "--resume", "--out", run)
    assert (done.code, done.err) == (0, "")
    assert f"the training in {run} is already finished" in done.out
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("options", [("--folds", 2), ("--seeds", 2)])
def test_several_trainings(options: tuple[object, ...], tmp_path: Path, run_cli: RunCli) -> None:
    data = write_csv(tmp_path / "data.csv", _rows())
    done = run_cli("train", data, *COLUMNS, *SHORT, *options, "--out", tmp_path / "runs")
    assert (done.code, done.err) == (0, "")
    assert f"over 2 {options[0].removeprefix('--')}" in done.out
    states = [Run.open(path).load_model().state_dict() for path in sorted((tmp_path / "runs").iterdir())]
    assert len(states) == 2
    first, second = (state["members.0.0.embedding.weight"] for state in states)
    assert first.shape != second.shape or not torch.equal(first, second)


OPTIONS: Mapping[str, tuple[object, ...]] = {
    "a time": ("--time", "day"),
    "groups, numbers and weights": ("--group", "user", "--numeric", "price", "--class-weight", "balanced"),
    "a threshold, a temperature and a metric": ("--threshold-metric", "f1", "--calibrate", "--monitor", "f1"),
    "byte pairs and a patience": ("--tokenizer", "bpe", "--vocabulary", 300, "--patience", 2),
    "a budget": ("--budget", "0.05s"),
    "windows": ("--max-length", 3, "--longer", "windows"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_a_training(name: str, tmp_path: Path, run_cli: RunCli) -> None:
    data = write_csv(tmp_path / "data.csv", _rows())
    run = tmp_path / "run"
    done = run_cli("train", data, *COLUMNS, *SHORT, *OPTIONS[name], "--out", run)
    assert (done.code, done.err) == (0, "")
    predicted = run_cli("predict", run, data, "--format", "csv")
    assert (predicted.code, predicted.err) == (0, "")
    labels = [line.split(",")[1] for line in predicted.out.splitlines()[1:]]
    assert np.mean([label == row["kind"] for label, row in zip(labels, _rows(), strict=True)]) > 0.6
    plan = Run.open(run).config.recipe["plan"]
    assert plan["folds"] == (1 if name in ("a time", "a budget", "windows") else 5)


def test_rows_of_a_validation_file_are_not_trained_on(tmp_path: Path, run_cli: RunCli) -> None:
    data = write_csv(tmp_path / "data.csv", _rows()[:40])
    validation = write_csv(tmp_path / "validation.csv", _rows()[40:])
    run = tmp_path / "run"
    done = run_cli(
        "train", data, *COLUMNS, *SHORT, "--validation-file", validation, "--test", 0, "--out", run
    )
    assert (done.code, done.err) == (0, "")
    outcome = read_outcome(Run.open(run))
    assert outcome is not None
    assert (outcome.folds, outcome.rows) == (1, 20)


def test_pretrained_vectors_are_set_in_every_network(tmp_path: Path, run_cli: RunCli) -> None:
    data, vectors = write_csv(tmp_path / "data.csv", _rows()), tmp_path / "vectors.txt"
    vectors.write_text("good 1 2 3\nbad 4 5 6\n", encoding="utf-8")
    options = ("--vectors", vectors, "--freeze-vectors")
    done = run_cli("train", data, *COLUMNS, *SHORT, *options, "--out", tmp_path / "run")
    assert (done.code, done.err) == (0, "")
    predictor = load(tmp_path / "run")
    names = predictor.encoder.inputs.token_names  # type: ignore[union-attr]
    networks = [m for copies in predictor.model.members for m in copies if isinstance(m, TextCNN)]  # type: ignore[union-attr, arg-type]
    assert networks
    for network in networks:
        assert network.embedding.weight[names.index("good")].tolist() == [1, 2, 3]


def test_a_mapped_file_trains_one_network(tmp_path: Path, run_cli: RunCli) -> None:
    import pyarrow as pa

    table, path = pa.Table.from_pylist(_rows()), tmp_path / "data.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    done = run_cli("train", path, *COLUMNS, *SHORT, "--memory-map", "--out", tmp_path / "run")
    assert (done.code, done.err) == (0, "")
    plan = Run.open(tmp_path / "run").config.recipe["plan"]
    assert [member["model"] for member in plan["members"]] == ["textcnn"]
