"""What was measured, as rows and as the JSON file."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from throughtime.bench.chart import Point
from throughtime.bench.machine import Machine
from throughtime.bench.means import Line

FORMAT_VERSION = 1


@dataclass
class Row:
    """One comparison: our and the peer's seconds, one median from each process."""

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
        """Return peer ÷ ours of each process, sorted; more than 1 is faster."""
        return sorted(peer / ours for ours, peer in zip(self.ours_s, self.peer_s, strict=True))

    @property
    def ratio(self) -> float:
        """Return the median of the processes."""
        return statistics.median(self.ratios)

    @property
    def gflops(self) -> float:
        """Return our speed in the median process, of products alone; 0 where there are none."""
        return self.operations / statistics.median(self.ours_s) / 1e9


@dataclass
class Record:
    """Everything of one run, as far as it came."""

    machine: Machine
    processes: int = 0
    """How many have come to their end."""
    notes: list[str] = field(default_factory=list)
    rows: dict[tuple[str, ...], Row] = field(default_factory=dict)

    def add(self, found: dict[str, Any]) -> None:
        """Take one comparison of one process."""
        if "note" in found:
            self.note(found["note"])
            return
        about = {name: found[name] for name in ("part", "what", "lengths", "mode", "peer")}
        row = self.rows.setdefault(tuple(about.values()), Row(**about, operations=found["operations"]))
        row.ours_s.append(found["ours_s"])
        row.peer_s.append(found["peer_s"])

    def note(self, text: str) -> None:
        """Keep a line, once."""
        if text not in self.notes:
            self.notes.append(text)


def summarize(rows: Sequence[Row]) -> list[Line]:
    """Summarize the ratios by part, mode and lengths."""
    lines = []
    for key in dict.fromkeys((row.part, row.mode, row.lengths) for row in rows):
        chosen = [row for row in rows if (row.part, row.mode, row.lengths) == key]
        lines.append(Line.of(", ".join(key), [(row.ratio, row.what) for row in chosen]))
    return lines


def points_of(rows: Sequence[Row]) -> list[Point]:
    """Return the points of the chart: a panel for each part, a series for each mode and lengths."""
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
    """Write all rows with the machine they were measured on."""
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
