"""``throughtime bench conv``: measure in several processes, print tables and save them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from throughtime._importing import INTERRUPTED
from throughtime.bench.chart import write_chart
from throughtime.bench.conv import PARTS, SHAPES, Plan, Record, Row, Shape, measure
from throughtime.bench.conv.growth import ABOUT, TITLE, growth_panels
from throughtime.bench.conv.record import points_of, summarize, write_json
from throughtime.bench.conv.tasks import tasks
from throughtime.bench.machine import this_machine, with_limit_again
from throughtime.cli._bench_options import busy, chosen, console_of, machine_line, shape_of, time_shown
from throughtime.errors import ShapeError

_NUMBERS = "six positive numbers B,T,C,O,K,dilation such as 64,64,128,100,3,1"


@dataclass(frozen=True)
class ConvBenchOptions:
    """Options as the command line gives them; lists are comma-separated."""

    parts: str
    shapes: Sequence[str]
    lengths: str
    modes: str
    threads: int
    rounds: int
    processes: int
    out: Path


def bench_conv(options: ConvBenchOptions) -> None:
    """Measure, print tables, write conv.json and conv.html."""
    plan = _plan(options)
    if next(tasks(plan), None) is None:
        raise ShapeError(
            "these options select nothing to measure; a shape with one sequence needs --lengths equal"
        )
    options.out.mkdir(parents=True, exist_ok=True)  # fail before minutes of measuring
    record, console = Record(this_machine(options.threads)), console_of()
    for line in (machine_line(record.machine), *busy(record.machine)):
        console.print(line, soft_wrap=True, markup=False)
    record.notes += busy(record.machine)
    try:
        for number in range(1, options.processes + 1):
            progress = f"process {number} of {options.processes}"
            if not console.is_terminal:  # where there is no status line
                console.print(progress)
            with console.status(progress) as status:
                for comparison in measure(plan):
                    record.add(comparison)
                    status.update(f"{progress}: {comparison.part}, {comparison.what}")
            record.processes = number
        record.machine = with_limit_again(record.machine)
    except KeyboardInterrupt:
        console.print("stopped; the measurements so far are saved")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        _show(record, console)
        if record.rows:  # keep an earlier file if nothing was measured
            _write(options.out, record, console)


def _show(record: Record, console: Console) -> None:
    rows = list(record.rows.values())
    for part in dict.fromkeys(row.part for row in rows):
        console.print(_table(part, [row for row in rows if row.part == part], record.machine.fma_gflops))
    if rows:
        table = Table("peer ÷ ours", "geometric mean", "worst", "worst case", "cases", box=None)
        for line in summarize(rows):
            table.add_row(line.what, f"{line.mean:.2f}", f"{line.worst:.2f}", line.worst_at, str(line.count))
        console.print(table)
    for note in record.notes:
        console.print(note, style="yellow", soft_wrap=True, markup=False)


def _table(part: str, rows: Sequence[Row], limit: float) -> Table:
    table = Table(part, "lengths", "mode", "ours", "% peak", "peer", "ratio", "from", "to", box=None)
    for column in table.columns[1:]:
        column.no_wrap = True  # in a narrow terminal only the first column wraps
    for row in rows:
        low, high = row.ratios[0], row.ratios[-1]
        table.add_row(
            row.what,
            row.lengths,
            row.mode,
            time_shown(statistics.median(row.ours_s)),
            f"{100 * row.gflops / limit:.0f}" if row.operations else "",
            row.peer,
            f"{row.ratio:.2f} x",
            f"{low:.2f}",
            f"{high:.2f}",
        )
    return table


def _write(out: Path, record: Record, console: Console) -> None:
    files = [out / "conv.json", out / "conv.html"]
    write_json(files[0], record)
    growing = [row for row in record.rows.values() if row.part == "length"]
    others = [row for row in record.rows.values() if row.part != "length"]
    write_chart(
        files[1],
        "Benchmark of convolutional layers" if others else TITLE,
        points_of(others),
        record.machine,
        times=growth_panels(growing),
        about_times=ABOUT,
        notes=record.notes,
    )
    console.print(f"saved {', '.join(map(str, files))}", soft_wrap=True, markup=False)


def _plan(options: ConvBenchOptions) -> Plan:
    kinds: Any = chosen(options.lengths, ("equal", "ragged"), "lengths")
    modes: Any = chosen(options.modes, ("inference", "training"), "modes")
    shapes = [shape_of(text, Shape, _NUMBERS) for text in options.shapes] or SHAPES
    parts = chosen(options.parts, PARTS, "parts")
    return Plan(parts, shapes, kinds, modes, options.threads, options.rounds)
