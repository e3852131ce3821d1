"""Following logs: the verdicts of a scan, nothing lost or repeated through rotation, restarts and kills."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import RunCli, run_cli
from throughtime.errors import DataError
from throughtime.logs.events import read_events
from throughtime.logs.follow import Follower, Journal, LineVerdict, SessionVerdict, Verdict
from throughtime.logs.formats import verdict_json
from throughtime.logs.model import LogModel
from throughtime.logs.tail import Tail

from .conftest import Trained, files_at

__all__ = ["run_cli"]


def _lines(verdicts: Sequence[Verdict]) -> list[LineVerdict]:
    return [verdict for verdict in verdicts if isinstance(verdict, LineVerdict)]


def _sessions(verdicts: Sequence[Verdict]) -> list[SessionVerdict]:
    return [verdict for verdict in verdicts if isinstance(verdict, SessionVerdict)]


def _drained(follower: Follower) -> list[Verdict]:
    """Return the verdicts until nothing is left, in a time that passes as it is asked for."""
    verdicts: list[Verdict] = []
    now = time.monotonic()
    for step in range(50):
        verdicts += follower.poll(now + step)
    return verdicts


def _batch_surprise(model: LogModel, path: Path) -> dict[int, float]:
    """Return the surprise of each record of a log, by its line, in a scan of the whole file."""
    events = read_events(files_at(path), model.settings.options, model.templates.match)
    sequences = model.settings.sequences(events)
    surprise = model.scorer.surprise(sequences.lists(events.event))
    lengths = np.diff(sequences.offsets)
    starts = np.cumsum(lengths + 1) - lengths - 1
    return {
        int(events.line[row]): float(surprise[starts[number] + sequences.context[number] + place])
        for number in range(len(sequences))
        for place, row in enumerate(sequences.records(number))
    }


def test_the_verdicts_are_those_of_a_scan_however_the_lines_arrive(
    model: LogModel, trained: Trained, tmp_path: Path
) -> None:
    content = trained.faulty.read_bytes()
    path = tmp_path / "app.log"
    path.touch()
    follower = Follower(model, [path], silence=1e9)
    verdicts: list[Verdict] = []
    random = np.random.default_rng(0)
    written, now = 0, 0.0
    with path.open("ab", buffering=0) as file:
        while written < len(content):
            size = int(random.choice([1, 30, 100, 2000, 30_000]))
            file.write(content[written : written + size])
            written += size
            now += 0.001
            verdicts += follower.poll(now)
    for step in range(3):
        verdicts += follower.poll(now + 1 + step)
    expected = _batch_surprise(model, trained.faulty)
    lines = _lines(verdicts)
    assert [line.line.line for line in lines] == sorted(expected)
    np.testing.assert_allclose(
        [v.line.surprise for v in lines], [expected[v.line.line] for v in lines], atol=1e-4
    )
    assert sum(line.line.lines for line in lines) == len(trained.lines)
    final = _sessions(follower.finish())
    follower.close()
    assert {session.name for session in final} == {line.session for line in trained.lines}
    faulty = {line.session for line in trained.lines if line.fault}
    highest = sorted(final, key=lambda session: -session.score)[: len(faulty)]
    assert {session.name for session in highest} == faulty
    assert all(session.is_reported for session in highest)


def test_a_log_in_utf_16_has_the_same_verdicts(model: LogModel, trained: Trained, tmp_path: Path) -> None:
    wide = tmp_path / "app.log"
    wide.write_text(trained.faulty.read_text("utf-8"), encoding="utf-16")
    verdicts = []
    for path in (trained.faulty, wide):
        follower = Follower(model, [path], silence=1e9)
        verdicts.append([(v.line.text, round(v.line.surprise, 3)) for v in _lines(_drained(follower))])
        follower.close()
    assert verdicts[0] == verdicts[1]
    assert len(verdicts[0]) == sum(line.template is not None for line in trained.lines)


def test_long_sessions_end_in_parts_as_in_a_scan(trained: Trained, tmp_path: Path) -> None:
    from dataclasses import replace

    model = LogModel.open(trained.run)
    model.settings = replace(model.settings, length=5)
    follower = Follower(model, [trained.faulty], silence=1e9)
    verdicts = _drained(follower)
    expected = _batch_surprise(model, trained.faulty)
    follower.close()
    lines = _lines(verdicts)
    np.testing.assert_allclose(
        [v.line.surprise for v in lines], [expected[v.line.line] for v in lines], atol=1e-4
    )
    assert {session.records for session in _sessions(verdicts)} == {5}


def test_a_session_is_over_after_silence(model: LogModel, trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    lines = [line.text for line in trained.lines if line.fault == "crash" and line.template is not None]
    path.write_text("".join(f"{line}\n" for line in lines))
    follower = Follower(model, [path], silence=30.0)
    assert len(_lines(follower.poll(0.0) + follower.poll(1.0))) == len(lines)
    assert follower.poll(29.0) == []
    (over,) = follower.poll(31.5)
    assert isinstance(over, SessionVerdict)
    assert (over.records, over.is_reported) == (len(lines), True)
    assert follower.poll(100.0) == []
    follower.close()


def _numbered(start: int, end: int) -> str:
    return "".join(f"line {number:05d}\n" for number in range(start, end))


def _read_all(tail: Tail) -> list[str]:
    texts = []
    for _ in range(20):
        texts += [line.text for line in tail.read()]
    return texts


def _names(start: int, end: int) -> list[str]:
    return _numbered(start, end).split("\n")[:-1]


def test_a_renamed_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text(_numbered(0, 10))
    tail = Tail(path)
    assert _read_all(tail) == _names(0, 10)
    with path.open("a") as old:
        path.rename(tmp_path / "app.log.1")
        path.touch()
        old.write(_numbered(10, 20))  # before the writer opens the new file
        old.flush()
        assert _read_all(tail) == _names(10, 20)
        old.write(_numbered(20, 25) + "no end")
    path.write_text(_numbered(30, 40))
    assert _read_all(tail) == [*_names(20, 25), "no end", *_names(30, 40)]
    tail.close()


def test_a_truncated_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text(_numbered(0, 10))
    tail = Tail(path)
    assert _read_all(tail) == _names(0, 10)
    with path.open("a") as file:
        file.write(_numbered(10, 12))
    (tmp_path / "app.log.1").write_bytes(path.read_bytes())  # as logrotate's copytruncate
    path.write_text(_numbered(12, 15))
    assert _read_all(tail) == _names(10, 15)
    tail.close()


@pytest.mark.parametrize("compressed", [False, True])
def test_files_that_were_rotated_while_nobody_read_are_read(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "app.log"
    path.write_text(_numbered(0, 10))
    tail = Tail(path)
    read = tail.read()
    position = tail.position(read[5])
    tail.close()
    content = (path.read_text() + _numbered(10, 20)).encode()
    path.unlink()
    if compressed:
        (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(content))
    else:
        (tmp_path / "app.log.2").write_bytes(content)
    (tmp_path / "app.log.1").write_text(_numbered(20, 30))
    (tmp_path / "other.log").write_text("not of this log\n")
    path.write_text(_numbered(30, 31))
    tail = Tail(path, position)
    assert _read_all(tail) == _names(6, 31)
    assert not tail.moved
    tail.close()


def test_a_position_that_is_gone_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text(_numbered(0, 10))
    tail = Tail(path)
    position = tail.position(tail.read()[5])
    tail.close()
    path.write_text(_numbered(50, 52))
    tail = Tail(path, position)
    assert tail.moved
    assert _read_all(tail) == _names(50, 52)
    tail.close()


def test_a_line_is_read_when_it_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    tail = Tail(path)
    assert tail.read() == []  # there is no file yet
    path.write_bytes(b"one\r\nha")
    assert [line.text for line in tail.read()] == ["one"]
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(b"lf\n")
    (line,) = tail.read()
    assert (line.text, line.number, line.end) == ("half", 2, 10)
    tail.close()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_byte_order_mark_determines_the_encoding(tmp_path: Path, encoding: str) -> None:
    """The bytes arrive in pieces of odd sizes, some characters contain the byte of a line feed."""
    expected = ["first", "ਊ \u010a \u0a0d 𝄞", "", "last"]
    mark = "" if encoding == "utf-8-sig" else "\ufeff"
    content = (mark + "\r\n".join(expected) + "\r\n").encode(encoding)
    path = tmp_path / "app.log"
    path.touch()
    tail, lines = Tail(path), []
    with path.open("ab", buffering=0) as file:
        for start in range(0, len(content), 3):
            file.write(content[start : start + 3])
            lines += tail.read()
    tail.close()
    assert [line.text for line in lines] == expected
    assert lines[-1].end == len(content)
    tail = Tail(path, tail.position(lines[1]))
    assert _read_all(tail) == expected[2:]
    tail.close()


def test_restarts_lose_and_repeat_nothing(model: LogModel, trained: Trained, tmp_path: Path) -> None:
    """Stop after every poll, also between writing the output and the state, and rotate the log meanwhile."""
    content = trained.faulty.read_bytes().splitlines(keepends=True)[:600]
    path, out, state = tmp_path / "app.log", tmp_path / "out.jsonl", tmp_path / "state.json"
    path.touch()
    random = np.random.default_rng(1)
    written, rotations, time_ = 0, 0, 0.0
    while written < len(content) or random.random() > 0.2:
        if written < len(content):
            size = int(random.integers(0, 200))
            with path.open("ab") as file:
                file.writelines(content[written : written + size])
            written += size
        if random.random() < 0.3 and path.stat().st_size:
            rotations += 1
            for number in range(rotations, 1, -1):
                (tmp_path / f"app.log.{number - 1}").rename(tmp_path / f"app.log.{number}")
            path.rename(tmp_path / "app.log.1")
            path.touch()
        journal = Journal(state, out)
        follower = Follower(model, [path], silence=1e9, state=journal.state)
        for _ in range(int(random.integers(2, 8))):
            time_ += 1.0
            if not (verdicts := follower.poll(time_)):
                continue
            lines = [verdict_json(verdict) for verdict in verdicts]
            if random.random() < 0.1:  # killed before the state was replaced
                with out.open("a") as file:
                    file.write("".join(f"{line}\n" for line in lines)[:-3])
                break
            journal.write(lines, follower.state(), print)
        follower.close()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    (tmp_path / "whole.log").write_bytes(b"".join(content))
    expected = _batch_surprise(model, tmp_path / "whole.log")
    assert [row["text"] for row in rows] == [trained.lines[line - 1].text for line in sorted(expected)]
    np.testing.assert_allclose(
        [row["surprise"] for row in rows], [expected[n] for n in sorted(expected)], atol=1e-4
    )
    assert rotations > 1


def test_a_killed_process_goes_on(run_cli: RunCli, trained: Trained, tmp_path: Path) -> None:
    path, out, state = tmp_path / "app.log", tmp_path / "out.jsonl", tmp_path / "state.json"
    content = trained.faulty.read_bytes().splitlines(keepends=True)
    half = len(content) // 2
    path.write_bytes(b"".join(content[:half]))
    command = [
        "throughtime", "logs", "scan", str(trained.run), str(path), "--follow", "--format",
        "jsonl", "--out", str(out), "--state", str(state), "--silence", "1h",
    ]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", *command])
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists()
    with path.open("ab") as file:
        file.writelines(content[half:])
    assert run_cli(*command[1:], "--stop-after", "0.3s").code == 1
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["line"] for row in rows if row["kind"] == "line"] == [
        number for number, line in enumerate(trained.lines, 1) if line.template is not None
    ]


def test_the_command_prints_what_is_reported(run_cli: RunCli, trained: Trained, tmp_path: Path) -> None:
    done = run_cli(
        "logs", "scan", trained.run, trained.faulty, "--follow", "--stop-after", "0.2s", "--silence", "0.05s"
    )
    assert done.code == 1
    lines = done.out.splitlines()
    number = next(n for n, line in enumerate(trained.lines, 1) if "could not be loaded" in line.text)
    assert any(f"{trained.faulty}:{number}: new template: " in line for line in lines)
    assert any(" is over: surprise " in line for line in lines)
    assert len(lines) < 60
    assert run_cli("logs", "scan", trained.run, "-", "--follow").err.startswith(
        "error: --follow reads files, not -"
    )
    assert run_cli("logs", "scan", trained.run, trained.faulty, "--follow", "--format", "sarif").code == 2
    wrong = run_cli("logs", "scan", trained.run, trained.faulty, "--follow", "--silence", "soon")
    assert wrong.err == "error: silence= (--silence) must be a time such as 90s, 5m or 1h, got 'soon'\n"


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"state": {"positions": 1, "sessions": []}, "written": 0}']
)
def test_a_damaged_state_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(DataError, match=r"state\.json is no state of logs scan --follow"):
        Journal(tmp_path / "state.json", None)


def test_an_output_that_was_cut_is_noticed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state.json", tmp_path / "out")
    journal.write(["a line"], {"positions": {}, "sessions": []}, print)
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="out is shorter than when"):
        Journal(tmp_path / "state.json", tmp_path / "out")
