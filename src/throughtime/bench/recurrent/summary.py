"""Geometric means and worst cells, by mode and lengths."""

from collections.abc import Iterable, Sequence

from throughtime.bench.means import Line
from throughtime.bench.recurrent.record import Row


def summarize(rows: Sequence[Row]) -> list[Line]:
    """Summarize the ratios: against torch by lengths, and against the best of all peers."""
    lines = []
    for mode in ("training", "inference"):
        for lengths in ("ragged", "equal"):
            chosen = [
                row for row in rows if row.peer == "torch" and row.mode == mode and row.lengths == lengths
            ]
            lines += _line(f"{mode}, {lengths}, against torch", chosen)
        lines += _line(f"{mode}, against the best of all peers", best_of(r for r in rows if r.mode == mode))
    return lines


def shares(rows: Iterable[Row]) -> list[Line]:
    """Summarize our shares of the limit, where B ≥ 32 and H ≥ 256: enough work for all units."""
    large = {row.what: row for row in rows if row.shape.batch >= 32 and row.shape.hidden >= 256}
    lines = []
    for mode in ("training", "inference"):
        chosen = [row for row in large.values() if row.mode == mode]
        if chosen:
            lines.append(Line.of(mode, [(row.share, _place(row)) for row in chosen]))
    return lines


def best_of(rows: Iterable[Row]) -> list[Row]:
    """Return, of every thing measured, the row of the fastest peer."""
    best: dict[object, Row] = {}
    for row in rows:
        if row.what not in best or row.ratio < best[row.what].ratio:
            best[row.what] = row
    return list(best.values())


def _line(what: str, rows: Sequence[Row]) -> list[Line]:
    return [Line.of(what, [(row.ratio, f"{_place(row)} ({row.peer})") for row in rows])] if rows else []


def _place(row: Row) -> str:
    return f"{row.cell} {row.shape} {row.lengths}"
