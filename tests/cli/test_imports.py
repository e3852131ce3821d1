"""Each command imports only what it needs: help no libraries of training, training none of the demo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .test_bad_input import GOOD

TRAINING = {"pyarrow", "pytorch_lightning", "tokenizers"}
DEMO = {"jinja2", "joblib", "plotly", "sklearn", "throughtime.demo.job", "throughtime.report"}

# Prints after each command which of the libraries have been imported so far.
PROGRAM = """
import contextlib, io, json, sys
from throughtime.cli import main

commands, watched = json.loads(sys.argv[1])
for command in commands:
    sys.argv = ["throughtime", *command]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, command
    print(json.dumps([name for name in watched if name in sys.modules]))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, text_run: Path) -> dict[str, set[str]]:
    """What each command has imported, and those before it."""
    folder = tmp_path_factory.mktemp("imports")
    (folder / "data.csv").write_text(GOOD, encoding="utf-8")
    commands = {
        "help": ["--help"],
        "version": ["--version"],
        "help of train": ["train", "--help"],
        "help of tune": ["tune", "--help"],
        "predict": ["predict", str(text_run), str(folder / "data.csv")],
        "export": ["export", str(text_run), "--to", "onnx", "--out", str(folder / "model.onnx")],
    }
    arguments = json.dumps([list(commands.values()), sorted({"optuna"} | TRAINING | DEMO)])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {
        name: set(json.loads(line)) for name, line in zip(commands, done.stdout.splitlines(), strict=True)
    }


def test_help_imports_no_library_of_training(imported: dict[str, set[str]]) -> None:
    assert imported["help"] == imported["version"] == set()
    # Its options are those of tasks and models.
    assert "pytorch_lightning" not in imported["help of train"] | imported["help of tune"]


def test_no_command_but_tune_imports_optuna(imported: dict[str, set[str]]) -> None:
    assert not any("optuna" in names for names in imported.values())


def test_predicting_and_exporting_import_nothing_of_training_and_reports(
    imported: dict[str, set[str]],
) -> None:
    for command in ("predict", "export"):
        assert not imported[command] & {"pytorch_lightning", *DEMO} - {"joblib", "sklearn"}, command


# Torch is imported once, before the processes part that miss a library each.
MISSING = """
import os, sys
import torch
for missing in sys.argv[1:]:
    if os.fork():
        print(os.waitstatus_to_exitcode(os.wait()[1]))
        continue
    sys.modules[missing] = None
    from throughtime.cli import main
    sys.argv = ["throughtime", "train", "none.csv", "--out", "none"]
    main()
"""


def test_a_missing_library_is_named_with_what_to_install() -> None:
    libraries = ("typer", "pyarrow")
    command = [sys.executable, "-c", MISSING, *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2"] * len(libraries), done.stderr
    assert done.stderr.splitlines() == [
        f"error: this command needs {library}; in a clone of throughtime: pip install '.[learn]'"
        for library in libraries
    ]
