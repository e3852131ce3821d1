"""The machine a figure belongs to."""

import datetime as dt
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from throughtime._native import fma_limit, instruction_set


@dataclass(frozen=True)
class Machine:
    """Processor, versions, and the limit that arithmetic on registers alone reaches, in GFLOP/s.

    ``load`` is how many threads were at work in the minute before, None where the system does not tell.
    """

    processor: str
    cores: int
    threads: int
    instruction_set: str
    fma_gflops: float
    load: float | None
    date: str
    versions: dict[str, str]


def this_machine(threads: int, peers: Mapping[str, str] | None = None) -> Machine:
    """Describe this machine, and the peers by their versions; takes a third of a second for the limit."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    versions = {
        "python": platform.python_version(),
        "throughtime": version("throughtime"),
        "torch": torch.__version__,
        **(peers or {}),
    }
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=threads,
        instruction_set=instruction_set(),
        fma_gflops=_limit(threads),
        load=load,
        date=dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d"),
        versions=versions,
    )


def with_limit_again(machine: Machine) -> Machine:
    """Return the machine with its limit measured again; the better one is kept.

    Anything else that runs while it is measured takes from it.
    """
    return replace(machine, fma_gflops=max(machine.fma_gflops, _limit(machine.threads)))


def _limit(threads: int) -> float:
    return round(max(fma_limit(threads, 100) for _ in range(3)), 1)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
