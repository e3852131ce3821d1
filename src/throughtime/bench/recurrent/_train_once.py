"""A process of its own that trains a layer for five steps and prints its peak resident memory in bytes.

``python -m throughtime.bench.recurrent._train_once ours|torch CELL equal|ragged B T I H THREADS``
"""

import resource
import sys
from pathlib import Path
from typing import Any

import torch

from throughtime.bench.recurrent.case import Shape, make_case
from throughtime.bench.recurrent.peers import ours as ours_peer
from throughtime.bench.recurrent.peers import torch as torchs


def main(who: str, cell: Any, kind: Any, *numbers: str) -> int:
    """Train, and return the peak in bytes."""
    *sizes, threads = map(int, numbers)
    torch.set_num_threads(threads)
    case = make_case(cell, Shape(*sizes), kind)
    if who == "ours":
        prepared = ours_peer.prepare(case, "training")
    else:
        prepared = torchs.contender(threads).prepare(case, "training")
    for _ in range(5):
        prepared.run()
    return peak_memory()


def peak_memory() -> int:
    """Return the most bytes that were resident since this program began.

    Not ``ru_maxrss`` where there is another way: Linux carries that over ``exec``, so a process begins with
    the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(main(*sys.argv[1:]))  # noqa: T201 - what the parent reads
