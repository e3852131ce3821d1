"""Each command imports only what it needs: help no libraries of training, training none of the demo."""

import json
import subprocess
import sys

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
def imported(tmp_path_factory: pytest.TempPathFactory) -> list[set[str]]:
    folder = tmp_path_factory.mktemp("imports")
    (folder / "data.csv").write_text(GOOD, encoding="utf-8")
    data, run = str(folder / "data.csv"), str(folder / "run")
    commands = [
        ["--help"],
        ["train", "--help"],
        ["train", data, "--text", "words", "--target", "kind", "--epochs", "1", "--out", run],
        ["predict", run, data],
        ["export", run, "--to", "onnx"],
    ]
    arguments = json.dumps([commands, sorted(TRAINING | DEMO)])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [set(json.loads(line)) for line in done.stdout.splitlines()]


def test_help_imports_no_library_of_training(imported: list[set[str]]) -> None:
    assert imported[0] == imported[1] == set()


def test_training_predicting_and_exporting_import_nothing_of_the_demo(imported: list[set[str]]) -> None:
    for found in imported[2:]:
        assert found & DEMO == set()
    assert imported[2] == TRAINING


@pytest.mark.parametrize("missing", ["typer", "pyarrow"])
def test_a_missing_library_is_named_with_what_to_install(missing: str) -> None:
    program = f"""
import sys
sys.modules["{missing}"] = None
from throughtime.cli import main
sys.argv = ["throughtime", "train", "none.csv", "--out", "none"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    expected = f"error: this command needs {missing}; in a clone of throughtime: pip install '.[learn]'\n"
    assert (done.returncode, done.stderr) == (2, expected)
