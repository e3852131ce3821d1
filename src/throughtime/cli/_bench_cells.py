"""``throughtime bench cells``: measure, print each comparison and the means, and save them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from throughtime._importing import INTERRUPTED
from throughtime.bench.cells import PARTS, Plan, Row, measure
from throughtime.bench.machine import Machine, this_machine
from throughtime.bench.means import geometric_mean
from throughtime.bench.recurrent.case import SHAPES, Shape
from throughtime.cli._bench_options import busy, chosen, console_of, machine_line, shape_of, time_shown

FORMAT_VERSION = 1
_NUMBERS = "four positive numbers B,T,I,H such as 32,100,64,64"


@dataclass(frozen=True)
class CellsBenchOptions:
    """Options as the command line gives them; lists are comma-separated."""

    parts: str
    shapes: Sequence[str]
    lengths: str
    modes: str
    threads: int
    rounds: int
    out: Path


def bench_cells(options: CellsBenchOptions) -> None:
    """Measure, print a line for each comparison and a table of means, write cells.json."""
    plan = _plan(options)
    options.out.mkdir(parents=True, exist_ok=True)  # fail before minutes of measuring
    console, machine = console_of(), this_machine(options.threads)
    rows: list[Row] = []
    notes = busy(machine)

    def line(text: str, style: str | None = None) -> None:
        console.print(text, style=style, soft_wrap=True, markup=False)

    for text in (machine_line(machine), *notes):
        line(text)
    try:
        for measured in measure(plan):
            if isinstance(measured, str):
                notes.append(measured)
                line(measured, "yellow")
                continue
            rows.append(measured)
            line(_shown(measured))
    except KeyboardInterrupt:
        line("stopped; the measurements so far are saved")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if rows:
            console.print(_means(rows))
            path = options.out / "cells.json"
            _write(path, machine, notes, rows)
            line(f"saved {path}")


def _shown(row: Row) -> str:
    unit = "x the time of" if row.ratio_of == "time" else "x as fast as"
    return (
        f"{row.part:11}{row.what:34}{row.lengths:8}{row.mode:11}{time_shown(row.first_s):>8}  "
        f"{row.first} {row.ratio:.2f} {unit} {row.second}"
    )


def _means(rows: Sequence[Row]) -> Table:
    table = Table(
        "part", "ratio", "mode", "lengths", "geometric mean", "worst", "worst case", "cases", box=None
    )
    keys = dict.fromkeys(
        (row.part, row.first, row.second, row.ratio_of, row.mode, row.lengths) for row in rows
    )
    for key in keys:
        part, first, second, ratio_of, mode, lengths = key
        chosen_rows = [
            row
            for row in rows
            if (row.part, row.first, row.second, row.ratio_of, row.mode, row.lengths) == key
        ]
        worst = (max if ratio_of == "time" else min)(chosen_rows, key=lambda row: row.ratio)
        quotient = f"{first} / {second}" if ratio_of == "time" else f"{second} / {first}"
        mean = geometric_mean(row.ratio for row in chosen_rows)
        table.add_row(
            part,
            quotient,
            mode,
            lengths,
            f"{mean:.2f}",
            f"{worst.ratio:.2f}",
            worst.what,
            str(len(chosen_rows)),
        )
    return table


def _write(path: Path, machine: Machine, notes: Sequence[str], rows: Sequence[Row]) -> None:
    content = {
        "format": "throughtime bench cells",
        "format_version": FORMAT_VERSION,
        "machine": asdict(machine),
        "notes": list(notes),
        "rows": [{**asdict(row), "ratio": round(row.ratio, 4)} for row in rows],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _plan(options: CellsBenchOptions) -> Plan:
    kinds: Any = chosen(options.lengths, ("equal", "ragged"), "lengths")
    modes: Any = chosen(options.modes, ("inference", "training"), "modes")
    shapes = [shape_of(text, Shape, _NUMBERS) for text in options.shapes] or SHAPES
    parts = chosen(options.parts, tuple(PARTS), "parts")
    return Plan(parts, shapes, kinds, modes, options.threads, options.rounds)
