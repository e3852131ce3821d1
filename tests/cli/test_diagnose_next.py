"""``throughtime diagnose`` on next-step models: windows of a text, and pieces of frames."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import throughtime as tt
from throughtime.training import Run

from .conftest import RunCli
from .test_bad_input import refused, rows

TEXT = "the cat sat on the mat .\nthe dog sat on the log .\n" * 30
SMALL = ("--hidden-size", 12, "--epochs", 1, "--streams", 4, "--bptt", 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("next")


def _found(run: Path) -> dict:
    return json.loads((run / "diagnosis.json").read_text("utf-8"))


def test_the_step_after_each_window_of_a_text_is_asked_for(folder: Path, run_cli: RunCli) -> None:
    run, text = folder / "text", rows(folder / "text.txt", TEXT)
    assert run_cli("train", text, "--task", "language", *SMALL, "--layers", 2, "--out", run).code == 0
    done = run_cli("diagnose", run, text, "--examples", 3)
    assert (done.code, done.err) == (0, "")
    found = _found(run)
    # 390 words: six windows of 64 and the word after each, from the first to the last that fits.
    opened = Run.open(run)
    words = json.loads(opened.tokenizer_json() or "")["model"]["vocab"]
    numbers = torch.tensor([words[word] for word in TEXT.replace("\n", " \n ").split(" ") if word])
    begins = torch.linspace(0, len(numbers) - 65, (len(numbers) - 1) // 64, dtype=torch.float64).long()
    windows = numbers[begins[:, None] + torch.arange(65)]
    model = opened.load_model()
    likely = model(tt.Ragged.from_list(list(windows[:, :-1]))).to_padded()[:, -1]
    loss = F.nll_loss(likely, windows[:, -1]).detach()
    assert found["quality"]["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert f"perplexity {float(loss.exp()):.4g} on the step after each sequence" in done.out
    assert found["loss"] == pytest.approx(float(F.nll_loss(likely[:3], windows[:3, -1]).detach()), rel=1e-5)
    assert [layer["name"] for layer in found["layers"]] == ["layers.0", "layers.1"]
    assert len(found["layers"][0]["from_end"]["h"]["mean"]) == 64
    assert found["examples"][0]["tokens"][:8] == ["the", "cat", "sat", "on", "the", "mat", ".", "⏎"]
    page = (run / "diagnosis.html").read_text("utf-8")
    assert "<h3>Quality</h3>" not in page  # there are no classes to confuse
    assert f"{len(begins)} windows of 64 words of text.txt" in page


def test_influence_is_that_of_features_on_what_came(folder: Path, run_cli: RunCli) -> None:
    run, text = folder / "text", folder / "text.txt"
    model = Run.open(run).load_model()
    found = _found(run)["examples"][0]
    words = json.loads(Run.open(run).tokenizer_json() or "")["model"]["vocab"]
    tokens = torch.tensor([words["\n" if word == "⏎" else word] for word in found["tokens"]])
    follows = words[TEXT.replace("\n", " \n ").split(" ")[64]]
    features = model.features(tokens).detach().requires_grad_()
    h = model.states_of(tt.Ragged.from_list([features])).values[-1:]
    (-model.score(h, torch.tensor([follows])).losses).sum().backward()
    expected = (features * features.grad).sum(1)
    torch.testing.assert_close(torch.tensor(found["influence"]), expected, rtol=1e-3, atol=1e-5)
    assert text.exists()


def test_frames(folder: Path, run_cli: RunCli) -> None:
    data, run = folder / "rolls.npz", folder / "frames"
    np.savez(data, frames=np.eye(6, dtype=np.uint8)[np.arange(200) % 6], lengths=[20] * 10)
    assert run_cli("train", data, "--task", "frames", *SMALL, "--layers", 1, "--out", run).code == 0
    done = run_cli("diagnose", run, data)
    assert (done.code, done.err) == (0, "")
    found = _found(run)
    assert "NLL per frame" in found["quality"]["figure"]
    assert len(found["examples"][0]["tokens"]) == 19
    assert set(found["examples"][0]["tokens"]) == set("012345")


def test_what_does_not_go_with_these_runs_is_named(folder: Path, run_cli: RunCli) -> None:
    run = folder / "text"
    short = rows(folder / "short.txt", "the cat sat\n")
    refused(run_cli("diagnose", run, short), "has 4 words, but a diagnosis takes windows of 64")
    refused(run_cli("diagnose", run, short, "--text", "review"), "leave out --input and --target")
