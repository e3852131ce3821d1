"""Two processes under torchrun: the same losses as one with the same total batch, also when one is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.toy_next import SETTINGS as SHORT
from tests.training.toy_next import created, fitted, frames, source
from throughtime.training import ModelSpec, Run, Settings
from throughtime.training._tensor_file import read_tree

SMALL = {"embedding_size": 16, "hidden_size": 16, "dropout": 0.0}

# Processes draw dropout for themselves, so there is none where they are compared with one process.
DATA = {
    # An adaptive softmax, some of whose clusters may have no word in a window, and no embedding to do.
    "text": (source, ModelSpec("language", {**SMALL, "cutoffs": [2, 6], "tied": False})),
    "frames": (frames, ModelSpec("frame", {"hidden_size": 8, "dropout": 0.0, "cell": "gru"})),
}
# Three sequences for two processes: one runs out before the other.
SETTINGS = Settings(**SHORT.to_json() | {"streams": 3, "k1": 7, "k2": 9, "epochs": 2})


def _in_two_processes(folder: Path) -> None:
    """Run both trainings in two processes, of which one is killed, and restarted by torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["--max-restarts=1", "-m", "tests.training.two", str(folder)]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "exitcode: -9" in done.stderr


def test_two_processes_are_as_one(tmp_path: Path) -> None:
    _in_two_processes(tmp_path)
    for kind, (data, model) in DATA.items():
        one = created(tmp_path / "one" / kind, model, SETTINGS, data())
        fitted(one, data())
        _check_close(Run.open(tmp_path / kind), one)


def _check_close(two: Run, one: Run) -> None:
    for found, expected in zip(two.metrics.history, one.metrics.history, strict=True):
        assert (found.steps, found.tokens) == (expected.steps, expected.tokens)
        assert found.train["loss"] == pytest.approx(expected.train["loss"], rel=1e-4)
        assert found.validation["loss"] == pytest.approx(expected.validation["loss"], rel=1e-4)
        assert found.validation["accuracy"] == pytest.approx(expected.validation["accuracy"], abs=0.05)
    assert two.metrics.test is not None
    assert one.metrics.test is not None
    assert two.metrics.test["loss"] == pytest.approx(one.metrics.test["loss"], rel=1e-4)
    weights, expected_weights = (read_tree(run.state_path)["state_dict"] for run in (two, one))
    for name, value in expected_weights.items():
        torch.testing.assert_close(weights[name], value, rtol=5e-3, atol=2e-4)
