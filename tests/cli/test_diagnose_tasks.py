"""``throughtime diagnose`` on runs of every task that reads tables."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from throughtime.learn import load
from throughtime.tasks import METRICS

from .conftest import TARGETS, RunCli, rows_of_all_tasks, trained, write_csv


def _diagnosis(run: Path) -> dict:
    return json.loads((run / "diagnosis.json").read_text("utf-8"))


@pytest.mark.parametrize("task", ["multilabel", "regression", "tagging"])
def test_the_loss_is_the_mean_loss_of_the_task(
    task: str, tmp_path: Path, run_cli: RunCli, task_runs: Mapping[str, Path]
) -> None:
    rows = rows_of_all_tasks()
    for row in rows:  # none is one of the training
        row["words"] = row["words"].replace("this", "number")
    run, data = task_runs[task], write_csv(tmp_path / "data.csv", rows)
    done = run_cli("diagnose", run, data, "--examples", 60)
    assert (done.code, done.err) == (0, "")
    found, predictor = _diagnosis(run), load(run)
    examples = predictor.encoder.examples(predictor.table(data), predictor.task, [TARGETS[task]])
    with torch.no_grad():
        losses = predictor.task.score(predictor.model, predictor.model(examples.inputs), examples.targets)[
            "loss"
        ]
    # All sequences have five tokens, so that means over steps and over sequences are the same.
    assert found["loss"] == pytest.approx(float(losses.mean()), rel=1e-5)
    assert found["quality"] is None
    figures = predictor.score(data)
    shown = "  ".join(f"{METRICS[name].title} {METRICS[name].text(value)}" for name, value in figures.items())
    assert f"{shown} on " in done.out
    assert " examples outside of the training data\n" in done.out
    assert found["examples"][0]["tokens"][:3] == ["number", "bad", "thing"]
    assert len(found["layers"]) == (2 if task == "tagging" else 0)
    assert "60 labelled rows of data.csv" in (run / "diagnosis.html").read_text("utf-8")


def test_an_anomaly_detector_is_diagnosed_on_the_last_steps(
    run_cli: RunCli, task_runs: Mapping[str, Path]
) -> None:
    run, data = task_runs["anomaly"], task_runs["anomaly"].parent / "data.csv"
    done = run_cli("diagnose", run, data, "--examples", 60)
    assert (done.code, done.err) == (0, "")
    predictor = load(run)
    surprise = predictor.predictions(data)["surprise"]
    # Before the end token there is the last word.
    expected = np.mean([row[-2] for row in surprise])
    assert _diagnosis(run)["quality"]["loss"] == pytest.approx(expected, rel=1e-5)
    assert [len(row["tokens"]) for row in _diagnosis(run)["examples"]] == [4] * len(
        _diagnosis(run)["examples"]
    )


def test_series_with_further_columns_are_diagnosed(tmp_path: Path, run_cli: RunCli) -> None:
    random = np.random.default_rng(0)
    rows = [
        {
            "series": (random.normal(size=9) + number % 2).round(3).tolist(),
            "age": float(number),
            "label": "ab"[number % 2],
        }
        for number in range(40)
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = trained(
        tmp_path / "run", data, "--series", "series", "--numeric", "age", "--model", "fcn", "--epochs", 1,
        "--no-baselines",
    )  # fmt: skip
    done = run_cli("diagnose", run, data, "--examples", 40)
    assert (done.code, done.err) == (0, "")
    found, predictor = _diagnosis(run), load(run)
    assert found["loss"] == pytest.approx(predictor.score(data)["loss"], rel=1e-5)
    assert found["quality"]["no_bag_of_words"] == "the sequences are numbers, not tokens"
    names = [norms["name"] for norms in found["gradient_norms"]]
    assert all(name in dict(predictor.model.named_modules()) for name in names)


def test_windows_of_long_rows_are_averaged(tmp_path: Path, run_cli: RunCli) -> None:
    data = write_csv(tmp_path / "data.csv", rows_of_all_tasks())
    run = trained(
        tmp_path / "run", data, "--text", "words", "--target", "kind", "--max-length", 2, "--longer", "windows",
        "--epochs", 1, "--min-count", 1, "--no-baselines",
    )  # fmt: skip
    rows = rows_of_all_tasks(20)
    for row in rows:
        row["words"] += " of them all"
    new = write_csv(tmp_path / "new.csv", rows)
    done = run_cli("diagnose", run, new)
    assert (done.code, done.err) == (0, "")
    quality = _diagnosis(run)["quality"]
    assert quality["rows"] == 20
    assert quality["accuracy"] == pytest.approx(load(run).score(new)["accuracy"])
    assert quality["bag_of_words"]["accuracy"] == 1.0
