"""``throughtime export``: the file computes the same as the run, and the printed example runs."""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

from throughtime.data.tokenizing import encode
from throughtime.training import Run, predict

from .conftest import RunCli
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
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue() == "['yes', 'no']\n"


def test_the_file_computes_what_the_run_does(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    out = tmp_path / "model.onnx"
    run_cli("export", text_run, "--to", "onnx", "--out", out)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    run = Run.open(text_run)
    assert json.loads(notes["classes"]) == list(run.config.classes)
    assert notes["vocabulary_size"] == str(run.config.vocabulary_size)
    tokens = encode(Tokenizer.from_str(notes["tokenizer"]), ["good thing", "", "bad, awful or fine"])
    padded = {"tokens": tokens.to_padded().numpy(), "lengths": tokens.lengths.numpy()}
    (logits,) = session.run(None, padded)
    torch.testing.assert_close(
        torch.from_numpy(logits), predict(run.load_model(), tokens), rtol=1e-5, atol=1e-6
    )


def test_the_file_stands_beside_the_run(tmp_path: Path, run_cli: RunCli, code_run: Path) -> None:
    run = tmp_path / "my.run"
    shutil.copytree(code_run, run)
    before = sorted(run.iterdir())
    outcome = run_cli("export", run, "--to", "onnx")
    assert outcome.code == 0
    assert "window of Python code" in outcome.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.run", "my.run.onnx"]
    assert sorted(run.iterdir()) == before


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
