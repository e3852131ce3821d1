"""``throughtime diagnose``: findings first, then a page and its numbers in the run."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from throughtime.demo import TASK
from throughtime.training import ModelSpec, Run, Settings, fit

from .conftest import RunCli, small_files, small_operators
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
    refused(run_cli("diagnose", code_run, texts, "--label", "stars"), "leave out --text and --label")
    empty = tmp_path / "empty.py"
    empty.write_text("pass\n", encoding="utf-8")
    refused(run_cli("diagnose", code_run, empty), "has no operators that could be replaced")
    broken = tmp_path / "broken.py"
    broken.write_text("x = (1,\n", encoding="utf-8")
    refused(run_cli("diagnose", code_run, broken), "Python cannot read it")
    refused(run_cli("diagnose", code_run, code_run, texts), "2 runs make one page")
    refused(run_cli("diagnose", code_run, small_files()[0].path), "there is no recurrent layer")
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


def test_a_run_of_the_demo_is_diagnosed_on_python_files(tmp_path: Path, run_cli: RunCli) -> None:
    source = small_operators()
    model = ModelSpec("bigru", {"embedding_size": 8, "hidden_size": 8})
    settings = Settings(epochs=1, tokens_per_batch=2048)
    tokenizer = source.vocabulary.to_tokenizer().to_str()
    run = Run.create(
        tmp_path / "run",
        source=source,
        model=model,
        settings=settings,
        task={"kind": TASK},
        tokenizer_json=tokenizer,
    )
    fit(source, model, settings, run, progress=False)
    file = next(file.path for file in small_files() if file.name == "heapq.py")
    assert run_cli("diagnose", run.path, file, "--examples", 20).code == 0
    found = json.loads((run.path / "diagnosis.json").read_text("utf-8"))
    shown = found["examples"][0]["tokens"]
    assert "<op>" in shown
    assert shown[shown.index("<op>") + 2] == "</op>"
    rows = [sum(row) for row in found["quality"]["confusion"]]
    assert abs(rows[0] / sum(rows) - 0.5) < 0.2, "half of the operators are replaced"
    assert "operators of heapq.py, half of them replaced" in (run.path / "diagnosis.html").read_text("utf-8")


def test_several_runs_share_a_page_and_keep_their_numbers(
    tmp_path: Path, run_cli: RunCli, texts: Path
) -> None:
    base = ("train", texts, "--text", "review", "--label", "stars", "--epochs", 1)
    runs = {tmp_path / "bilstm": "bilstm", tmp_path / "second": "bigru of second"}
    for run, name in runs.items():
        assert run_cli(*base, "--model", name.split()[0], "--out", run).code == 0
    page = tmp_path / "new" / "both.html"
    outcome = run_cli("diagnose", *runs, texts, "--examples", 20, "--out", page)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.rstrip().endswith(f"saved in {page}")
    content = page.read_text("utf-8")
    for run, name in runs.items():
        assert name in outcome.out.splitlines()
        assert f">{name}</h2>" in content
        found = json.loads((run / "diagnosis.json").read_text("utf-8"))
        assert f"{found['parameters']:,}" in content
        assert not (run / "diagnosis.html").exists()
    assert "How far gradients reach, compared" in content


def test_small_gradients_at_a_loss_without_memory_are_called_no_minimum(
    tmp_path: Path, run_cli: RunCli, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ("train", texts, "--text", "review", "--label", "stars", "--model", "bigru", "--epochs", 1)
    run = tmp_path / "untrained"
    assert run_cli(*base, "--out", run).code == 0
    model = Run.open(run).load_model()
    for name, parameter in model.named_parameters():
        if not name.startswith("embedding"):
            torch.nn.init.zeros_(parameter)
    monkeypatch.setattr(Run, "load_model", lambda _: model)
    outcome = run_cli("diagnose", run, texts)
    assert "no better than that of a model without memory" in " ".join(outcome.out.split())
    found = json.loads((run / "diagnosis.json").read_text("utf-8"))
    assert found["quality"]["memoryless_loss"] < found["quality"]["loss"] == pytest.approx(math.log(2))
    assert found["gradient_norm"] < 1e-3


def test_a_model_that_a_bag_of_tokens_keeps_up_with_is_told_so(
    tmp_path: Path, run_cli: RunCli, texts: Path
) -> None:
    base = ("train", texts, "--text", "review", "--label", "stars", "--model", "bigru")
    for name, epochs, told in (("early", 1, True), ("late", 30, False)):
        run = tmp_path / name
        made = run_cli(*base, "--epochs", epochs, "--patience", 30, "--tokens-per-batch", 64, "--out", run)
        assert made.code == 0, made.err
        assert run_cli("diagnose", run, texts).code == 0
        found = json.loads((run / "diagnosis.json").read_text("utf-8"))
        codes = [finding["code"] for finding in found["findings"]]
        assert ("bag_does_as_well" in codes) == told, found["quality"]


def test_clipping_and_recording_from_the_command_line(tmp_path: Path, run_cli: RunCli, texts: Path) -> None:
    base = ("train", texts, "--text", "review", "--label", "stars", "--epochs", 2, "--tokens-per-batch", 100)
    run = tmp_path / "run"
    made = run_cli(
        *base, "--model", "bigru", "--clip-percentile", 20, "--clip-value", 0.5, "--clip-recurrent", 1.0,
        "--watch-every", 2, "--out", run,
    )  # fmt: skip
    assert made.code == 0, made.err
    settings = json.loads((run / "config.json").read_text("utf-8"))["settings"]
    assert {name: settings[name] for name in settings if name.startswith("clip")} == {
        "clip": None, "clip_percentile": 20.0, "clip_value": 0.5, "clip_recurrent": 1.0,
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
        run_cli(*base, "--model", "textcnn", "--clip-recurrent", 1, "--out", tmp_path / "y"),
        "textcnn has no recurrence",
    )
