"""Ctrl-C at any moment: exit code 130, one line that says what is saved, no traceback, and a run that resumes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from throughtime._importing import stopping_at_once

# What the last line says at each moment of ``interrupted.py``, and whether there is a run and a model.
EXPECTED = {
    "the commands are imported": ("stopped", False, False),
    "the file is read": ("stopped before the training began; nothing was saved", False, False),
    "the run is there": ("holds the last saved state; continue with --resume", True, False),
    "the training is imported": ("had a model; begin again with --resume", True, False),
    "the first step": ("stopped; the model trained so far is saved in ", True, True),
    "the second epoch": ("stopped; the best model so far is saved in ", True, True),
    "the second epoch, twice": ("stopped; the best model so far is saved in ", True, True),
    "the test at the end": ("stopped; the best model so far is saved in ", True, True),
}


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("interrupted")
    command = [sys.executable, "-m", "tests.cli.interrupted", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("moment", EXPECTED)
def test_ctrl_c_ends_a_training_in_one_line(moment: str, ends: dict[str, Any]) -> None:
    words, run, model = EXPECTED[moment]
    end = ends[moment]
    written = end["out"] + end["err"]
    assert end["code"] == 130, written
    said = [line for line in written.splitlines() if "stopped" in line]
    assert len(said) == 1
    assert words in said[0]
    assert said[0] == written.splitlines()[-1]
    assert "Traceback" not in written
    assert (end["run"], end["model"]) == (run, model)
    if "resumed" in end:
        assert end["resumed"]["code"] == 0
        assert "best epoch" in end["resumed"]["out"]


@pytest.mark.parametrize("moment", ["a copy on a fold", "a copy on all rows"])
def test_a_stopped_blend_goes_on_with_the_same_result(moment: str, ends: dict[str, Any]) -> None:
    end, whole = ends[moment], ends["a whole blend"]
    assert (whole["code"], end["code"], end["resumed"]["code"]) == (0, 130, 0), end
    written = (end["out"] + end["err"]).splitlines()
    assert written[-1].startswith("stopped; ")
    assert written[-1].endswith(" holds the models trained so far; continue with --resume")
    assert "Traceback" not in end["err"]
    assert end["sha256"] == whole["sha256"]


@pytest.mark.parametrize("start", [["-m", "throughtime"], ["throughtime"]])
def test_ctrl_c_while_torch_is_imported_shows_no_traceback(tmp_path: Path, start: list[str]) -> None:
    hook = """
import os, signal, sys

class Press:
    def find_spec(self, name, path, target=None):
        if name == "torch.nn":  # in the middle of it
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
"""
    (tmp_path / "sitecustomize.py").write_text(hook)
    script = tmp_path / "throughtime"
    script.write_text("from throughtime.cli import main\nmain()\n")
    arguments = start if start[0] == "-m" else [str(script)]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *arguments, "--help"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_a_program_of_its_own_keeps_its_ctrl_c() -> None:
    code = "import signal, throughtime; assert signal.getsignal(2) is signal.default_int_handler"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_handler_that_somebody_has_set_stays_while_libraries_are_imported() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping_at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    with stopping_at_once():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
