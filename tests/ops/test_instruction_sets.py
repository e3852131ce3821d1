"""Convolution, dropout, normalisation, pooling, MiniRocket and linear recurrences with every instruction set of this machine, by their ladders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from throughtime import _native


@pytest.mark.parametrize("name", _native.instruction_sets())
def test_every_instruction_set_agrees_with_the_references(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.ops.ladders"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "THROUGHTIME_ISA": name, "THROUGHTIME_POISON": "1"},  # scratch memory is NaN
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name, "40", "80", "150", "150", "30", "10"]
