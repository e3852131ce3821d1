"""`scan_shop`: trains on the log of correct runs of the tests, and scans that of runs with the fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from throughtime.demo.shop.suite import run_suite
from throughtime.logs import LogModel, LogOptions, LogScan, SessionOptions, log_files, log_recipe, scan_logs
from throughtime.logs.training import read_training_log, train_logs
from throughtime.report import LogLine, LogView, write_log_report

NAME = "logs"
"""Folder of the logs, their model and their page, in that of the demo."""
_SHOWN = 10
_LINES = 3


@dataclass(frozen=True)
class ShopPlan:
    """How often the tests of the shop run: correct ones to train on, and runs with the fault to scan."""

    correct: int = 40
    faulty: int = 5
    seed: int = 0


def scan_shop(out: Path, plan: ShopPlan) -> LogView | None:
    """Make the logs, train, scan, and write the page of the scan.

    The logs of a stopped training are made again; their lines are the same except for the times.

    Parameters
    ----------
    out : Path
        Folder of the demo.
    plan : ShopPlan
        Sizes.

    Returns
    -------
    LogView or None
        The most surprising lines; None if Ctrl-C stopped the training.
    """
    folder = out / NAME
    folder.mkdir(parents=True, exist_ok=True)
    correct, faulty = folder / "correct.log", folder / "faulty.log"
    run_suite(correct, plan.correct, plan.seed)
    tests = run_suite(faulty, plan.faulty, plan.seed + 1, leaks=True)
    model = _trained(correct, folder / "run", plan.seed)
    if model is None:
        return None
    scan = scan_logs(model, log_files([faulty]).files, top=10**6, lines=_LINES)
    page = folder / "report.html"
    write_log_report(page, scan, faulty.name)
    return LogView(
        tests=tests.tests,
        sessions=scan.total,
        faulty=len(tests.faulty),
        lines=_most_surprising(scan, tests.faulty),
        link=page.relative_to(out).as_posix(),
    )


def _trained(log: Path, run: Path, seed: int) -> LogModel | None:
    """Return a model of a log; a training that was stopped is resumed."""
    options = LogOptions(sessions=SessionOptions(session=r"req-\d+"))
    training = read_training_log(log_files([log]).files, options)
    recipe = log_recipe({"seed": seed})
    return train_logs(training, run, recipe, resume=run.exists(), progress=False).model


def _most_surprising(scan: LogScan, faulty: Sequence[str]) -> tuple[LogLine, ...]:
    """Return the most surprising lines of all sessions."""
    lines = [
        LogLine(
            text=line.text,
            place=f"{Path(line.file).name}:{line.line}",
            surprise=line.surprise,
            expected=line.expected[0].template,
            probability=line.expected[0].probability,
            is_fault=session.name in faulty,
        )
        for session in scan.sessions
        for line in session.lines
    ]
    return tuple(sorted(lines, key=lambda line: -line.surprise)[:_SHOWN])
