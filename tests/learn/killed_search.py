"""Begins searches and kills each with SIGKILL: ``python -m tests.learn.killed_search FOLDER``."""

import os
import signal
import sys
from pathlib import Path

import torch
import torch._dynamo  # the first step of an optimizer imports it: once here, not in every child

from throughtime.learn.tune import tune

ROWS = {
    "text": [
        f"{'good' if i % 3 else 'bad'} film of {'a' if i % 2 else 'the'} year {i % 7}" for i in range(48)
    ],
    "label": ["+" if i % 3 and i % 7 else "-" for i in range(48)],
}
SEARCH = {
    "model": "textcnn",
    "trials": 9,
    "epochs": 4,
    "patience": None,
    "embedding_size": 8,
    "progress": False,
}
"""Seven new trials, of which TPE proposes the last, and two with all epochs."""
MOMENTS = {
    "in the third trial": 2 * 3 + 2,
    "in the best run": 7 * 3 + 2 * 4 * 3 + 5,
}
"""At which step of all: an epoch has three, a new trial one epoch, and one with all epochs four."""
TORN = "while a trial is written"


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(number: int) -> None:
    step, calls = torch.optim.AdamW.step, 0

    def counting(*args, **kwargs):
        nonlocal calls
        calls += 1
        return kill() if calls == number else step(*args, **kwargs)

    torch.optim.AdamW.step = counting


def in_a_line() -> None:
    """Write half of the line of the third trial."""
    from optuna.storages.journal import JournalFileBackend

    write, calls = JournalFileBackend.append_logs, 0

    def cut(self, logs):
        nonlocal calls
        calls += any("params" in log for log in logs)
        if calls < 3:
            return write(self, logs)
        whole = Path(self._file_path).read_bytes()
        write(self, logs)
        added = Path(self._file_path).read_bytes()[len(whole) :]
        Path(self._file_path).write_bytes(whole + added[: len(added) // 2])
        Path(self._file_path + ".lock").symlink_to(self._file_path)
        return kill()

    JournalFileBackend.append_logs = cut


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    moments = {name: lambda step=step: at_step(step) for name, step in MOMENTS.items()} | {TORN: in_a_line}
    for name, prepare in moments.items():
        child = os.fork()
        if child == 0:
            prepare()
            tune(ROWS, out=folder / name, **SEARCH)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, name


if __name__ == "__main__":
    main(Path(sys.argv[1]))
