"""Runs ``throughtime train``, sends Ctrl-C at certain moments, and resumes the run.

``python -m tests.cli.interrupted FOLDER`` does so once for each moment of `MOMENTS`, every time in a process of
its own, and prints as JSON how each ended. Libraries are imported once, before the processes part.
"""

import hashlib
import json
import os
import signal
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytorch_lightning  # noqa: F401
import torch
import torch._dynamo  # the first step of an optimizer imports it

import throughtime.learn
import throughtime.report
import throughtime.tasks
import throughtime.training._fit
from throughtime.cli import main

from .test_bad_input import GOOD


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class _Importing(MetaPathFinder):
    """Presses when a module is looked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name, path, target=None):
        if name == self.name:
            press()
        return


def at_import(name):
    sys.meta_path.insert(0, _Importing(name))


def at_call(owner, name, count=1, times=1):
    """Press at one of the calls of a function, so many times."""
    function, calls = getattr(owner, name), 0

    def counting(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == count:
            for _ in range(times):
                press()
        return function(*args, **kwargs)

    setattr(owner, name, counting)


# An epoch has 5 or 6 steps.
MOMENTS = {
    "the commands are imported": lambda: at_import("throughtime.cli._app"),
    "the file is read": lambda: at_call(sys.modules["throughtime.learn.reading"], "read_table"),
    "the run is there": lambda: at_call(sys.modules["throughtime.learn.fitting"], "train"),
    "the training is imported": lambda: at_import("throughtime.training._engine"),
    "the first step": lambda: at_call(torch.optim.AdamW, "step"),
    "the second epoch": lambda: at_call(torch.optim.AdamW, "step", 9),
    "the second epoch, twice": lambda: at_call(torch.optim.AdamW, "step", 9, 2),
    "the test at the end": lambda: at_call(throughtime.tasks.Classification, "assess"),
}


# The copy of the first fold of a blend has 3 epochs.
MOMENTS_OF_BLENDS = {
    "a whole blend": lambda: None,
    "a copy on a fold": lambda: at_call(torch.optim.AdamW, "step", 9),
    "a copy on all rows": lambda: at_call(torch.optim.AdamW, "step", 45),
}

RESUMED = ("the run is there", "the first step", "the second epoch, twice")


def in_child(folder, prepare, *more):
    """How the command ends: exit code, and what it wrote."""
    child = os.fork()
    if child == 0:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
        prepare()
        arguments = ["train", folder.parent / "data.csv", "--text", "words", "--target", "kind"]
        options = [
            "--model",
            "bilstm",
            "--tokens-per-batch",
            20,
            "--epochs",
            3,
            "--no-baselines",
            "--out",
            folder / "run",
        ]
        sys.argv = ["throughtime", *map(str, [*arguments, *options, *more])]
        try:
            main()
        except SystemExit as ended:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code or 0)
        finally:
            os._exit(99)  # something else was raised
    _, status = os.waitpid(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        **{name: (folder / name).read_text() for name in ("out", "err")},
    }


def ends(folder):
    """How the command ended at each moment; whether there is a run, and a model; how going on ended."""
    torch.set_num_threads(1)
    (folder / "data.csv").write_text(GOOD, encoding="utf-8")
    found = {}
    for number, (moment, prepare) in enumerate(MOMENTS.items()):
        own = folder / str(number)
        own.mkdir()
        found[moment] = in_child(own, prepare)
        run = own / "run"
        found[moment] |= {"run": run.exists(), "model": (run / "model.safetensors").exists()}
        if moment in RESUMED:
            found[moment]["resumed"] = in_child(own, lambda: None, "--resume")
    for moment, prepare in MOMENTS_OF_BLENDS.items():
        own = folder / moment.replace(" ", "-")
        own.mkdir()
        found[moment] = in_child(own, prepare, "--model", "auto")
        if found[moment]["code"]:
            found[moment]["resumed"] = in_child(own, lambda: None, "--resume", "--model", "auto")
        weights = (own / "run" / "model.safetensors").read_bytes()
        found[moment]["sha256"] = hashlib.sha256(weights).hexdigest()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ends(Path(sys.argv[1]))))
