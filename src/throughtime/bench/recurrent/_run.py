"""The recurrent layers against every peer: prepared, checked against each other, timed in turns."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from throughtime._native import fma_limit
from throughtime.bench._agreement import TOLERANCE, apart
from throughtime.bench._lengths import Lengths, Mode, kinds_of
from throughtime.bench._timing import in_turns
from throughtime.bench.recurrent.case import SHAPES, Case, Cell, Shape, make_case
from throughtime.bench.recurrent.peers import Contender, Prepared, SkipCaseError
from throughtime.bench.recurrent.peers import ours as ours_peer
from throughtime.bench.recurrent.record import Row


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long: each call gets ``seconds`` in each of the ``rounds``."""

    cells: Sequence[Cell] = ("LSTM", "GRU", "RNN")
    shapes: Sequence[Shape] = SHAPES
    kinds: Sequence[Lengths] = ("equal", "ragged")
    modes: Sequence[Mode] = ("inference", "training")
    rounds: int = 5
    seconds: float = 0.06


@dataclass(frozen=True)
class Measured:
    """One case in one mode: a row for each peer, and a line for each that was left out."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run(plan: Plan, peers: Sequence[Contender]) -> Iterator[Measured]:
    """Measure everything in the plan, and yield each case as soon as it is done."""
    for shape in plan.shapes:
        for cell in plan.cells:
            for kind in kinds_of(shape.batch, plan.kinds):
                case = make_case(cell, shape, kind)
                for mode in plan.modes:
                    yield _measure(plan, case, mode, peers)


def _measure(plan: Plan, case: Case, mode: Mode, peers: Sequence[Contender]) -> Measured:
    measured = Measured()
    ours = ours_peer.prepare(case, mode)
    expected = ours.results(ours.run())
    ready: list[tuple[str, Prepared]] = []
    for peer in peers:
        try:
            prepared = peer.prepare(case, mode)
            _check_agreement(prepared, expected, peer.name, case)
        except SkipCaseError as reason:
            measured.notes.append(str(reason))
            continue
        ready.append((peer.name, prepared))
    if not ready:
        return measured
    # The limit is measured in turns with the libraries: on a shared machine it changes from minute to minute.
    limits: list[float] = []
    threads = torch.get_num_threads()
    calls = [
        ours.run,
        lambda: limits.append(fma_limit(threads, 20)),
        *(prepared.run for _, prepared in ready),
    ]
    ours_s, _, *peers_s = in_turns(calls, plan.rounds, plan.seconds)
    gflops, limit = round(case.operations(mode) / ours_s / 1e9, 2), round(statistics.median(limits), 1)
    measured.rows.extend(
        Row(case.cell, case.shape, case.kind, mode, name, ours_s, seconds, gflops, limit)
        for (name, _), seconds in zip(ready, peers_s, strict=True)
    )
    return measured


def _check_agreement(prepared: Prepared, expected: tuple[torch.Tensor, ...], peer: str, case: Case) -> None:
    """Refuse a peer that computes something else: a time would mean nothing."""
    for found, wanted in zip(prepared.results(prepared.run()), expected, strict=True):
        if found.shape != wanted.shape:
            raise SkipCaseError(
                f"{peer} is left out for {case.cell} {case.shape}, {case.kind} lengths: its result has shape "
                f"{tuple(found.shape)}, ours {tuple(wanted.shape)}"
            )
        error = apart(found, wanted)
        if not error < TOLERANCE:
            raise SkipCaseError(
                f"{peer} is left out for {case.cell} {case.shape}, {case.kind} lengths: its results differ "
                f"from ours by {error:.1e} of the largest"
            )
