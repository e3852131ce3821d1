"""A model's result for a sequence has the same bits in any batch, with every instruction set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import _native

from .bits import SUBJECTS, TORCHS, check


def test_every_public_model_is_there() -> None:
    public = {
        name
        for name, kind in vars(tt.models).items()
        if isinstance(kind, type) and issubclass(kind, nn.Module)
    }
    assert {name.partition(",")[0] for name in SUBJECTS} | TORCHS == public


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", SUBJECTS)
def test_alone_in_any_batch_and_order_on_any_number_of_threads(name: str, dtype: torch.dtype) -> None:
    if name == "Rocket" and dtype == torch.float64:
        pytest.skip("has kernels in float32 alone; the plain convolutions take seconds")
    check(name, dtype)


@pytest.mark.parametrize("isa", _native.instruction_sets())
def test_under_every_instruction_set(isa: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.bits"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "THROUGHTIME_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa, str(len(SUBJECTS))]
