"""``throughtime diagnose``: findings first, then a page and its numbers in the run."""

import csv
import json
from pathlib import Path

import pytest

from .conftest import RunCli
from .test_bad_input import refused


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["review", "stars"])
        for i in range(60):
            rows.writerow(
                [f"this is {'good' if i % 2 else 'bad'} thing number {i}", "yes" if i % 2 else "no"]
            )
    return path


@pytest.mark.parametrize("model", ["bilstm", "bigru"])
def test_a_run_is_diagnosed(tmp_path: Path, run_cli: RunCli, texts: Path, model: str) -> None:
    run = tmp_path / "run"
    trained = run_cli(
        "train", texts, "--text", "review", "--label", "stars", "--model", model, "--epochs", 1, "--out", run
    )
    assert trained.code == 0, trained.err
    outcome = run_cli("diagnose", run, texts, "--examples", 20)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Lyapunov exponents" in outcome.out
    assert outcome.out.rstrip().endswith(f"saved in {run / 'diagnosis.html'}")
    found = json.loads((run / "diagnosis.json").read_text("utf-8"))
    assert found["version"] == 1
    for finding in found["findings"]:
        assert finding["verdict"] in outcome.out
    assert found["examples"][0]["tokens"][:4] == ["this", "is", "bad", "thing"]
    assert len(found["layers"]) == 2
    page = (run / "diagnosis.html").read_text("utf-8")
    assert "thing" in page
    again = run_cli("diagnose", run, texts, "--examples", 20)
    assert again.out == outcome.out


def test_what_cannot_be_diagnosed_is_named(
    tmp_path: Path, run_cli: RunCli, texts: Path, code_run: Path
) -> None:
    refused(run_cli("diagnose", code_run, texts), "a run of the demo, which reads windows of source code")
    run = tmp_path / "cnn"
    made = run_cli(
        "train",
        texts,
        "--text",
        "review",
        "--label",
        "stars",
        "--model",
        "textcnn",
        "--epochs",
        1,
        "--out",
        run,
    )
    assert made.code == 0
    refused(run_cli("diagnose", run, texts), "there is no recurrent layer in this model")
    plain = tmp_path / "plain.txt"
    plain.write_text("one text\nanother\n", encoding="utf-8")
    refused(run_cli("diagnose", run, plain), "leave out --text and --label")
    assert not (run / "diagnosis.json").exists()


def test_clipping_and_recording_from_the_command_line(tmp_path: Path, run_cli: RunCli, texts: Path) -> None:
    base = ("train", texts, "--text", "review", "--label", "stars", "--epochs", 2, "--tokens-per-batch", 100)
    run = tmp_path / "run"
    made = run_cli(
        *base, "--model", "bigru", "--clip-percentile", 20, "--clip-value", 0.5, "--clip-steps", 1.0,
        "--watch-every", 2, "--out", run,
    )  # fmt: skip
    assert made.code == 0, made.err
    settings = json.loads((run / "config.json").read_text("utf-8"))["settings"]
    assert {name: settings[name] for name in settings if name.startswith("clip")} == {
        "clip": None, "clip_percentile": 20.0, "clip_value": 0.5, "clip_steps": 1.0,
    }  # fmt: skip
    lines = [json.loads(line) for line in (run / "gradients.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines if line["layers"]] == list(range(0, lines[-1]["step"], 2))
    assert sum(len(line["norms"]) for line in lines) == lines[-1]["step"]
    assert run_cli("diagnose", run, texts).code == 0
    page = (run / "diagnosis.html").read_text("utf-8")
    assert "Over the training" in page
    assert "clipped above" not in page, "an adaptive threshold is no line"
    again = run_cli(*base, "--model", "bigru", "--resume", "--out", run)
    assert "has finished already" in again.out
    fixed = tmp_path / "fixed"
    assert run_cli(*base, "--model", "bigru", "--clip", 1e-6, "--watch-every", 5, "--out", fixed).code == 0
    assert "clipped above" in (
        run_cli("diagnose", fixed, texts) and (fixed / "diagnosis.html").read_text("utf-8")
    )
    both = run_cli(*base, "--model", "bigru", "--clip", 1, "--clip-percentile", 5, "--out", tmp_path / "x")
    refused(both, "two thresholds for one norm")
    refused(
        run_cli(*base, "--model", "textcnn", "--clip-steps", 1, "--out", tmp_path / "y"),
        "textcnn has no recurrence",
    )
