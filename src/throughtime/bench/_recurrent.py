"""The recurrent layers against every peer: prepared, checked against each other, timed in turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from throughtime.bench._case import SHAPES, Case, Cell, Lengths, Mode, Shape, kinds_of, make_case
from throughtime.bench._record import Row
from throughtime.bench._timing import in_turns
from throughtime.bench.peers import Contender, Prepared, SkipCaseError, _ours


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long: each call gets ``seconds`` in each of the ``rounds``."""

    cells: Sequence[Cell] = ("LSTM", "GRU", "RNN")
    shapes: Sequence[Shape] = SHAPES
    kinds: Sequence[Lengths] = ("equal", "ragged")
    modes: Sequence[Mode] = ("inference", "training")
    rounds: int = 5
    seconds: float = 0.06


@dataclass
class Outcome:
    """Rows measured so far, and what was left out and why."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a line once."""
        if text not in self.notes:
            self.notes.append(text)


def run(plan: Plan, peers: Sequence[Contender], tell: Callable[[list[Row]], None]) -> Outcome:
    """Measure everything in the plan.

    Parameters
    ----------
    plan
        What to measure.
    peers
        Against whom.
    tell
        Called with the rows of each case as soon as they are there.
    """
    outcome = Outcome()
    for shape in plan.shapes:
        for cell in plan.cells:
            for kind in kinds_of(shape, plan.kinds):
                case = make_case(cell, shape, kind)
                for mode in plan.modes:
                    rows = _measure(plan, case, mode, peers, outcome)
                    outcome.rows += rows
                    tell(rows)
    return outcome


def _measure(plan: Plan, case: Case, mode: Mode, peers: Sequence[Contender], outcome: Outcome) -> list[Row]:
    ours = _ours.prepare(case, mode)
    expected = ours.results(ours.run())
    ready: list[tuple[str, Prepared]] = []
    for peer in peers:
        try:
            prepared = peer.prepare(case, mode)
            _check_agreement(prepared, expected, peer.name, case)
        except SkipCaseError as reason:
            outcome.note(str(reason))
            continue
        ready.append((peer.name, prepared))
    medians = in_turns([ours.run, *(prepared.run for _, prepared in ready)], plan.rounds, plan.seconds)
    gflops = case.operations(mode) / medians[0] / 1e9
    return [
        Row(case.cell, str(case.shape), case.kind, mode, name, medians[0], seconds, round(gflops, 2))
        for (name, _), seconds in zip(ready, medians[1:], strict=True)
    ]


def _check_agreement(prepared: Prepared, expected: tuple[torch.Tensor, ...], peer: str, case: Case) -> None:
    """Refuse a peer that computes something else: a time would mean nothing."""
    for found, wanted in zip(prepared.results(prepared.run()), expected, strict=True):
        scale = float(wanted.abs().max()) + 1e-6
        error = float((found - wanted).abs().max()) / scale
        if not error < 1e-3:
            raise SkipCaseError(
                f"{peer} is left out for {case.cell}, {case.kind} lengths: its results differ from ours by "
                f"{error:.1e} of the largest"
            )
