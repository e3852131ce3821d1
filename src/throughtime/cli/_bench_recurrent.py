"""``throughtime bench recurrent``: measure, print tables and save them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer

from throughtime._importing import INTERRUPTED
from throughtime.bench.chart import write_chart
from throughtime.bench.machine import this_machine, with_limit_again
from throughtime.bench.recurrent import Plan, run
from throughtime.bench.recurrent.case import SHAPES, Shape
from throughtime.bench.recurrent.extras import EXTRAS, linear_rows, memory_rows, step_rows, trace_rows
from throughtime.bench.recurrent.peers import PEERS, find
from throughtime.bench.recurrent.points import points_of
from throughtime.bench.recurrent.record import Record, write_json
from throughtime.cli._bench_options import busy, chosen, console_of, shape_of
from throughtime.cli._bench_recurrent_tables import Printer

_NUMBERS = "four positive numbers B,T,I,H such as 32,100,64,64"


@dataclass(frozen=True)
class BenchOptions:
    """Options as the command line gives them; lists are comma-separated."""

    peers: str
    cells: str
    shapes: Sequence[str]
    lengths: str
    modes: str
    threads: int
    rounds: int
    out: Path
    extras: str


def bench_recurrent(options: BenchOptions) -> None:
    """Measure the recurrent layers, print tables, write recurrent.json and recurrent.html."""
    plan, names = _plan(options), chosen(options.peers, PEERS, "peers")
    extras = chosen(options.extras, EXTRAS, "extras")
    options.out.mkdir(parents=True, exist_ok=True)  # fail before minutes of measuring
    torch.set_num_threads(options.threads)
    peers, missing = find(names, options.threads)
    record = Record(this_machine(options.threads, {peer.name: peer.version for peer in peers}), notes=missing)
    for note in busy(record.machine):
        record.note(note)
    printer = Printer(console_of(), [peer.name for peer in peers])
    printer.head(record)
    try:
        for measured in run(plan, peers):
            record.rows += measured.rows
            for note in measured.notes:
                record.note(note)
            printer.case(measured.rows)
        record.machine = with_limit_again(record.machine)
        printer.summary(record)
        _measure_extras(extras, plan, options.threads, record, printer)
    except KeyboardInterrupt:
        printer.line("stopped; the measurements so far are saved")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        _write(options.out, record, printer)


def _measure_extras(
    extras: Sequence[str], plan: Plan, threads: int, record: Record, printer: Printer
) -> None:
    if "step" in extras:
        record.step += step_rows(plan.rounds, plan.seconds)
        printer.step(record.step)
    if "trace" in extras:
        record.trace += trace_rows(plan.rounds, plan.seconds)
        printer.trace(record.trace)
    if "linear" in extras:
        record.linear += linear_rows(plan.rounds, plan.seconds)
        printer.linear(record.linear)
    if "memory" in extras:
        record.memory += memory_rows(threads)
        printer.memory(record.memory)


def _write(out: Path, record: Record, printer: Printer) -> None:
    files = [out / "recurrent.json"]
    write_json(files[0], record)
    if record.rows:
        files.append(out / "recurrent.html")
        write_chart(
            files[1],
            "Benchmark of recurrent layers",
            points_of(record.rows),
            record.machine,
            notes=record.notes,
        )
    printer.line(f"saved {', '.join(map(str, files))}")


def _plan(options: BenchOptions) -> Plan:
    cells: Any = chosen(options.cells, ("LSTM", "GRU", "RNN"), "cells")
    kinds: Any = chosen(options.lengths, ("equal", "ragged"), "lengths")
    modes: Any = chosen(options.modes, ("inference", "training"), "modes")
    shapes = [shape_of(text, Shape, _NUMBERS) for text in options.shapes] or SHAPES
    return Plan(cells, shapes, kinds, modes, options.rounds)
