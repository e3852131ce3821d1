"""What the big table does not show: one step of a stream, the price of a trace, length, memory."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from throughtime.bench._lengths import Lengths, Mode
from throughtime.bench._timing import in_turns
from throughtime.bench.recurrent.case import Case, Cell, Shape, make_case
from throughtime.bench.recurrent.peers import ours as ours_peer
from throughtime.bench.recurrent.record import LinearRow, MemoryRow, Row, TraceRow

EXTRAS = ("step", "trace", "linear", "memory")
"""Names of the parts, as options take them."""

TRACED = (Shape(32, 100, 64, 64), Shape(32, 128, 256, 256))
STEPS = (100, 1000, 10_000, 100_000)
TRAINED = Shape(32, 128, 256, 256)

_GATED: tuple[Cell, ...] = ("LSTM", "GRU")
_CELLS: tuple[Cell, ...] = ("LSTM", "GRU", "RNN")
_KINDS: tuple[Lengths, ...] = ("equal", "ragged")
_MODES: tuple[Mode, ...] = ("inference", "training")


def step_rows(rounds: int, seconds: float) -> Iterator[Row]:
    """Measure one step at batch 1, 64 units, without gradients: `step` against a call of torch's layer."""
    shape = Shape(1, 1, 64, 64)
    for cell in _GATED:
        case = make_case(cell, shape, "equal")
        ours, theirs = _step_calls(case)
        with torch.no_grad():
            ours_s, torch_s = in_turns([ours, theirs], rounds, seconds)
        gflops = round(case.operations("inference") / ours_s / 1e9, 2)
        yield Row(cell, shape, "equal", "step", "torch", ours_s, torch_s, gflops)


def _step_calls(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    step: Any = ours_peer.layer_of(case).step
    x = case.values
    sequence = x[None]
    with torch.no_grad():
        _, state = case.layer(sequence)
    return lambda: step(x, state), lambda: case.layer(sequence, state)


def trace_rows(rounds: int, seconds: float, shapes: Sequence[Shape] = TRACED) -> Iterator[TraceRow]:
    """Measure the plain call against the trace of the same layer, both without peers."""
    for shape in shapes:
        for cell in _CELLS:
            for kind in _KINDS:
                case = make_case(cell, shape, kind)
                for mode in _MODES:
                    calls = [
                        ours_peer.prepare(case, mode).run,
                        ours_peer.prepare(case, mode, traced=True).run,
                    ]
                    plain, traced = in_turns(calls, rounds, seconds)
                    yield TraceRow(cell, shape, kind, mode, plain, traced)


def linear_rows(rounds: int, seconds: float, steps: Sequence[int] = STEPS) -> Iterator[LinearRow]:
    """Measure one sequence as it grows: per token the time should stay the same."""
    for cell in _GATED:
        for mode in _MODES:
            for count in steps:
                case = make_case(cell, Shape(1, count, 64, 64), "equal")
                (ours,) = in_turns([ours_peer.prepare(case, mode).run], rounds, seconds)
                gflops = round(case.operations(mode) / ours / 1e9, 2)
                yield LinearRow(cell, case.shape, mode, ours / count, gflops)


def memory_rows(threads: int, shape: Shape = TRAINED) -> Iterator[MemoryRow]:
    """Measure the peak memory of fresh processes that train five steps, with ours and with torch."""
    for cell in _CELLS:
        for kind in _KINDS:
            ours, torchs = (_peak(who, cell, kind, shape, threads) for who in ("ours", "torch"))
            yield MemoryRow(cell, shape, kind, ours, torchs)


def _peak(who: str, cell: str, kind: str, shape: Shape, threads: int) -> int:
    numbers = map(str, (*shape, threads))
    command = [sys.executable, "-m", "throughtime.bench.recurrent._train_once", who, cell, kind, *numbers]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - our own
    return int(done.stdout.split()[-1])
