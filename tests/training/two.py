"""What each process of tests/training/test_processes.py runs: a training on a text, then one on frames.

``torchrun … -m tests.training.two FOLDER``. In the second, process 1 is killed with SIGKILL before its eleventh
step, unless torchrun has restarted the job.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from tests.training import toy_next
from tests.training.test_processes import DATA, SETTINGS
from throughtime.training import Run, processes
from throughtime.training._module import TrainingModule


def kill_once():
    step, calls = TrainingModule.training_step, 0

    def killing(self, *args):
        nonlocal calls
        calls += 1
        if calls == 11:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *args)

    TrainingModule.training_step = killing


def main(folder):
    torch.set_num_threads(1)
    processes.join()
    for kind, (data, model) in DATA.items():
        if kind == "frames" and processes.process() == 1 and not processes.was_restarted():
            kill_once()
        path = folder / kind
        if processes.process() == 0 and not path.exists():
            toy_next.created(path, model, SETTINGS, data())
        processes.wait_for_all()
        toy_next.fitted(Run.open(path), data(), resume=processes.was_restarted())
    processes.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
