"""Measurements as rows and as a JSON file."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from throughtime.bench.chart import Point
from throughtime.bench.machine import Machine
from throughtime.bench.means import Line

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Comparison:
    """One comparison of one process: median seconds of both, or a note why it was left out."""

    part: str
    what: str
    lengths: str
    mode: str
    peer: str
    operations: float
    ours_s: float | None = None
    peer_s: float | None = None
    note: str | None = None


@dataclass
class Row:
    """One comparison over all processes: our and the peer's seconds, one median from each process."""

    part: str
    what: str
    lengths: str
    mode: str
    peer: str
    operations: float
    ours_s: list[float] = field(default_factory=list)
    peer_s: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Return peer ÷ ours of each process, sorted; above 1 ours is faster."""
        return sorted(peer / ours for ours, peer in zip(self.ours_s, self.peer_s, strict=True))

    @property
    def ratio(self) -> float:
        """Return the median ratio over processes."""
        return statistics.median(self.ratios)

    @property
    def gflops(self) -> float:
        """Return our median speed, counting matrix products only; 0 if there are none."""
        return self.operations / statistics.median(self.ours_s) / 1e9


@dataclass
class Record:
    """All measurements of one run of the command so far."""

    machine: Machine
    processes: int = 0
    """Number of finished processes."""
    notes: list[str] = field(default_factory=list)
    rows: dict[tuple[str, ...], Row] = field(default_factory=dict)

    def add(self, new: Comparison) -> None:
        """Add one comparison of one process, or its note."""
        if new.note is not None:
            self.note(new.note)
        if new.ours_s is None or new.peer_s is None:
            return
        key = (new.part, new.what, new.lengths, new.mode, new.peer)
        row = self.rows.setdefault(key, Row(*key, operations=new.operations))
        row.ours_s.append(new.ours_s)
        row.peer_s.append(new.peer_s)

    def note(self, text: str) -> None:
        """Add a note unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)


def summarize(rows: Sequence[Row]) -> list[Line]:
    """Summarize the ratios by part, mode and lengths, and by peer where a part has several."""
    lines = []
    for title in dict.fromkeys(map(_title, rows)):
        chosen = [row for row in rows if _title(row) == title]
        lines.append(Line.of(title, [(row.ratio, row.what) for row in chosen]))
    return lines


def _title(row: Row) -> str:
    part = f"{row.part} of {row.peer}" if row.part == "length" else row.part
    return f"{part}, {row.mode}, {row.lengths}"


def points_of(rows: Sequence[Row]) -> list[Point]:
    """Return the points of the chart: one panel per part, one series per mode and lengths."""
    return [
        Point(
            f"{row.part}: {row.peer} ÷ ours",
            row.what,
            f"{row.mode}, {row.lengths}",
            row.ratio,
            row.ratios[0],
            row.ratios[-1],
        )
        for row in rows
    ]


def write_json(path: Path, record: Record) -> None:
    """Write all rows, with the machine they were measured on."""
    content = {
        "format": "throughtime bench conv",
        "format_version": FORMAT_VERSION,
        "machine": asdict(record.machine),
        "processes": record.processes,
        "notes": record.notes,
        "rows": [
            {
                **asdict(row),
                "ratio": round(row.ratio, 4),
                "ratio_low": round(row.ratios[0], 4),
                "ratio_high": round(row.ratios[-1], 4),
                "gflops": round(row.gflops, 2),
            }
            for row in record.rows.values()
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
