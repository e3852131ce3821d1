"""Trains runs and kills each with SIGKILL, so that no cleanup can run.

``python -m tests.training.killed FOLDER toy`` makes one run per moment of `MOMENTS` in FOLDER, of the training
in ``tests/training/toy.py``, or with ``toy_next`` of that one.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

import torch
import torch._dynamo  # the first step of an optimizer imports it: once here, not in every child

from throughtime.training import _engine  # noqa: F401 - Lightning, too

# File, how often it was replaced before, and whether the next replacement still happens. An epoch has 8 or
# 9 steps, so three states: after steps 3 and 6, and at its end.
MOMENTS = {
    "while the first state is written": ("state.safetensors", 0, False),
    "mid-epoch": ("state.safetensors", 4, False),
    "between an epoch's weights and its state": ("model.safetensors", 1, True),
    "between an epoch's state and its figures": ("metrics.json", 1, False),
    "with the checksum of a state that is not there yet": ("checksums.json", 2, True),
    "with the checksum of a state that is gone": ("checksums.json", 3, False),
}


def kill_at(name, before, happens):
    count = 0
    replace = Path.replace

    def replacing(self, target):
        nonlocal count
        if Path(target).name != name:
            return replace(self, target)
        count += 1
        if count <= before:
            return replace(self, target)
        if happens:
            replace(self, target)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")

    Path.replace = replacing


def main(folder, toy):
    toy = importlib.import_module(f"tests.training.{toy}")
    torch.set_num_threads(1)
    for number, moment in enumerate(MOMENTS):
        run = toy.created(folder / str(number))
        child = os.fork()
        if child == 0:
            kill_at(*MOMENTS[moment])
            toy.fitted(run)
            os._exit(0)  # was not killed
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"{moment}: ended with status {status} instead of being killed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
