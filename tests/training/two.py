"""What each process of tests/training/test_processes.py runs: `AUTO`, then each training of `CASES`.

``torchrun … -m tests.training.two FOLDER``. In those with ``killed_at``, process 1 is killed with
SIGKILL before its eleventh step, if torchrun has restarted the job so many times.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from tests.training.test_processes import AUTO, CASES, texts
from throughtime.learn import fit_recipe
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
    # After a restart, it is a run that is finished.
    fit_recipe(AUTO, texts(), out=folder / "auto", progress=False)
    for kind, case in CASES.items():
        path = folder / kind
        restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        if restarts == case.killed_at and processes.process() == 1:
            kill_once()
        if processes.process() == 0 and not path.exists():
            case.created(path)
        processes.wait_for_all()
        case.fitted(Run.open(path), resume=processes.was_restarted())
    processes.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
