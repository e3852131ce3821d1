"""``throughtime demo``."""

import sys
from pathlib import Path

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from throughtime._importing import INTERRUPTED
from throughtime.cli._ending import load_lightning
from throughtime.data.printable import printable
from throughtime.demo.job import Interrupted, run_demo
from throughtime.demo.plan import DemoPlan
from throughtime.demo.results import DemoResult
from throughtime.report import ModelRow


def demo(out: Path | None, *, quick: bool = False) -> None:
    """Run the demo and print its table; without a folder in runs/demo, a quick one in runs/demo-quick."""
    plan = DemoPlan.quick() if quick else DemoPlan()
    out = out or Path("runs/demo-quick" if quick else "runs/demo")
    console = Console(markup=False)
    load_lightning()
    try:
        result = run_demo(out, plan, lambda line: console.print(line, highlight=False, soft_wrap=True))
    except (Interrupted, KeyboardInterrupt):
        console.print(
            "stopped; the training so far is saved. Continue with: throughtime demo "
            f"{'--quick ' if quick else ''}--out {out}",
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    console.print(table_of(result.models))
    _print_more(console, result)


def table_of(models: tuple[ModelRow, ...]) -> Table:
    """Return the table of models for a terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("model", "accuracy", "95 % interval", "parameters", "training", "tokens/s"):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for row in models:
        table.add_row(
            printable(row.name),
            f"{100 * row.accuracy:.1f} %",
            f"{100 * row.low:.1f} – {100 * row.high:.1f}",
            "" if row.parameters is None else f"{row.parameters:,}",
            "" if row.seconds is None else f"{row.seconds:.0f} s",
            "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}",
        )
    return table


def _print_more(console: Console, result: DemoResult) -> None:
    console.print(
        f"Precision at 20, with 1 % of the test operators replaced: {100 * result.precision:.0f} % of the 20 "
        "highest scores are replacements.",
        highlight=False,
        soft_wrap=True,
    )
    log = result.log
    place = "is not among" if log.rank is None else f"is number {log.rank} of"
    console.print(
        f"Log of {log.tests} tests that passed, with a fault in {log.faulty} of {log.sessions} requests: the "
        f"fault {place} the {len(log.lines)} most surprising lines.",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"report:        {result.report}", highlight=False)
    program = Path(sys.argv[0])
    here = Path.cwd()
    if program.is_absolute():
        program = program.relative_to(here) if program.is_relative_to(here) else Path(program.name)
    best = printable(str(result.best_run))
    console.print(f"try it:        {program} predict {best} SOME_FILE.py", highlight=False)
