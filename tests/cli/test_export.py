"""``throughtime export``: the file computes the same as the run, and the printed example runs."""

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

from throughtime import Ragged
from throughtime.data.tokenizing import encode
from throughtime.export import stream_state
from throughtime.learn import load
from throughtime.tasks import predict
from throughtime.training import Run

from .conftest import RunCli, trained
from .test_bad_input import refused


def test_what_the_command_prints_runs(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    out = tmp_path / "model.onnx"
    outcome = run_cli("export", text_run, "--to", "onnx", "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"saved in {out}: inputs tokens (batch, length)")
    code = outcome.out.partition("\n\n")[2].replace(
        '"a text", "another one"', '"a good thing", "a bad thing"'
    )
    assert "a good thing" in code
    printed = _printed(code)[0].split("\n")
    assert [line.partition(" ")[0] for line in printed] == ["yes", "no", ""]


def _printed(code: str) -> tuple[str, dict[str, Any]]:
    """What a program prints, and its variables."""
    printed, variables = io.StringIO(), dict[str, Any]()
    with contextlib.redirect_stdout(printed):
        exec(code, variables)
    return printed.getvalue(), variables


def test_the_file_computes_what_the_run_does(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    out = tmp_path / "model.onnx"
    run_cli("export", text_run, "--to", "onnx", "--out", out)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    run = Run.open(text_run)
    assert json.loads(notes["classes"]) == ["no", "yes"]
    assert notes["vocabulary_size"] == str(run.config.shape["vocabulary_size"])
    assert json.loads(notes["task"]) == run.task.to_json()
    tokens = encode(Tokenizer.from_str(notes["tokenizer"]), ["good thing", "", "bad, awful or fine"])
    padded = {"tokens": tokens.to_padded().numpy(), "lengths": tokens.lengths.numpy()}
    (logits,) = session.run(["logits"], padded)
    torch.testing.assert_close(
        torch.from_numpy(logits), predict(run.load_model(), tokens), rtol=1e-5, atol=1e-6
    )


@pytest.fixture(scope="module")
def stream_run(tmp_path_factory: pytest.TempPathFactory, text_run: Path) -> Path:
    """A run of a model in one direction, on the rows of `text_run`."""
    options = ("--text", "words", "--target", "kind", "--model", "gru", "--hidden-size", 8, "--epochs", 4)
    return trained(
        tmp_path_factory.mktemp("stream") / "run", text_run.parent / "data.csv", *options, "--no-baselines"
    )


def test_a_streaming_file_is_that_of_the_run_token_by_token(
    tmp_path: Path, run_cli: RunCli, stream_run: Path
) -> None:
    out = tmp_path / "model.onnx"
    outcome = run_cli("export", stream_run, "--to", "onnx", "--out", out, "--streaming", "--intermediates")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(
        f"saved in {out}: inputs tokens (batch, length), recurrent.h_0 (1, batch, 8)"
    )
    assert "recurrent.update (batch, length, 8)" in outcome.out
    code = outcome.out.partition("\n\n")[2].replace("a text", "a good or bad thing")
    printed, _ = _printed(code)
    model, notes = Run.open(stream_run).load_model(), onnxruntime.InferenceSession(out).get_modelmeta()
    tokenizer = Tokenizer.from_str(notes.custom_metadata_map["tokenizer"])
    (tokens,) = encode(tokenizer, ["a good or bad thing"])
    so_far = Ragged.from_list([tokens[: count + 1] for count in range(len(tokens))])
    best = predict(model, so_far).argmax(1)
    assert [line.partition(" ")[0] for line in printed.splitlines()] == [["no", "yes"][b] for b in best]


def test_a_language_model_streams_the_log_probabilities_of_what_comes_next(
    tmp_path: Path, run_cli: RunCli
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat .\nthe dog sat on the log .\n" * 40)
    run = trained(
        tmp_path / "run", text, "--task", "language", "--unit", "word", "--hidden-size", 6, "--layers", 1,
        "--epochs", 1, "--streams", 4, "--bptt", 8,
    )  # fmt: skip
    out = tmp_path / "model.onnx"
    done = run_cli("export", run, "--to", "onnx", "--out", out, "--streaming", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    session = onnxruntime.InferenceSession(out)
    model, state = Run.open(run).load_model(), stream_state(session)
    ids = (
        Tokenizer.from_str(session.get_modelmeta().custom_metadata_map["tokenizer"]).encode("the cat sat").ids
    )
    rows = []
    for token in ids:
        log_p, *after = session.run(None, {"tokens": np.array([[token]]), **state})
        state = dict(zip(state, after, strict=True))
        rows.append(torch.from_numpy(log_p[0, 0]))
    with torch.no_grad():
        (expected,) = model(Ragged.from_list([torch.tensor(ids)]))
    assert len(ids) == 3
    torch.testing.assert_close(torch.stack(rows), expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_stream_writes_no_file(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    out = tmp_path / "model.onnx"
    refused(
        run_cli("export", text_run, "--to", "onnx", "--out", out, "--streaming"),
        ["convolutions.blocks.0.conv (Conv1d) has", "use padding='causal'"],
    )
    assert not out.exists()


def test_the_intermediates_of_a_convolution_stand_in_the_file(
    tmp_path: Path, run_cli: RunCli, text_run: Path
) -> None:
    out = tmp_path / "model.onnx"
    outcome = run_cli("export", text_run, "--to", "onnx", "--out", out, "--intermediates")
    code = outcome.out.partition("\n\n")[2].replace('"a text", "another one"', '"a good thing"')
    assert _printed(code)[0].startswith("yes ")
    names = {output.name for output in onnxruntime.InferenceSession(out).get_outputs()}
    assert names >= {"logits", "convolutions.blocks.0.activation", "convolutions.blocks.0.pool.index"}


def test_the_file_stands_beside_the_run(tmp_path: Path, run_cli: RunCli, code_run: Path) -> None:
    run = tmp_path / "my.run"
    shutil.copytree(code_run, run)
    before = sorted(run.iterdir())
    outcome = run_cli("export", run, "--to", "onnx")
    assert outcome.code == 0
    assert "window of Python code" in outcome.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.run", "my.run.onnx"]
    assert sorted(run.iterdir()) == before


def test_a_file_of_int8_weights_is_smaller_and_predicts_alike(
    tmp_path: Path, run_cli: RunCli, text_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, small = tmp_path / "whole.onnx", tmp_path / "small.onnx"
    run_cli("export", text_run, "--to", "onnx", "--out", whole, "--quiet")
    outcome = run_cli("export", text_run, "--to", "onnx", "--out", small, "--int8")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"saved in {small}: inputs tokens (batch, length)")
    assert small.stat().st_size < 0.6 * whole.stat().st_size
    sessions = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (whole, small)
    ]
    notes = [session.get_modelmeta().custom_metadata_map for session in sessions]
    assert notes[0].items() <= notes[1].items()
    tokens = encode(Tokenizer.from_str(notes[0]["tokenizer"]), ["good thing", "bad, awful or fine"])
    padded = {"tokens": tokens.to_padded().numpy(), "lengths": tokens.lengths.numpy()}
    exact, rounded = (session.run(["logits"], padded)[0] for session in sessions)
    assert 0 < abs(exact - rounded).max() < 0.1 * abs(exact).max()
    both = ["export", text_run, "--to", "onnx", "--int8", "--out", tmp_path / "x.onnx"]
    refused(run_cli(*both, "--intermediates"), ["--int8 is for files without --streaming"])
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    refused(run_cli(*both), ["needs onnxruntime: pip install onnxruntime"])
    assert not (tmp_path / "x.onnx").exists()


def test_bad_input_of_an_export(
    tmp_path: Path, run_cli: RunCli, text_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there.onnx"
    there.touch()
    refused(run_cli("export", text_run, "--to", "onnx", "--out", there), ["there.onnx exists already"])
    refused(
        run_cli("export", text_run, "--to", "onnx", "--out", tmp_path / "no" / "x"), ["no does not exist"]
    )
    refused(run_cli("export", tmp_path, "--to", "onnx"), ["is not a run"])
    monkeypatch.setitem(sys.modules, "onnx", None)
    out = tmp_path / "x.onnx"
    refused(
        run_cli("export", text_run, "--to", "onnx", "--out", out),
        ["needs the package onnx: pip install onnx"],
    )
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]


@pytest.mark.parametrize("task", ["multilabel", "regression", "tagging", "anomaly"])
def test_the_program_of_every_task_predicts_as_the_run_does(
    tmp_path: Path, run_cli: RunCli, task_runs: Mapping[str, Path], task: str
) -> None:
    outcome = run_cli("export", task_runs[task], "--to", "onnx", "--out", tmp_path / "model.onnx")
    assert (outcome.code, outcome.err) == (0, "")
    texts = ["this great thing", "this poor thing number 3"]
    code = outcome.out.partition("\n\n")[2].replace('"a text", "another one"', json.dumps(texts)[1:-1])
    printed, variables = _printed(code)
    predictor = load(task_runs[task])
    expected = predictor.predictions({"words": texts})
    if task == "regression":
        np.testing.assert_allclose(variables["prediction"][:, 0], expected["stars"], rtol=1e-6)
    elif task == "anomaly":
        np.testing.assert_allclose(variables["score"], expected["score"], rtol=1e-5)
        assert variables["prediction"].tolist() == expected["anomaly"]
    else:
        assert printed == "".join(f"{row}\n" for row in next(iter(expected.values())))


def test_the_programs_of_series_tokens_and_columns_run(tmp_path: Path, run_cli: RunCli) -> None:
    data = tmp_path / "data.jsonl"
    rows = [
        {
            "x": [[1.0 * n, 2.0]] * 4,
            "events": ["a", "b", "c"][: 1 + n % 3],
            "price": n,
            "kind": ["no", "yes"][n % 2],
        }
        for n in range(20)
    ]
    data.write_text("\n".join(map(json.dumps, rows)))
    common = ("--target", "kind", "--model", "gru", "--hidden-size", 4, "--epochs", 1, "--no-baselines")
    for name, options in (
        ("series", ("--series", "x")),
        ("tokens", ("--tokens", "events", "--numeric", "price")),
    ):
        run = trained(tmp_path / name, data, *options, *common)
        for more in ((), ("--streaming",)):
            outcome = run_cli(
                "export", run, "--to", "onnx", "--out", tmp_path / f"{name}{len(more)}.onnx", *more
            )
            assert (outcome.code, outcome.err) == (0, "")
            printed, _ = _printed(outcome.out.partition("\n\n")[2])
            assert {line.partition(" ")[0] for line in printed.splitlines()} <= {"yes", "no"}
            assert printed
