"""Every instruction set of this machine passes the checks of `ladder`: reference, gradients, equal bits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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


@pytest.mark.parametrize("name", _native.instruction_sets())
def test_the_kernels_agree_with_the_reference_and_with_themselves(name: str) -> None:
    done = _run(["-m", "tests.native.ladder"], THROUGHTIME_ISA=name, THROUGHTIME_POISON="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name, "431"]


def test_plain_threads_give_the_same(tmp_path: Path) -> None:
    code = (
        "import torch, throughtime as tt; from throughtime import _native; torch.manual_seed(0); "
        "torch.set_num_threads(3); layer = tt.nn.LSTM(40, 70, bidirectional=True); x = torch.randn(50, 9, 40); "
        "y = layer(x).output; y.square().sum().backward(); "
        f"torch.save([y.detach(), layer.weight_hh_l0.grad], r'{tmp_path}/' + _native.parallel_backend()[:3]); "
        "print(_native.parallel_backend())"
    )
    plain = _run(["-c", code], THROUGHTIME_THREADS="std")
    assert plain.stdout == "std::thread\n", plain.stderr
    other = _run(["-c", code])
    if other.stdout == plain.stdout:
        pytest.skip("torch brings no OpenMP here: there is one backend")
    one, two = (torch.load(tmp_path / backend) for backend in ("std", "ope"))
    assert all(torch.equal(*pair) for pair in zip(one, two, strict=True))


def test_an_unknown_instruction_set_is_named() -> None:
    done = _run(["-c", "import throughtime"], THROUGHTIME_ISA="sse9")
    assert done.returncode == 1
    assert "THROUGHTIME_ISA is 'sse9'" in done.stderr
    assert ", ".join(_native.instruction_sets()) in done.stderr
