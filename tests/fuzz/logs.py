"""Damaged log files with an intact run, from files and pipes, and damaged files of a run of a log."""

import gzip
import io
import json
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
import typer

from tests.training.toy import relist
from throughtime.cli._logs import ScanLogs
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.fitting import created_run, prepare
from throughtime.logs.conformal import Calibration
from throughtime.logs.files import log_files
from throughtime.logs.follow import Follower, Journal
from throughtime.logs.formats import verdict_json
from throughtime.logs.frequency import KindCounts, kinds_of
from throughtime.logs.generated import FAULTS, generated_log
from throughtime.logs.model import CALIBRATION, NAME, VALUES, LogModel, as_table
from throughtime.logs.options import LogOptions, SessionOptions
from throughtime.logs.training import log_recipe, read_training_log
from throughtime.logs.values import Usual, Values

from .damage import changed_json, damaged
from .loaders import Loader

_WORKPLACE = TemporaryDirectory()
_FOLDER = Path(_WORKPLACE.name)
_LINES = [
    *(line.text for line in generated_log(12, faults=FAULTS[:3])),
    '{"message": "disk full", "level": "warn", "time": "2026-01-31T12:30:00Z"}',
    "Jan 31 12:30:00 host sshd[77]: session of größe",
]
_LOG = "".join(f"{line}\n" for line in _LINES).encode()


def _run() -> dict[str, bytes]:
    """Return the files of a run whose weights are those before the training."""
    (_FOLDER / "app.log").write_bytes(_LOG)
    options = LogOptions(sessions=SessionOptions(session=r"req-\d+"))
    log = read_training_log(log_files([_FOLDER / "app.log"]).files, options)
    recipe = log_recipe({"hidden_size": 3, "embedding_size": 3})
    prepared = prepare(recipe, as_table(log.sequences.lists(log.events.event)))
    prepared = replace(prepared, recipe=automatic_settings(prepared))
    run = created_run(_FOLDER / "run", prepared, recipe.spec("tokens"), None)
    torch.manual_seed(0)
    run.save_model(run.config.model.build(run.config.shape, run.config.task))
    run.write_json(NAME, log.settings.to_json())
    kinds = kinds_of(log.sequences)
    calibration = Calibration.of([0.5, 1.0, 2.0], kinds[:3], KindCounts.of(kinds))
    run.write_json(CALIBRATION, calibration.to_json())
    usual = Usual(0, 0, 30, 1, 0.0, 2.5, ()), Usual(1, 1, 30, 2, None, None, ("ok", "failed"))
    run.write_json(VALUES, Values(usual, len(log.settings.templates)).to_json())
    return {file.name: file.read_bytes() for file in run.path.iterdir()}


_FILES = _run()


def _scanned(run: Path, names: list[str]) -> None:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            ScanLogs(
                model=run,
                logs=names,
                false_alarms=None,
                ignore=(),
                frequency=True,
                top=3,
                lines=2,
                format="jsonl",
                out=None,
                report=None,
                threads=None,
            ).run()
        except typer.Exit:  # a session is reported
            return


def _from_standard_input(log: Path) -> None:
    with log.open() as file, patch.object(sys, "stdin", file):
        _scanned(_FOLDER / "run", ["-"])


def _listed(run: Path) -> None:
    relist(run)
    _scanned(run, [str(_FOLDER / "app.log")])


def _of_file(log: Path) -> None:
    _scanned(_FOLDER / "run", [str(log)])


def _followed(state: Path) -> None:
    journal = Journal(state, None)
    with closing(
        Follower(LogModel.open(_FOLDER / "run"), [_FOLDER / "app.log"], state=journal.state)
    ) as follower:
        verdicts = [*follower.poll(0.0), *follower.poll(1.0), *follower.finish()]
    for verdict in verdicts:
        verdict_json(verdict)


def _state() -> bytes:
    """Return the state of a follower that has read a part of the log."""
    (_FOLDER / "part.log").write_bytes(_LOG)
    with closing(Follower(LogModel.open(_FOLDER / "run"), [_FOLDER / "part.log"])) as follower:
        follower.poll(0.0)
        state = follower.state()
    position = state["positions"].pop(str(_FOLDER / "part.log"))
    state["positions"][str(_FOLDER / "app.log")] = position
    return json.dumps({"state": state, "written": 0}).encode()


def _damaged_run(name: str) -> Loader:
    content = _FILES[name]
    return Loader(_listed, name, (content,), damaged(content) | changed_json(content), beside=_FILES)


LOGS = {
    "log": Loader(_of_file, "app.log", (_LOG,)),
    "log in utf-16": Loader(_of_file, "app.log", (_LOG.decode().encode("utf-16"),)),
    "log.gz": Loader(_of_file, "app.log.gz", (gzip.compress(_LOG),)),
    "log from a pipe": Loader(_from_standard_input, "app.log", (_LOG,)),
    "state of a follower": Loader(
        _followed, "state.json", (_state(),), damaged(_state()) | changed_json(_state())
    ),
    f"{NAME} of a run": _damaged_run(NAME),
    f"{CALIBRATION} of a run": _damaged_run(CALIBRATION),
    f"{VALUES} of a run": _damaged_run(VALUES),
}
