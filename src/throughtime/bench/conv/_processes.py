"""The same plan in several processes, one after the other.

How fast a layer of torch runs depends on where its process happens to find memory: the same shape takes up to
half as long again in another one. So one process is no measurement.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from throughtime.bench.conv._plan import Plan
from throughtime.errors import ThroughtimeError


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Start a fresh process that measures everything, and yield each comparison when it comes."""
    command = [sys.executable, "-m", "throughtime.bench.conv._worker", json.dumps(asdict(plan))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:  # noqa: S603 - our own
        try:
            for line in worker.stdout or ():
                yield json.loads(line)
        except BaseException:
            worker.terminate()
            raise
    if worker.returncode:
        raise ThroughtimeError(
            f"the process that measures ended with status {worker.returncode}; its message stands above"
        )
