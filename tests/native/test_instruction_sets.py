"""Every instruction set of this machine passes the checks of the ladders: reference, gradients, equal bits."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.native.instruction_sets import run_in_each
from throughtime import _native

ROOT = Path(__file__).parents[2]


def _run(code: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@functools.cache
def _climbed() -> subprocess.CompletedProcess[str]:
    return run_in_each("tests.native.ladder", "tests.ops.ladders", names=_native.instruction_sets())


@pytest.mark.parametrize("name", _native.instruction_sets())
def test_the_kernels_agree_with_the_reference_and_with_themselves(name: str) -> None:
    assert f"{name} 309" in _climbed().stdout.splitlines(), _climbed().stderr


@pytest.mark.parametrize("name", _native.instruction_sets())
def test_the_operators_agree_with_the_references(name: str) -> None:
    """Convolution, dropout, normalisation, pooling, MiniRocket and linear recurrences."""
    assert f"{name} 40 80 150 150 30 10" in _climbed().stdout.splitlines(), _climbed().stderr


# Torch is imported once; the child has the plain threads, its parent those of torch.
IN_BOTH = """
import os, sys, torch
if child := os.fork():
    os.waitpid(child, 0)
else:
    os.environ["THROUGHTIME_THREADS"] = "std"
import throughtime as tt
from throughtime import _native
torch.manual_seed(0)
torch.set_num_threads(3)
layer, x = tt.nn.LSTM(40, 70, bidirectional=True), torch.randn(50, 9, 40)
y = layer(x).output
y.square().sum().backward()
torch.save([y.detach(), layer.weight_hh_l0.grad], f"{sys.argv[1]}/{_native.parallel_backend()[:3]}")
print(_native.parallel_backend())
"""


def test_plain_threads_give_the_same(tmp_path: Path) -> None:
    done = _run(["-c", IN_BOTH, str(tmp_path)])
    plain, other = done.stdout.splitlines() or ("", "")
    assert plain == "std::thread", done.stderr
    if other == plain:
        pytest.skip("torch brings no OpenMP here: there is one backend")
    one, two = (torch.load(tmp_path / backend) for backend in ("std", "ope"))
    assert all(torch.equal(*pair) for pair in zip(one, two, strict=True))


def test_an_unknown_instruction_set_is_named() -> None:
    done = _run(["-c", "import throughtime"], THROUGHTIME_ISA="sse9")
    assert done.returncode == 1
    assert "THROUGHTIME_ISA is 'sse9'" in done.stderr
    assert ", ".join(_native.instruction_sets()) in done.stderr
