"""Helpers of the ladders of tests/ops, each of which runs in one process for each instruction set."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from throughtime.ragged import Layout

ROOT = Path(__file__).parents[2]


def layout_of(lengths: list[int]) -> Layout:
    return Layout.from_lengths(torch.tensor(lengths, dtype=torch.int64), torch.device("cpu"))


def climbed(ladder: str, instruction_set: str) -> list[str]:
    """What the module prints, word by word; scratch memory is poisoned."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.ops.{ladder}"],
        cwd=ROOT,
        env={**os.environ, "THROUGHTIME_ISA": instruction_set, "THROUGHTIME_POISON": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
