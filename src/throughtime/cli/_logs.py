"""``throughtime logs``: train a model on log files, and scan or compare others."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import typer

from throughtime._words import counted
from throughtime.cli._ending import end_training, load_lightning, say, training_into
from throughtime.data.printable import printable
from throughtime.errors import DataError, RunError, UnsupportedError
from throughtime.learn import Recipe
from throughtime.logs.difference import log_difference
from throughtime.logs.files import STDIN, LogFile, log_files, spooled
from throughtime.logs.formats import Format, difference_lines, written
from throughtime.logs.model import LogModel, open_log_model, settings_of
from throughtime.logs.options import LogOptions, ReadingOptions, declared_options
from throughtime.logs.scan import LogScan, scan_logs
from throughtime.logs.training import TrainedLog, TrainingLog, log_recipe, read_training_log, train_logs
from throughtime.models import model_options
from throughtime.training import Run

REPORTED = 1
"""Exit status of a scan that reports a session."""


@dataclass(frozen=True)
class TrainLogs:
    """The arguments of ``logs train``, as its help describes them."""

    logs: Sequence[Path]
    out: Path
    options: Mapping[str, Any]
    ignore: tuple[str, ...]
    start: Path | None
    resume: bool
    threads: int | None
    device: str | None
    quiet: bool

    def run(self) -> None:
        """Read the logs, train, and print the results."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        start = None if self.start is None else open_log_model(self.start)
        options, recipe = self._options_and_recipe(start)
        files = _log_files(self.logs)
        with training_into(self.out):
            log = read_training_log(files, options, start)
            self._say_read(log)
            load_lightning()
            trained = train_logs(
                log,
                self.out,
                recipe,
                start=start,
                resume=self.resume,
                progress=not self.quiet,
                device=self.device,
            )
        end_training(trained.result, self.out, lambda *_: self._show(trained), quiet=self.quiet)

    def _options_and_recipe(self, start: LogModel | None) -> tuple[LogOptions, Recipe]:
        """Return the options, of a resumed run those that it has."""
        if not self.resume:
            Run.require_free(self.out)
            of_log = {name for group in declared_options().values() for name in group}
            of_model = {name: text for name, text in self.options.items() if name not in of_log}
            if start is None:
                return LogOptions.parse(self.options, self.ignore), log_recipe(of_model)
            kept = (of_log | model_options("language").keys()) & self.options.keys()
            if kept or self.ignore:
                changed = [*sorted(kept), *(["ignore"] if self.ignore else [])]
                raise UnsupportedError(
                    f"--start keeps the options of logs and model; leave out --{changed[0].replace('_', '-')}"
                )
            return start.settings.options, start.recipe.parsed(of_model)
        if self.options or self.ignore:
            changed = [*self.options, *(["ignore"] if self.ignore else [])]
            names = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
            raise UnsupportedError(f"--resume keeps the options of the run; leave out {names}")
        run = Run.open(self.out)
        try:
            return settings_of(run).options, Recipe.from_json(run.config.recipe.get("options"))
        except ValueError as error:
            if isinstance(error, RunError):
                raise
            raise RunError(f"{run.path / 'config.json'} is damaged: {error}; restore the file") from error

    def _say_read(self, log: TrainingLog) -> None:
        events = log.events
        ignored = f", {counted(events.ignored, 'record')} ignored" if events.ignored else ""
        say(
            f"{counted(len(events), 'record')}, {counted(len(log.settings.templates), 'template')}, "
            f"{counted(len(log.sequences), 'session')}{ignored}",
            quiet=self.quiet,
        )

    def _show(self, trained: TrainedLog) -> None:
        if trained.model is None:
            return
        gaps = sum(usual.position == 0 for usual in trained.model.values.usual)
        parameters = counted(len(trained.model.values.usual) - gaps, "parameter")
        say(f"inputs: templates, {parameters}, gaps before {counted(gaps, 'template')}", quiet=self.quiet)
        held_out = len(trained.model.calibration.scores)
        say(
            f"{counted(held_out, 'held-out session')}: the smallest false-alarm rate is "
            f"{trained.model.calibration.smallest:.2g}",
            quiet=self.quiet,
        )
        say(f"saved in {self.out}", quiet=self.quiet)
        say(f"next: throughtime logs scan {self.out} FILE", quiet=self.quiet)


@dataclass(frozen=True)
class ScanLogs:
    """The arguments of ``logs scan``, as its help describes them."""

    model: Path
    logs: Sequence[str]
    false_alarms: float | None
    ignore: tuple[str, ...]
    frequency: bool
    top: int
    lines: int
    format: Format
    out: Path | None
    report: Path | None
    threads: int | None

    def run(self) -> None:
        """Scan the logs, write the result, and set the exit status."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        model = open_log_model(self.model)
        with _files_of(self.logs) as files:
            result = scan_logs(
                model,
                files,
                false_alarms=self.false_alarms,
                ignore=self.ignore,
                frequency=self.frequency,
                top=self.top,
                lines=self.lines,
            )
        self._write(result)
        if self.report is not None:
            from throughtime.report import write_log_report

            write_log_report(self.report, result, ", ".join(self.logs))
        if result.reported:
            raise typer.Exit(REPORTED)

    def _write(self, result: LogScan) -> None:
        lines = written(result, self.format)
        if self.out is None:
            for line in lines:
                print(line)  # noqa: T201 - command output
        else:
            self.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@dataclass(frozen=True)
class DiffLogs:
    """The arguments of ``logs diff``, as its help describes them."""

    before: Path
    after: Path
    ignore: tuple[str, ...]
    encoding: str
    format: Literal["table", "jsonl"]

    def run(self) -> None:
        """Compare the logs, and set the exit status."""
        options = LogOptions(ReadingOptions(self.encoding), ignore=self.ignore)
        difference = log_difference(_log_files([self.before]), _log_files([self.after]), options)
        for line in difference_lines(difference, as_json=self.format == "jsonl"):
            print(line)  # noqa: T201 - command output
        if difference.templates:
            raise typer.Exit(REPORTED)


@contextmanager
def _files_of(names: Sequence[str]) -> Iterator[Sequence[LogFile]]:
    """Open the files of a command; ``-`` is the standard input."""
    if STDIN not in names:
        yield _log_files([Path(name) for name in names])
        return
    if len(names) > 1:
        raise DataError(
            f"{STDIN} is the standard input and cannot be read together with files; give one of them"
        )
    with spooled(sys.stdin.buffer, "<stdin>") as file:
        yield [file]


def _log_files(paths: Sequence[Path]) -> Sequence[LogFile]:
    """Return log files; prints which files of a folder are skipped."""
    logs = log_files(paths)
    if logs.skipped:
        names = ", ".join(map(str, logs.skipped[:3])) + (", …" if len(logs.skipped) > 3 else "")
        print(printable(f"note: binary files are skipped: {names}"), file=sys.stderr)  # noqa: T201
    return logs.files
