"""A model's result for a sequence has the same bits in any batch, with every instruction set."""

import pytest
import torch
from torch import nn

import throughtime as tt
from tests.native.instruction_sets import run_in_each
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


def test_under_every_other_instruction_set() -> None:
    others = [name for name in _native.instruction_sets() if name != _native.instruction_set()]
    done = run_in_each("tests.models.bits", names=others)
    assert done.stdout.splitlines() == [f"{name} {len(SUBJECTS)}" for name in others], done.stderr
