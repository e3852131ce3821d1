"""Measure one plan in several processes, one after the other.

The speed of torch's layers depends on the memory that a process happens to get: the same shape takes up to
1.5 times as long in another process. So several processes are measured.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict

from throughtime.bench.conv._plan import Plan
from throughtime.bench.conv.record import Comparison
from throughtime.errors import ThroughtimeError


def measure(plan: Plan) -> Iterator[Comparison]:
    """Start a process that measures the plan, and yield each comparison as it arrives."""
    command = [sys.executable, "-m", "throughtime.bench.conv._worker", json.dumps(asdict(plan))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:  # noqa: S603 - our own module
        try:
            for line in worker.stdout or ():
                yield Comparison(**json.loads(line))
        except BaseException:
            worker.terminate()
            raise
    if worker.returncode:
        raise ThroughtimeError(
            f"the benchmark process ended with status {worker.returncode}; see its message above"
        )
