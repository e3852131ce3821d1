"""Geometric means and worst cells, by mode and lengths."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from throughtime.bench._record import Row


@dataclass(frozen=True)
class Line:
    """Ratios of some rows: their geometric mean, and the worst of them."""

    what: str
    mean: float
    worst: float
    worst_at: str
    count: int


def summarize(rows: Sequence[Row]) -> list[Line]:
    """Summarize: against torch by lengths, and against the best of all peers."""
    lines = []
    for mode in ("training", "inference"):
        for lengths in ("ragged", "equal"):
            chosen = [
                row for row in rows if row.peer == "torch" and row.mode == mode and row.lengths == lengths
            ]
            lines += _line(f"{mode}, {lengths}, against torch", chosen)
        lines += _line(f"{mode}, against the best of all peers", best_of(r for r in rows if r.mode == mode))
    return lines


def best_of(rows: Iterable[Row]) -> list[Row]:
    """Return, of every thing measured, the row of the fastest peer."""
    best: dict[tuple[str, str, str, str], Row] = {}
    for row in rows:
        if row.what not in best or row.ratio < best[row.what].ratio:
            best[row.what] = row
    return list(best.values())


def geometric_mean(values: Iterable[float]) -> float:
    """Return exp of the mean logarithm."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))


def _line(what: str, rows: Sequence[Row]) -> list[Line]:
    if not rows:
        return []
    worst = min(rows, key=lambda row: row.ratio)
    place = f"{worst.cell} {worst.shape} {worst.lengths} ({worst.peer})"
    return [Line(what, geometric_mean(row.ratio for row in rows), worst.ratio, place, len(rows))]
