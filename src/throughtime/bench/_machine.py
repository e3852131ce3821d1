"""The machine a figure belongs to."""

import datetime as dt
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from throughtime._native import fma_limit, instruction_set
from throughtime.bench.peers import Contender


@dataclass(frozen=True)
class Machine:
    """Processor, versions, and the limit that arithmetic on registers alone reaches, in GFLOP/s."""

    processor: str
    cores: int
    threads: int
    instruction_set: str
    fma_gflops: float
    date: str
    versions: dict[str, str]


def this_machine(peers: Sequence[Contender], threads: int) -> Machine:
    """Describe this machine; takes a third of a second for the limit."""
    versions = {
        "python": platform.python_version(),
        "throughtime": version("throughtime"),
        "torch": torch.__version__,
        **{peer.name: peer.version for peer in peers},
    }
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=threads,
        instruction_set=instruction_set(),
        fma_gflops=round(fma_limit(threads, 300), 1),
        date=dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d"),
        versions=versions,
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
