"""``throughtime logs scan --follow``: results for lines and sessions while logs are written."""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
import typer

from throughtime._duration import seconds_of
from throughtime._options import named
from throughtime.data.printable import printable
from throughtime.errors import DataError, UnsupportedError
from throughtime.logs.files import STDIN
from throughtime.logs.follow import Follower, Journal, Verdict
from throughtime.logs.formats import Format, verdict_json, verdict_text
from throughtime.logs.model import open_log_model

_PAUSE = 0.005
"""Seconds between polls of the files."""


@dataclass(frozen=True)
class FollowLogs:
    """The arguments of ``logs scan --follow``, as its help describes them."""

    model: Path
    logs: Sequence[str]
    false_alarms: float | None
    ignore: tuple[str, ...]
    format: Format
    out: Path | None
    state: Path | None
    silence: str
    stop_after: str | None
    threads: int | None

    def run(self) -> None:
        """Follow the logs until ``stop_after`` has passed without a line, or Ctrl-C."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        silence = _seconds("silence", self.silence)
        stop_after = None if self.stop_after is None else _seconds("stop_after", self.stop_after)
        if self.format not in ("table", "jsonl"):
            raise UnsupportedError(f"--follow writes a table or jsonl, not {self.format}; choose one of them")
        paths = self._paths()
        model = open_log_model(self.model)
        journal = None if self.state is None else Journal(self.state, self.out)
        follower = Follower(
            model,
            paths,
            false_alarms=self.false_alarms,
            ignore=self.ignore,
            silence=silence,
            state=None if journal is None else journal.state,
        )
        for path in follower.moved:
            note = f"note: {path}: the position of the last run was not found; reading from the beginning"
            print(printable(note), file=sys.stderr)  # noqa: T201 - command output
        with closing(follower):
            reported = self._follow(follower, journal, stop_after)
        if reported:
            raise typer.Exit(1)

    def _paths(self) -> Sequence[Path]:
        paths = [Path(name) for name in self.logs]
        for path in paths:
            if str(path) == STDIN or path.is_dir():
                raise UnsupportedError(f"--follow reads files, not {path}; give the log files themselves")
        return paths

    def _follow(self, follower: Follower, journal: Journal | None, stop_after: float | None) -> bool:
        """Write verdicts until the end; return whether any session was reported."""
        last, reported = time.monotonic(), False
        while stop_after is None or time.monotonic() - last < stop_after:
            before = follower.positions
            verdicts = follower.poll()
            if verdicts or follower.positions != before:
                last = time.monotonic()
                self._write(verdicts, follower, journal)
                reported = reported or any(verdict.is_reported for verdict in verdicts)
            else:
                time.sleep(_PAUSE)
        return reported

    def _write(self, verdicts: Sequence[Verdict], follower: Follower, journal: Journal | None) -> None:
        lines = [text for text in map(self._text, verdicts) if text is not None]
        if journal is not None:
            journal.write(lines, follower.state(), _print)
        elif self.out is None:
            for line in lines:
                _print(line)
        else:
            with self.out.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)

    def _text(self, verdict: Verdict) -> str | None:
        return verdict_json(verdict) if self.format == "jsonl" else verdict_text(verdict)


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - command output


def _seconds(name: str, text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError:
        raise DataError(
            f"{named(name)} must be a time such as 90s, 5m or 1h, got {printable(text)!r}"
        ) from None
