"""``throughtime logs``: its output, exit status, and the errors of mistakes."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import RunCli, run_cli
from throughtime.logs.generated import generated_log

from .conftest import Trained, write_log

__all__ = ["run_cli"]

SMALL = ("--epochs", 2, "--hidden-size", 8, "--embedding-size", 8)


def test_a_log_is_trained_on_and_scanned(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    write_log(tmp_path / "logs" / "app.log", list(generated_log(60)))
    (tmp_path / "logs" / "core").write_bytes(b"\x00")
    done = run_cli(
        "logs", "train", tmp_path / "logs", "--session", r"req-\d+", *SMALL, "--out", tmp_path / "run"
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].endswith(" records, 14 templates, 60 sessions")
    assert "12 held-out sessions: the smallest false-alarm rate is 0.077" in done.out
    assert done.err.splitlines()[0] == f"note: binary files are skipped: {tmp_path / 'logs' / 'core'}"
    scanned = run_cli("logs", "scan", tmp_path / "run", tmp_path / "logs" / "app.log", "--top", 2)
    assert "reported: " in scanned.out
    assert scanned.out.count("surprise") == 2
    again = run_cli("logs", "train", tmp_path / "logs", "--out", tmp_path / "run", "--resume")
    assert "is already finished" in again.out
    refused = run_cli(
        "logs", "train", tmp_path / "logs", "--out", tmp_path / "run", "--resume", "--length", 9
    )
    assert refused.err.splitlines()[-1] == "error: --resume keeps the options of the run; leave out --length"


def test_the_exit_status_says_whether_a_session_is_reported(
    run_cli: RunCli, trained: Trained, tmp_path: Path
) -> None:
    assert run_cli("logs", "scan", trained.run, trained.faulty).code == 1
    one = tmp_path / "one.log"
    normal = trained.normal.read_text().splitlines(keepends=True)
    session = [line for line in normal if "req-000003" in line]
    one.write_text("".join(session))
    assert run_cli("logs", "scan", trained.run, one).code == 0
    assert run_cli("logs", "scan", trained.run, tmp_path / "gone.log").code == 2


def test_standard_input_is_scanned(
    run_cli: RunCli, trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(trained.faulty.read_bytes())))
    piped = run_cli("logs", "scan", trained.run, "-", "--format", "jsonl")
    from_file = run_cli("logs", "scan", trained.run, trained.faulty, "--format", "jsonl")
    assert piped.code == from_file.code == 1
    assert piped.out.replace("<stdin>", str(trained.faulty)) == from_file.out
    refused = run_cli("logs", "scan", trained.run, "-", trained.faulty)
    assert "cannot be read together with files" in refused.err


@pytest.mark.parametrize("form", ["table", "jsonl", "sarif", "junit"])
def test_the_result_is_written_to_a_file(
    run_cli: RunCli, trained: Trained, tmp_path: Path, form: str
) -> None:
    printed = run_cli("logs", "scan", trained.run, trained.faulty, "--format", form)
    written = run_cli(
        "logs", "scan", trained.run, trained.faulty, "--format", form, "--out", tmp_path / "result"
    )
    assert written.out == ""
    assert (tmp_path / "result").read_text() == printed.out


def test_an_ignored_pattern_is_stored_in_the_run(run_cli: RunCli, tmp_path: Path) -> None:
    normal = write_log(tmp_path / "normal.log", list(generated_log(40)))
    done = run_cli(
        "logs", "train", normal, "--ignore", r"cart\.Cache", "--ignore", "jobs", "--session", r"req-\d+", *SMALL,
        "--out", tmp_path / "run", "--quiet",
    )  # fmt: skip
    assert (done.code, done.out) == (0, "")
    content = json.loads((tmp_path / "run" / "logs.json").read_text())
    assert content["options"]["ignore"] == [r"cart\.Cache", "jobs"]
    assert not [template for template in content["templates"] if "Cache" in template["text"]]
    scanned = run_cli("logs", "scan", tmp_path / "run", normal, "--format", "jsonl")
    assert json.loads(scanned.out.splitlines()[-1])["ignored"] >= 40


def test_a_run_begins_with_another(run_cli: RunCli, trained: Trained, tmp_path: Path) -> None:
    further = write_log(tmp_path / "more.log", list(generated_log(30, seed=3)))
    arguments = ("logs", "train", further, "--start", trained.run, "--out", tmp_path / "run")
    done = run_cli(*arguments, "--epochs", 1)
    assert done.code == 0, done.err
    old, new = (json.loads((run / "logs.json").read_text()) for run in (trained.run, tmp_path / "run"))
    assert new["options"] == old["options"]
    assert [t["text"] for t in new["templates"]] == [t["text"] for t in old["templates"]]
    assert "is already finished" in run_cli(*arguments, "--resume").out
    refused = run_cli(*arguments[:-1], tmp_path / "other", "--by", "thread")
    assert refused.err == "error: --start keeps the options of logs and model; leave out --by\n"
    refused = run_cli(*arguments[:-1], tmp_path / "other", "--hidden-size", 7)
    assert refused.err == "error: --start keeps the options of logs and model; leave out --hidden-size\n"


MISTAKES: dict[str, tuple[Callable[[Trained, Path], tuple[object, ...]], str]] = {
    "no pattern": (
        lambda t, f: ("train", t.normal, "--session", "(", "--out", f / "run"),
        (
            r"session='(' (--session '(') is not a regular expression (missing ), unterminated subpattern at position 0); "
            "correct it"
        ),
    ),
    "a time that is none": (
        lambda t, f: ("train", t.normal, "--window", "soon", "--out", f / "run"),
        "--window must be a time such as 90s, 5m or 1h, got 'soon'",
    ),
    "a folder that is taken": (
        lambda t, f: ("train", t.normal, "--out", t.run),
        "RUN already holds a run; resume it with resume=True (--resume) or choose another folder with out= (--out)",
    ),
    "an unknown option": (
        lambda t, f: ("train", t.normal, "--out", f / "run", "--similarity", "2"),
        "logs: similarity must be from 0 to 1, got 2.0",
    ),
    "a folder without logs": (
        lambda t, f: ("scan", t.run, f),
        "FOLDER: no log files; give files of text lines",
    ),
    "too few held-out sessions": (
        lambda t, f: ("scan", t.run, t.normal, "--false-alarms", "0.001"),
        (
            "false_alarms=0.001 (--false-alarms 0.001) needs 999 held-out sessions, but the run has 120; give at least "
            "0.0083, or train on more sessions"
        ),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(run_cli: RunCli, trained: Trained, tmp_path: Path, name: str) -> None:
    arguments, message = MISTAKES[name]
    done = run_cli("logs", *arguments(trained, tmp_path))
    shown = done.err.replace(str(trained.run), "RUN").replace(str(tmp_path), "FOLDER")
    assert (done.code, shown) == (2, f"error: {message}\n")
    assert not (tmp_path / "run").exists()


def test_help_names_every_option(run_cli: RunCli) -> None:
    help_ = run_cli("logs", "train", "--help").out
    for flag in (
        "--session",
        "--window",
        "--by",
        "--length",
        "--ignore",
        "--wordings",
        "--hidden-size",
        "--epochs",
    ):
        assert flag in help_
    assert max(map(len, help_.splitlines())) <= 80
    assert "train" in run_cli("logs", "--help").out
