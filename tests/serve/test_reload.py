"""A run is loaded anew while it answers: every request is answered, by the old or the new model."""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import throughtime as tt
from tests.cli.conftest import trained
from throughtime.errors import RunError
from throughtime.serve import create_app

from .conftest import KINDS, fit, held, only, send, serving

TEXTS = ["good film", "a very long plot", "bad"]


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the same kind with other weights."""
    out = tmp_path_factory.mktemp("other") / "text"
    fit(out, KINDS["text"], seed=1)
    return out


def replace(run: Path, by: Path) -> None:
    shutil.rmtree(run)
    shutil.copytree(by, run)


def labels(predictor: tt.Predictor) -> list[dict[str, Any]]:
    columns = predictor.predictions(TEXTS)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_no_request_is_lost_while_a_run_is_loaded(
    run_of: Callable[[str], Path], other_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_of("text"), run)
    old, new = labels(tt.load(run)), labels(tt.load(other_run))
    assert old != new
    answers: list[list[Any]] = [[] for _ in range(3)]
    ended, begun = threading.Event(), threading.Barrier(4)

    def ask(into: list[Any]) -> None:
        into.append(client.post("/predict", json=TEXTS))
        begun.wait(30)
        while not ended.is_set():
            into.append(client.post("/predict", json=TEXTS))

    with serving(run) as (client, _):
        threads = [threading.Thread(target=ask, args=(into,)) for into in answers]
        for thread in threads:
            thread.start()
        begun.wait(30)
        replace(run, other_run)
        loaded = client.post("/reload")
        assert client.post("/predict", json=TEXTS).json()["predictions"] == new
        ended.set()
        for thread in threads:
            thread.join(30)
    assert list(loaded.json()["reloaded"]) == ["run"]
    for responses in answers:
        assert {response.status_code for response in responses} == {200}
        got = [response.json()["predictions"] for response in responses]
        switched = next((place for place, answer in enumerate(got) if answer == new), len(got))
        assert got == [old] * switched + [new] * (len(got) - switched)
        assert got[0] == old


def test_a_request_that_waited_is_answered_by_the_model_of_its_arrival(
    run_of: Callable[[str], Path], other_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_of("text"), run)
    old = labels(tt.load(run))
    with serving(run) as (client, served), held(served) as gate:
        answer = send(client, TEXTS)
        assert gate.reached.wait(30)
        replace(run, other_run)
        assert client.post("/models/run/reload").status_code == 200
        gate.open()
        assert answer.result(30).json()["predictions"] == old


def test_a_damaged_run_leaves_the_former_model(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_of("text"), run)
    with serving(run) as (client, served):
        before, weights = client.post("/predict", json=TEXTS).json(), only(served).loaded.weights
        (run / "model.safetensors").write_bytes(b"damaged")
        response = client.post("/reload")
        assert response.status_code == 409
        error = response.json()["error"]
        assert error.startswith("run was not loaded anew, the former model answers: ")
        assert "model.safetensors" in error
        assert "\n" not in error
        assert client.post("/predict", json=TEXTS).json() == before
        assert client.get("/").json()["weights"] == weights
        assert 'throughtime_reloads_total{model="run",result="failure"} 1.0' in client.get("/metrics").text


def test_health_and_lifespan(run_of: Callable[[str], Path]) -> None:
    app = create_app([run_of("text")])
    client = TestClient(app)
    assert client.get("/health").json() == {"live": True, "ready": False}
    assert client.get("/health").status_code == 503
    with client:
        assert client.get("/health").json() == {"live": True, "ready": True}
    assert client.get("/health").status_code == 503
    assert client.post("/predict", json=TEXTS).status_code == 503


def test_runs_that_cannot_be_served(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "play.txt").write_text("to be or not to be\n" * 50)
    options = ("--task", "language", "--epochs", 1, "--hidden-size", 4, "--streams", 2, "--bptt", 8)
    language = trained(tmp_path / "language", tmp_path / "play.txt", *options, "--no-baselines")
    with pytest.raises(
        RunError, match="task 'language', which predicts no rows and cannot be served; use thr"
    ):
        create_app([language])
    newer = tmp_path / "newer"
    shutil.copytree(run_of("text"), newer)
    content = (newer / "run.json").read_text()
    (newer / "run.json").write_text(content.replace('"version": 3', '"version": 4'))
    with pytest.raises(RunError, match=r"newer"):
        create_app([newer])
    shutil.copytree(run_of("text"), tmp_path / "text")
    with pytest.raises(RunError, match="have the same name 'text'"):
        create_app([run_of("text"), tmp_path / "text"])
