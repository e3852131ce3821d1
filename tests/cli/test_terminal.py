"""Output fits a terminal of 80 columns, and control characters in texts are escaped."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

from tests.training.toy import relist
from throughtime.bench.conv.record import Row
from throughtime.cli import main
from throughtime.cli._app import app, full_train_command
from throughtime.cli._bench_conv import _table
from throughtime.data.printable import printable
from throughtime.demo.plan import DemoPlan
from throughtime.demo.results import DemoResult, write_result
from throughtime.report import LogView, ModelRow

from .conftest import RunCli

COMMANDS = (
    "",
    "demo",
    "train",
    "sample",
    "predict",
    "compare",
    "diagnose",
    "export",
    "bench",
    "bench recurrent",
    "bench conv",
)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _options(name: str) -> set[str]:
    command = full_train_command() if name == "train" else typer.main.get_command(app)
    for part in name.split() if name != "train" else ():
        command = command.commands[part]
    return {option for parameter in command.params for option in parameter.opts if option.startswith("-")}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_option_in_80_columns(name: str, run_cli: RunCli) -> None:
    outcome = run_cli(*name.split(), "--help")
    assert outcome.code == 0
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "…" not in outcome.out.replace("N,N,…", "")
    assert "..." not in outcome.out.replace("[ARGS]...", "").replace("{RUN}...", "")
    assert _options(name) <= set(outcome.out.replace(",", " ").split())


def test_help_keeps_the_options_of_a_task_together(run_cli: RunCli) -> None:
    first, _, rest = run_cli("train", "--help").out.partition("Texts of language models:")
    for option in ("--unit", "--streams", "--cutoffs"):
        assert option in rest.split()
        assert option not in first.split()
    assert "--target" in first.split()


LONG = "words,kind\ngood thing,yes\n" + "bad " * 200 + ",no\n" + "x" * 500 + ",no\n"


@pytest.mark.parametrize("columns", [80, 60, 200])
@pytest.mark.parametrize("labelled", [False, True])
def test_a_long_text_leaves_room_for_label_and_probability(
    columns: int,
    labelled: bool,
    tmp_path: Path,
    run_cli: RunCli,
    text_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    path = tmp_path / "data.csv"
    path.write_text(LONG, encoding="utf-8")
    options = ("--target", "kind") if labelled else ()
    outcome = run_cli("predict", text_run, path, "--format", "table", *options)
    head, _, *rows = [line.split() for line in outcome.out.splitlines()]
    assert max(map(len, outcome.out.splitlines())) <= columns
    truth = ["truth"] if labelled else []
    assert [word for word in head if word != "┃"] == ["row", "label", "probability", *truth, "text"]
    assert len(rows) == 3
    for number, row in enumerate(rows, 1):
        cells = [cell for cell in row if cell != "│"]
        assert cells[0] == str(number)
        assert cells[1] in {"yes", "no"}
        assert 0.5 <= float(cells[2]) <= 1
        if labelled:
            assert cells[3] == ("yes" if number == 1 else "no")


def test_a_missing_file_is_missing_and_no_table(tmp_path: Path, run_cli: RunCli) -> None:
    for name in ("none.csv", "none", "none.txt"):
        outcome = run_cli("train", tmp_path / name, "--out", tmp_path / "run")
        assert outcome.code == 2
        assert f"{name} does not exist" in outcome.err
        assert "not a table" not in outcome.err


def test_texts_cannot_command_the_terminal(tmp_path: Path, run_cli: RunCli, text_run: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("good \x1b[2J\x1b]0;title\x07 thing \u202eback\n", encoding="utf-8")
    outcome = run_cli("predict", text_run, path, "--format", "table")
    assert r"good \x1b[2J\x1b]0;title\x07 thing \u202eback" in outcome.out
    assert not set("\x1b\x07\u202e") & set(outcome.out)
    refused = run_cli("predict", text_run, tmp_path / "no\x1b[2J.txt")
    assert refused.err.startswith("error: ")
    assert "\x1b" not in refused.err


def test_json_lines_are_the_same_values_and_command_no_terminal(
    tmp_path: Path, run_cli: RunCli, code_run: Path
) -> None:
    path = tmp_path / "a.py"
    path.write_text('x = a + b  # é \x9b2J\x7f \u202e"', encoding="utf-8")
    outcome = run_cli("predict", code_run, path, "--format", "jsonl")
    assert json.loads(outcome.out)["text"] == path.read_text("utf-8")
    assert not set("\x9b\x7f\u202e") & set(outcome.out)
    assert "é" in outcome.out


def test_a_pipe_is_no_file(tmp_path: Path, run_cli: RunCli, text_run: Path, code_run: Path) -> None:
    for run, name in ((text_run, "lines.txt"), (text_run, "data.csv"), (code_run, "a.py")):
        os.mkfifo(tmp_path / name)  # opening it would wait for a writer
        outcome = run_cli("predict", run, tmp_path / name)
        assert outcome.code == 2
        assert f"{name} is a named pipe, not a file" in outcome.err


def test_a_run_of_somebody_else_cannot_command_the_terminal(
    tmp_path: Path, run_cli: RunCli, text_run: Path
) -> None:
    run, other = tmp_path / "[b]\x1b[2J", tmp_path / "other"
    for copy in (run, other):
        shutil.copytree(text_run, copy)
    config = json.loads((run / "config.json").read_text("utf-8"))
    config["task"]["classes"][0] = "no\x1b[2J\ud800</script><b>"
    config["recipe"]["data"] = "none\x1b[2J[/b].csv"
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    metrics["tuned"] = config["task"]
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    relist(run)
    data = tmp_path / "data.csv"
    data.write_text("words,kind\nbad thing,yes\nawful thing,yes\n", encoding="utf-8")
    for command in (
        ("predict", run, data, "--format", "table"),
        ("predict", run, data, "--format", "jsonl"),
        ("diagnose", run, data),
        ("diagnose", run, other, data, "--out", tmp_path / "page.html"),
    ):
        outcome = run_cli(*command)
        assert (outcome.code, outcome.err) == (0, "")
        assert "\x1b" not in outcome.out
    assert r"textcnn ([b]\x1b[2J)" in outcome.out
    assert r"none\x1b[2J[/b].csv" in outcome.out
    assert "</script><b>" not in (tmp_path / "page.html").read_text("utf-8")
    assert (
        json.loads((run / "diagnosis.json").read_text("utf-8"))["quality"]["classes"]
        == config["task"]["classes"]
    )


def test_results_of_somebody_else_cannot_command_the_terminal(tmp_path: Path, run_cli: RunCli) -> None:
    out = tmp_path / "[b]"
    out.mkdir()
    (out / "report.html").touch()
    model, log = ModelRow("[/b]\x1b[2J", 0.5, 0.4, 0.6), LogView(7, 20, 1, (), "log.html")
    write_result(out, DemoPlan().to_json(), DemoResult((model,), out, out / "bilstm", 0.5, log))
    outcome = run_cli("demo", "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert "\x1b" not in outcome.out
    for text in (r"[/b]\x1b[2J  ", f"{out}/bilstm SOME_FILE.py"):
        assert text in "".join(outcome.out.splitlines())
    write_result(out, DemoPlan().to_json(), DemoResult((model,), out, out / "[b]\x1b[2J", 0.5, log))
    outcome = run_cli("demo", "--out", out)
    assert outcome.code == 2
    assert "\x1b" not in outcome.err
    assert r"[b]\x1b[2J" in outcome.err


def test_escapes_leave_letters_of_all_scripts_alone() -> None:
    assert printable("Grüße, 你好, שלום, नमस्ते, 👩‍👩‍👧") == "Grüße, 你好, שלום, नमस्ते, 👩‍👩‍👧"
    assert printable("a\nb\tc\x00", keep="\n\t") == "a\nb\tc\\x00"
    assert printable("\ud800") == r"\ud800"


def test_an_encoding_without_the_characters_of_a_text_shows_escapes(
    tmp_path: Path, text_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("good 你好\n", encoding="utf-8")
    shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(
        sys, "argv", ["throughtime", "predict", str(text_run), str(path), "--format", "table"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown.flush()
    assert rb"good \u4f60\u597d" in shown.buffer.getvalue()


def test_the_table_of_a_benchmark_cuts_no_word() -> None:
    row = Row("conv", "B64 T256 C128 O100 K3", "ragged", "inference", "torch", 1e9, [1e-3] * 3, [1.5e-3] * 3)
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(_table("conv", [row], limit=500.0))
    printed = captured.get()
    assert "…" not in printed
    assert {"inference", "ragged", "torch", "1.50", "C128"} <= set(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
