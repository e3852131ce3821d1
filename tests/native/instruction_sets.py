"""The checks of some modules, such as `tests.native.ladder`, with several instruction sets.

``python -m tests.native.instruction_sets MODULE ...`` runs them with each set of ``THROUGHTIME_TESTED_SETS``, in a process
of its own, one after the other, which prints what they print. Torch, whose import takes most of the time of one, is imported once, before the processes part.
"""

import os
import runpy
import subprocess
import sys
import traceback
from pathlib import Path

import torch  # noqa: F401 - the processes share it


def run_in_each(*modules: str, names: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the modules with each instruction set, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.native.instruction_sets", *modules],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "THROUGHTIME_TESTED_SETS": " ".join(names)},
        capture_output=True,
        text=True,
        check=False,
    )


def climb(name):
    os.environ.update(THROUGHTIME_ISA=name, THROUGHTIME_POISON="1")  # scratch memory is NaN
    for module in sys.argv[1:]:
        runpy.run_module(module, run_name="__main__")


def in_child(name):
    if child := os.fork():
        os.waitpid(child, 0)
        return
    try:
        climb(name)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    for tested in os.environ["THROUGHTIME_TESTED_SETS"].split():
        in_child(tested)
