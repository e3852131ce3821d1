"""Trainings on the device: every task, resuming, predictions, and runs that a machine without a GPU reads."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

import throughtime as tt
from tests.cli.conftest import RunCli, run_cli
from tests.estimators.data import gun_point
from tests.gpu.device import CUDA, cuda_alone
from tests.tasks.test_contract import CASES, Case
from tests.training.test_resume import signalled
from throughtime.training import Run, fit, read_gradients

__all__ = ["run_cli"]  # a fixture of this file

ROWS: dict[str, list[Any]] = {
    "text": ["good film", "bad film", "good play", "bad play"] * 10,
    "label": ["+", "-"] * 20,
}
pytestmark = cuda_alone
each_task = pytest.mark.parametrize("name", CASES)


class _Devices(pl.Callback):
    """Where the weights were at every step."""

    def __init__(self) -> None:
        self.seen: set[torch.device] = set()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.seen |= {parameter.device for parameter in pl_module.parameters()}


def _fitted(case: Case, run: Run, *, resume: bool = False, **more: Any) -> bool:
    arguments = case.source, case.task, case.model, case.all_settings, run
    return fit(*arguments, resume=resume, progress=False, **more).interrupted


@each_task
@pytest.mark.parametrize("device", ["cuda", None])
def test_a_task_learns_there_by_default(name: str, device: str | None, tmp_path: Path) -> None:
    case, devices = CASES[name], _Devices()
    run = case.created(tmp_path / "run")
    assert not _fitted(case, run, device=device, callbacks=[devices])
    assert devices.seen == {CUDA}
    first, second = run.metrics.history
    assert second.train["loss"] < first.train["loss"]
    assert run.metrics.test is not None
    assert {parameter.device.type for parameter in run.load_model().parameters()} == {"cpu"}


def test_device_cpu_is_the_cpu(tmp_path: Path) -> None:
    case, devices = CASES["regression"], _Devices()
    _fitted(case, case.created(tmp_path / "run"), device="cpu", callbacks=[devices])
    assert devices.seen == {torch.device("cpu")}


@each_task
def test_an_interrupted_training_resumes_to_the_same_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    whole, run = case.created(tmp_path / "whole"), case.created(tmp_path / "run")
    _fitted(case, whole)
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", whole.metrics.history[0].steps + 2)
        assert _fitted(case, run)
    assert not _fitted(case, run, resume=True)
    expected = whole.load_model().state_dict()
    for key, weight in run.load_model().state_dict().items():
        torch.testing.assert_close(weight, expected[key], rtol=1e-3, atol=1e-4)
    figures = [run.metrics.history[-1].train["loss"], whole.metrics.history[-1].train["loss"]]
    assert figures[0] == pytest.approx(figures[1], rel=1e-3)


def test_a_training_goes_on_on_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["tagging"]
    run = case.created(tmp_path / "run")
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGINT, "training_step", 3)
        assert _fitted(case, run, device="cuda")
    devices = _Devices()
    assert not _fitted(case, run, resume=True, device="cpu", callbacks=[devices])
    assert devices.seen == {torch.device("cpu")}
    assert len(run.metrics.history) == 2


def test_gradients_are_recorded(tmp_path: Path) -> None:
    run = CASES["tagging"].created(tmp_path / "run")
    _fitted(CASES["tagging"], run, watch_every=2)
    records = read_gradients(run.path / "gradients.jsonl")
    assert [layer.kind for layer in records[0].layers]
    assert all(np.isfinite(layer.h).all() for record in records for layer in record.layers)


WITHOUT = """
import json, sys, torch, throughtime as tt
assert not torch.cuda.is_available()
fitted = tt.load(sys.argv[1])
print(json.dumps(fitted.predict_proba(["good film", "a bad play"]).tolist()))
"""


def test_a_run_is_read_where_there_is_no_gpu(tmp_path: Path) -> None:
    fitted = tt.fit(ROWS, model="bilstm", epochs=3, progress=False, out=tmp_path / "run", device="cuda")
    expected = fitted.predict_proba(["good film", "a bad play"])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "run")],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-6)


@pytest.mark.parametrize("model", ["bilstm", "textcnn", "rocket", "auto"])
def test_fit_and_predictions_of_a_model_on_the_device(model: str) -> None:
    if model == "rocket":
        series, labels = gun_point()
        data: Any = {"series": list(series), "label": list(labels)}
        rows: Any = list(series[:6])
        fitted = tt.fit(data, model=model, progress=False)
    else:
        fitted, rows = tt.fit(ROWS, model=model, progress=False), ["good film", "bad play"]
    expected = fitted.predict_proba(rows)
    fitted.model.to(CUDA)
    np.testing.assert_allclose(fitted.predict_proba(rows), expected, rtol=1e-3, atol=1e-4)
    assert len(fitted.predict(rows)) == len(rows)


@pytest.mark.parametrize("device", ["cuda", None, "cpu"])
def test_an_estimator(device: str | None) -> None:
    series, labels = gun_point()
    estimator = tt.SequenceClassifier(
        model="fcn", model_options={"channels": (16, 16, 16)}, learning_rate=0.02, epochs=8,
        random_state=0, device=device,
    )  # fmt: skip
    test, truth = gun_point(seed=5)
    assert estimator.fit(series, labels).score(test, truth) > 0.9


def test_the_command_line(tmp_path: Path, run_cli: RunCli) -> None:
    data, out = tmp_path / "data.csv", tmp_path / "run"
    rows = "\n".join(f"{text},{label}" for text, label in zip(*ROWS.values(), strict=True))
    data.write_text(f"words,kind\n{rows}\n", encoding="utf-8")
    options = "--text", "words", "--target", "kind", "--model", "bigru", "--epochs", 3, "--device", "cuda"
    trained = run_cli("train", data, *options, "--watch-every", 2, "--out", out)
    assert (trained.code, trained.err) == (0, "")
    for command in (("predict", out, data), ("diagnose", out, data)):
        outcome = run_cli(*command)
        assert outcome.code == 0, outcome.err
