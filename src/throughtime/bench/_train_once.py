"""A process of its own that trains a layer for five steps and prints its peak resident memory in bytes.

``python -m throughtime.bench._train_once ours|torch CELL equal|ragged B T I H``
"""

import resource
import sys
from typing import Any

from throughtime.bench._case import Shape, make_case
from throughtime.bench.peers import _ours, _torch


def main(who: str, cell: Any, kind: Any, *sizes: str) -> int:
    """Train, and return the peak in bytes."""
    case = make_case(cell, Shape(*map(int, sizes)), kind)
    prepared = (
        _ours.prepare(case, "training") if who == "ours" else _torch.contender(2).prepare(case, "training")
    )
    for _ in range(5):
        prepared.run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    print(main(*sys.argv[1:]))  # noqa: T201 - what the parent reads
