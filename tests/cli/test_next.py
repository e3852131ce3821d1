"""``throughtime train --task language`` and ``frames``, and ``sample``: texts and frames from the file to the sample; errors."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import throughtime as tt
from tests.training.toy import relist
from throughtime.data.symbols import symbols_of
from throughtime.data.vocabulary import Vocabulary
from throughtime.tasks import Language
from throughtime.training import Run

from .conftest import RunCli
from .test_bad_input import GOOD, refused, rows

TEXT = "the cat sat on the mat .\nthe dog sat on the log .\n" * 30
SMALL = ("--hidden-size", 12, "--layers", 1, "--epochs", 2, "--streams", 4, "--bptt", 8)
LANGUAGE = ("--task", "language", *SMALL)
FRAMES = ("--task", "frames", *SMALL)
# `sample` without a prompt begins after a line end; both texts have it.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("next")


def _trained(folder: Path, run_cli: RunCli, name: str, *more: object) -> Path:
    """Return a run, made when first asked for."""
    out = folder / name
    if not out.exists():
        data = rows(folder / "text.txt", TEXT)
        outcome = run_cli("train", data, *LANGUAGE, "--out", out, *more)
        assert outcome.code == 0, outcome.err
        (folder / f"{name}.log").write_text(outcome.out)
    return out


def _frames(path: Path) -> Path:
    notes = np.arange(200) % 6
    np.savez(path, frames=np.eye(6, dtype=np.uint8)[notes], lengths=[20] * 10)
    return path


def test_words(folder: Path, run_cli: RunCli) -> None:
    run = _trained(folder, run_cli, "words")
    said = (folder / "words.log").read_text()
    assert "validation perplexity" in said
    assert "words\nsaved in" in said
    opened = Run.open(run)
    assert opened.config.task == Language("word")
    vocabulary = Vocabulary(["the", "\n", ".", "sat", "on", "cat", "mat", "dog", "log"])
    assert set(opened.tokenizer_json() or "") >= set("catdog")
    outcome = run_cli("sample", run, "--prompt", "the cat", "--length", 12, "--seed", 3)
    assert outcome.code == 0
    drawn = symbols_of(outcome.out.removesuffix("\n"), "word")
    assert drawn[:2] == ["the", "cat"]
    assert len(drawn) == 14
    assert set(drawn) <= set(vocabulary.words)
    assert run_cli("sample", run, "--prompt", "the cat", "--length", 12, "--seed", 3).out == outcome.out
    assert run_cli("sample", run, "--prompt", "the cat", "--length", 12, "--seed", 4).out != outcome.out


def test_what_is_drawn_greedily_is_the_forward_pass(folder: Path, run_cli: RunCli) -> None:
    run = _trained(folder, run_cli, "words")
    outcome = run_cli("sample", run, "--prompt", "the dog", "--length", 9, "--temperature", 0)
    drawn = list(symbols_of(outcome.out.removesuffix("\n"), "word"))
    opened = Run.open(run)
    content = json.loads(opened.tokenizer_json() or "")
    numbers = torch.tensor([content["model"]["vocab"][word] for word in drawn])
    best = opened.load_model()(tt.Ragged.from_list([numbers])).values.argmax(1)
    assert best[1:-1].tolist() == numbers[2:].tolist()


def test_characters_with_every_option(folder: Path, run_cli: RunCli) -> None:
    test = rows(folder / "test.txt", TEXT[:99])
    more = ("--unit", "character", "--model", "gru", "--bptt-k2", 12, "--test-file", test)
    more += ("--embedding-size", 16, "--cutoffs", "5,9", "--dropout", 0.1, "--min-count", 1, "--clip", 0.5)
    run = _trained(folder, run_cli, "characters", *more, "--precision", "bfloat16")
    assert "on 98 characters" in (folder / "characters.log").read_text()
    config = Run.open(run).config
    assert config.model.options == {
        "cell": "gru", "hidden_size": 12, "num_layers": 1, "dropout": 0.1, "embedding_size": 16,
        "cutoffs": [5, 9],
    }  # fmt: skip
    assert (config.settings.k1, config.settings.k2, config.settings.streams) == (8, 12, 4)
    assert config.recipe["options"]["split"]["test_file"] == "test.txt"
    outcome = run_cli("sample", run, "--length", 30, "--top-p", 0.5, "--no-unknown")
    assert outcome.code == 0
    assert len(outcome.out) == 31
    assert set(outcome.out) <= set(TEXT)
    text = folder / "text.txt"
    again = run_cli("train", text, "--out", run, "--resume", "--test-file", test)
    assert again.code == 0, again.err
    assert "is already finished" in again.out


def test_frames(folder: Path, run_cli: RunCli) -> None:
    data = _frames(folder / "rolls.npz")
    run = folder / "frames"
    outcome = run_cli("train", data, *FRAMES, "--out", run)
    assert outcome.code == 0, outcome.err
    assert "test NLL per frame" in outcome.out
    assert "on 19 frames" in outcome.out
    shown = run_cli("sample", run, "--length", 5)
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert len(lines) == 5
    assert all(0 <= note < 6 for line in lines for note in line)
    out = folder / "drawn.npz"
    assert run_cli("sample", run, "--length", 5, "--out", out).code == 0
    with np.load(out) as content:
        assert [row.nonzero()[0].tolist() for row in content["frames"]] == lines
    assert run_cli("sample", run, "--length", 2, "--prompt", out).code == 0
    refused(run_cli("sample", run, "--out", out), ["drawn.npz exists already"])
    refused(run_cli("sample", run, "--out", folder / "a.txt"), ["frames are written as .npz"])
    refused(run_cli("sample", run, "--no-unknown"), ["--no-unknown applies to text only"])
    refused(run_cli("sample", run, "--top-p", 0.5), ["notes are sampled independently"])
    refused(run_cli("sample", run, "--prompt", folder / "no.npz"), ["no.npz does not exist"])
    again = run_cli("train", data, "--out", run, "--resume")
    assert "is already finished" in again.out


def test_an_interrupted_command_goes_on(
    folder: Path, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import signal

    from throughtime.training._module import TrainingModule

    whole = _trained(folder, run_cli, "words")
    step, calls = TrainingModule.training_step, 0

    def stopping(self: TrainingModule, *args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 6:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", stopping)
        outcome = run_cli("train", folder / "text.txt", *LANGUAGE, "--out", tmp_path / "run")
    assert outcome.code == 130
    assert "continue with --resume" in outcome.out
    assert run_cli("train", folder / "text.txt", "--out", tmp_path / "run", "--resume").code == 0
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()


def test_prompts_that_cannot_be_are_refused(folder: Path, run_cli: RunCli, text_run: Path) -> None:
    run = _trained(folder, run_cli, "words")
    refused(run_cli("sample", run, "--prompt", "the bird"), ["'bird' (word 2)", "remove them"])
    refused(run_cli("sample", run, "--prompt", ""), ["the prompt is empty"])
    refused(run_cli("sample", run, "--prompt", "  "), ["the prompt contains no words"])
    refused(run_cli("sample", run, "--temperature", -1), ["temperature must be at least 0"])
    refused(run_cli("sample", run, "--top-p", 0), ["top_p must be above 0"])
    refused(run_cli("sample", run, "--out", folder / "x.npz"), ["--out is for frames"])
    refused(
        run_cli("sample", text_run),
        ["a run of task 'classification', which generates nothing", "--task language"],
    )
    refused(run_cli("predict", run, folder / "text.txt"), ["throughtime sample"])


def test_a_run_of_another_architecture_is_refused(folder: Path, run_cli: RunCli, tmp_path: Path) -> None:
    run = _trained(folder, run_cli, "words")
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["model"]["options"]["hidden_size"] = 13
    rows(tmp_path / "run" / "config.json", json.dumps(config))
    relist(tmp_path / "run")
    refused(run_cli("sample", tmp_path / "run"), ["model.safetensors does not fit the model", "shape"])


@pytest.mark.parametrize("unit", ["frame", "sentence", 3])
def test_a_run_that_does_not_say_what_a_step_is(
    unit: object, folder: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    run = _trained(folder, run_cli, "words")
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["task"]["unit"] = unit
    rows(tmp_path / "run" / "config.json", json.dumps(config))
    relist(tmp_path / "run")
    for command in (["sample", tmp_path / "run"], ["diagnose", tmp_path / "run", folder / "text.txt"]):
        refused(run_cli(*command), ["config.json", "task.unit must be one of", repr(unit)])


def test_data_and_options_that_cannot_be_are_refused(folder: Path, run_cli: RunCli, tmp_path: Path) -> None:
    text = rows(tmp_path / "text.txt", TEXT)
    table = rows(tmp_path / "data.csv", GOOD)
    cut = tmp_path / "cut.txt"
    cut.write_bytes((TEXT + "€").encode()[:-1])
    out = tmp_path / "run"
    cases: list[tuple[tuple[object, ...], list[str]]] = [
        ((tmp_path / "none.txt",), ["none.txt does not exist"]),
        ((tmp_path,), ["is a folder, not a file"]),
        ((rows(tmp_path / "empty.txt", ""),), ["empty.txt is empty"]),
        ((cut,), [f"byte {len(TEXT)} (0xe2) starts a character that is cut off at the end of the file"]),
        (
            (rows(tmp_path / "short.txt", "a b c d e f g " * 9),),
            ["words", "20 streams with a window of 64 steps need 1,281"],
        ),
        ((text, "--bptt", 0), ["bptt must be at least 1, got 0"]),
        ((text, "--bptt-k2", 0), ["bptt_k2 must be at least 1, got 0"]),
        ((text, "--bptt", 9, "--bptt-k2", 8), ["k1 = 9 and k2 = 8", "k2 must be at least k1"]),
        (
            (text, "--streams", 4, "--bptt", 8, "--model", "bilstm"),
            ["bilstm has one output per", "predicts the next step is one of language"],
        ),
        ((text, "--target", "x"), ["target is not an option of task 'language'", "classification"]),
        ((text, "--tokens-per-batch", 9), ["tokens_per_batch is not an option of task 'language'"]),
        ((text, "--cutoffs", "a"), ["--cutoffs must be a list of whole numbers", "'a'"]),
        ((text, "--streams", 4, "--bptt", 8, "--cutoffs", "90"), ["rise from 1 to below the"]),
        ((text, "--streams", 4, "--bptt", 8, "--dropout", 1), ["p is a probability"]),
        ((text, "--validation", 0.5, "--test", 0.5), ["leave no training data"]),
        ((text, "--min-count", 999), ["occurs 999 times"]),
        ((text, "--test-file", rows(tmp_path / "one.txt", "a")), ["one.txt has 1 words"]),
        ((text, "--test-file", _frames(tmp_path / "r.npz")), ["r.npz holds frames"]),
        (
            (_frames(tmp_path / "rolls.npz"), "--unit", "word"),
            ["holds frames, not a text; use task='frames' (--task frames)"],
        ),
    ]
    for arguments, parts in cases:
        refused(run_cli("train", *arguments, "--task", "language", "--out", out), parts)
        assert not out.exists(), arguments
    refused(
        run_cli("train", table, "--bptt", 5, "--out", out), ["bptt is not an option of task 'classification'"]
    )
    refused(
        run_cli("train", text, "--task", "language", "--out", _trained(folder, run_cli, "words")),
        ["already holds a run"],
    )
