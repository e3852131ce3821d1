"""What was measured, as rows and as the JSON file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from throughtime.bench._machine import Machine

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Row:
    """One comparison: medians in seconds, and ``ratio`` = peer ÷ ours, so that more than 1 is faster."""

    cell: str
    shape: str
    lengths: str
    mode: str
    peer: str
    ours_s: float
    peer_s: float
    gflops: float

    @property
    def ratio(self) -> float:
        """Return how many times faster we are."""
        return self.peer_s / self.ours_s

    @property
    def what(self) -> tuple[str, str, str, str]:
        """Return what was measured, whoever the peer is."""
        return self.cell, self.shape, self.lengths, self.mode


def write_json(path: Path, rows: Sequence[Row], machine: Machine, notes: Sequence[str]) -> None:
    """Write all rows with the machine they were measured on."""
    content = {
        "format": "throughtime bench",
        "format_version": FORMAT_VERSION,
        "machine": asdict(machine),
        "notes": list(notes),
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
