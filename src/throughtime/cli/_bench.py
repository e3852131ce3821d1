"""``throughtime bench``: measure, and say what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from throughtime.bench import Plan, Row, run
from throughtime.bench._case import SHAPES, Shape
from throughtime.bench._chart import write_chart
from throughtime.bench._extras import length_rows, memory_rows, step_rows, trace_rows
from throughtime.bench._machine import Machine, this_machine
from throughtime.bench._record import write_json
from throughtime.bench._summary import geometric_mean, summarize
from throughtime.bench.peers import PEERS, find
from throughtime.errors import ShapeError


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
    extras: bool


def bench_recurrent(options: BenchOptions) -> None:
    """Measure the recurrent layers, print tables, write recurrent.json and recurrent.html."""
    console = Console(width=None if Console().is_terminal else 140)
    plan = _plan(options)
    torch.set_num_threads(options.threads)
    peers, missing = find(_chosen(options.peers, PEERS, "peers"), options.threads)
    machine = this_machine(peers, options.threads)
    console.print(
        f"{machine.processor}, {machine.cores} cores, {machine.threads} threads, {machine.instruction_set}; "
        f"multiply-adds on registers alone: {machine.fma_gflops:.0f} GFLOP/s"
    )
    for line in missing:
        console.print(line, style="yellow")
    names = [peer.name for peer in peers]
    columns = f"{'cell':5}{'shape':24}{'lengths':8}{'mode':11}{'ours':>10}{'GFLOP/s':>9}{'% limit':>9}"
    console.print(columns + "".join(f"{name:>13}" for name in names), style="bold", highlight=False)
    outcome = run(plan, peers, lambda rows: _print_case(console, rows, names, machine))
    _print_summary(console, outcome.rows)
    for note in outcome.notes:
        console.print(note, style="yellow")
    options.out.mkdir(parents=True, exist_ok=True)
    extra = _extras(console, plan) if options.extras else []
    write_json(options.out / "recurrent.json", [*outcome.rows, *extra], machine, [*missing, *outcome.notes])
    write_chart(options.out / "recurrent.html", outcome.rows, machine)
    console.print(f"written: {options.out / 'recurrent.json'}, {options.out / 'recurrent.html'}")


def _plan(options: BenchOptions) -> Plan:
    cells: Any = _chosen(options.cells, ("LSTM", "GRU", "RNN"), "cells")
    kinds: Any = _chosen(options.lengths, ("equal", "ragged"), "lengths")
    modes: Any = _chosen(options.modes, ("inference", "training"), "modes")
    shapes = [_shape(text) for text in options.shapes] or SHAPES
    return Plan(cells, shapes, kinds, modes, options.rounds)


def _chosen(text: str, known: Sequence[str], option: str) -> list[str]:
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    for part in chosen:
        if part not in known:
            raise ShapeError(f"--{option}: {part!r} is none of {', '.join(known)}")
    return chosen


def _shape(text: str) -> Shape:
    try:
        shape = Shape(*map(int, text.split(",")))
    except (TypeError, ValueError):
        shape = Shape(0, 0, 0, 0)
    if min(shape) < 1:
        raise ShapeError(f"--shape takes four positive numbers B,T,I,H such as 32,100,64,64, got {text!r}")
    return shape


def _print_case(console: Console, rows: Sequence[Row], names: Sequence[str], machine: Machine) -> None:
    if not rows:
        return
    first = rows[0]
    share = 100 * first.gflops / machine.fma_gflops
    line = (
        f"{first.cell:5}{first.shape:24}{first.lengths:8}{first.mode:11}{_time(first.ours_s):>10}"
        f"{first.gflops:9.0f}{share:9.0f}"
    )
    ratios = {row.peer: f"{row.ratio:.2f} x" for row in rows}
    console.print(line + "".join(f"{ratios.get(name, '–'):>13}" for name in names), highlight=False)


def _print_summary(console: Console, rows: Sequence[Row]) -> None:
    table = Table("peer ÷ ours", "geometric mean", "worst", "at", "of", box=None)
    for line in summarize(rows):
        table.add_row(line.what, f"{line.mean:.2f}", f"{line.worst:.2f}", line.worst_at, str(line.count))
    console.print(table)


def _extras(console: Console, plan: Plan) -> list[Row]:
    found = []
    console.print("one step at batch 1, 64 units, without gradients", style="bold")
    for row in step_rows(plan.rounds, plan.seconds):
        console.print(f"  {row.cell:5}{_time(row.ours_s):>10}, torch {_time(row.peer_s)}: {row.ratio:.2f} x")
        found.append(row)
    console.print("trace ÷ plain call", style="bold")
    traces = list(trace_rows(plan.rounds, plan.seconds))
    for mode in ("inference", "training"):
        ratios = [row.ratio for row in traces if row.mode == mode]
        console.print(f"  {mode}: geometric mean {geometric_mean(ratios):.2f}, worst {max(ratios):.2f}")
    found += traces
    console.print("training, one sequence, 64 units, per token", style="bold")
    for row in length_rows(max(plan.rounds // 2, 1), plan.seconds):
        console.print(f"  {row.cell:5}{row.shape:24}{_time(row.ours_s):>10}")
        found.append(row)
    console.print("peak resident memory of a fresh training process (32,128,256,256)", style="bold")
    for cell, kind, ours, torchs in memory_rows():
        console.print(f"  {cell:5}{kind:8}{ours / 2**20:8.0f} MB, torch {torchs / 2**20:.0f} MB")
    return found


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
