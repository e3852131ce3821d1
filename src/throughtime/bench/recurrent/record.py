"""What was measured, as rows and as the JSON file."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from throughtime.bench.machine import Machine
from throughtime.bench.recurrent.case import Shape

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Row:
    """One comparison: medians in seconds, and ``ratio`` = peer ÷ ours, so that more than 1 is faster.

    ``limit_gflops`` is what multiply-adds on registers alone reached meanwhile, as one more contender.
    """

    cell: str
    shape: Shape
    lengths: str
    mode: str
    peer: str
    ours_s: float
    peer_s: float
    gflops: float
    limit_gflops: float | None = None

    @property
    def share(self) -> float:
        """Return our part of the limit, NaN where it was not measured."""
        return math.nan if self.limit_gflops is None else self.gflops / self.limit_gflops

    @property
    def ratio(self) -> float:
        """Return how many times faster we are."""
        return self.peer_s / self.ours_s

    @property
    def what(self) -> tuple[str, Shape, str, str]:
        """Return what was measured, whoever the peer is."""
        return self.cell, self.shape, self.lengths, self.mode


@dataclass(frozen=True)
class TraceRow:
    """What a trace costs: medians in seconds, and ``ratio`` = trace ÷ plain call."""

    cell: str
    shape: Shape
    lengths: str
    mode: str
    plain_s: float
    trace_s: float

    @property
    def ratio(self) -> float:
        """Return how many times longer a trace takes."""
        return self.trace_s / self.plain_s


@dataclass(frozen=True)
class LinearRow:
    """One sequence of so many steps: the median time per token in seconds."""

    cell: str
    shape: Shape
    mode: str
    token_s: float
    gflops: float


@dataclass(frozen=True)
class MemoryRow:
    """Peak resident bytes of fresh processes that train, and ``ratio`` = torch ÷ ours."""

    cell: str
    shape: Shape
    lengths: str
    ours_bytes: int
    torch_bytes: int

    @property
    def ratio(self) -> float:
        """Return how many times less memory we take."""
        return self.torch_bytes / self.ours_bytes


@dataclass
class Record:
    """Everything of one run, as far as it came."""

    machine: Machine
    notes: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    step: list[Row] = field(default_factory=list)
    trace: list[TraceRow] = field(default_factory=list)
    linear: list[LinearRow] = field(default_factory=list)
    memory: list[MemoryRow] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a line, once."""
        if text not in self.notes:
            self.notes.append(text)


def write_json(path: Path, record: Record) -> None:
    """Write all rows with the machine they were measured on."""
    content = {
        "format": "throughtime bench",
        "format_version": FORMAT_VERSION,
        "machine": asdict(record.machine),
        "notes": record.notes,
        "rows": _plain(record.rows),
        "step": _plain(record.step),
        "trace": _plain(record.trace),
        "linear": _plain(record.linear),
        "memory": _plain(record.memory),
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _plain(rows: Sequence[Row | TraceRow | LinearRow | MemoryRow]) -> list[dict[str, Any]]:
    return [
        {**asdict(row), "shape": str(row.shape)}
        | ({} if isinstance(row, LinearRow) else {"ratio": round(row.ratio, 4)})
        for row in rows
    ]
