"""The checks of `tests.native.ladder` and `tests.ops.ladders` with each instruction set that is named.

``python -m tests.native.instruction_sets NAME ...`` runs them in a process for each, one after the other, which prints
what both print. Torch, whose import takes most of the time of one, is imported once, before the processes part.
"""

import os
import runpy
import sys
import traceback

import torch  # noqa: F401 - the processes share it


def climb(name):
    os.environ.update(THROUGHTIME_ISA=name, THROUGHTIME_POISON="1")  # scratch memory is NaN
    for ladder in ("tests.native.ladder", "tests.ops.ladders"):
        runpy.run_module(ladder, run_name="__main__")


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
    for name in sys.argv[1:]:
        in_child(name)
