"""What the big table does not show: one step of a stream, the price of a trace, length, memory."""

import subprocess
import sys
from collections.abc import Iterator

import torch

from throughtime.bench._case import Cell, Lengths, Shape, make_case
from throughtime.bench._record import Row
from throughtime.bench._timing import in_turns
from throughtime.bench.peers import _ours

_TRACED = (Shape(32, 100, 64, 64), Shape(32, 128, 256, 256))
_MEMORY = Shape(32, 128, 256, 256)


def step_rows(rounds: int, seconds: float) -> Iterator[Row]:
    """One step at batch 1, 64 units, without gradients: `step` against a call of torch's layer."""
    cells: tuple[Cell, ...] = ("LSTM", "GRU")
    shape = Shape(1, 1, 64, 64)
    for cell in cells:
        case = make_case(cell, shape, "equal")
        layer = _ours.layer_of(case)
        x = case.values
        with torch.no_grad():
            sequence = x[None]
            _, state = case.layer(sequence)
            ours, torchs = in_turns(
                [
                    lambda layer=layer, state=state, x=x: layer.step(x, state),  # type: ignore[misc]
                    lambda case=case, state=state, sequence=sequence: case.layer(sequence, state),  # type: ignore[misc]
                ],
                rounds,
                seconds,
            )
        yield Row(
            cell,
            str(shape),
            "equal",
            "step",
            "torch",
            ours,
            torchs,
            case.operations("inference") / ours / 1e9,
        )


def trace_rows(rounds: int, seconds: float) -> Iterator[Row]:
    """Return the plain call against the trace of the same layer; the ratio is what a trace costs."""
    cells: tuple[Cell, ...] = ("LSTM", "GRU", "RNN")
    for shape in _TRACED:
        for cell in cells:
            case = make_case(cell, shape, "ragged")
            layer = _ours.layer_of(case)
            x = _ours.input_of(case, case.values)
            leaf = case.values.clone().requires_grad_()
            with_leaf = x.with_values(leaf)
            parameters = [leaf, *layer.parameters()]

            def train(output: torch.Tensor, parameters=parameters, case=case) -> object:  # type: ignore[no-untyped-def]
                return torch.autograd.grad(output, parameters, case.gradient)

            def call(layer=layer, x=x) -> object:  # type: ignore[no-untyped-def]
                with torch.no_grad():
                    return layer(x)

            def trace(layer=layer, x=x) -> object:  # type: ignore[no-untyped-def]
                with torch.no_grad():
                    return layer.trace(x)

            plain, traced = in_turns([call, trace], rounds, seconds)
            yield Row(cell, str(shape), "ragged", "inference", "trace", plain, traced, 0.0)
            plain, traced = in_turns(
                [
                    lambda layer=layer, x=with_leaf, train=train: train(layer(x).output.values),  # type: ignore[misc]
                    lambda layer=layer, x=with_leaf, train=train: train(layer.trace(x).result.output.values),  # type: ignore[misc]
                ],
                rounds,
                seconds,
            )
            yield Row(cell, str(shape), "ragged", "training", "trace", plain, traced, 0.0)


def length_rows(rounds: int, seconds: float) -> Iterator[Row]:
    """Return training times of one sequence as it grows: per token they should stay the same."""
    cells: tuple[Cell, ...] = ("LSTM", "GRU")
    for cell in cells:
        for steps in (100, 1000, 10_000, 100_000):
            case = make_case(cell, Shape(1, steps, 64, 64), "equal")
            prepared = _ours.prepare(case, "training")
            (ours,) = in_turns([prepared.run], rounds, seconds)
            rate = case.operations("training") / ours / 1e9
            yield Row(
                cell, str(case.shape), "equal", "training", "per token", ours / steps, ours / steps, rate
            )


def memory_rows() -> Iterator[tuple[str, Lengths, int, int]]:
    """Return (cell, lengths, our peak, torch's peak) in bytes, of fresh processes that train five steps."""
    kinds: tuple[Lengths, ...] = ("equal", "ragged")
    cells: tuple[Cell, ...] = ("LSTM", "GRU", "RNN")
    for cell in cells:
        for kind in kinds:
            yield cell, kind, _peak("ours", cell, kind), _peak("torch", cell, kind)


def _peak(who: str, cell: str, kind: str) -> int:
    command = [sys.executable, "-m", "throughtime.bench._train_once", who, cell, kind, *map(str, _MEMORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own module
    return int(done.stdout.split()[-1])
