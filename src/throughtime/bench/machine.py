"""Description of the machine of a measurement."""

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
    """Processor, versions, and peak FMA throughput in GFLOP/s.

    ``load`` is the load average of the last minute, None if the system does not provide it.
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
    """Describe this machine and the versions of peers; measures the peak throughput, for 0.3 seconds."""
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
    """Measure the peak throughput again, and return the machine with the higher value.

    Other programs that run during a measurement reduce it.
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
