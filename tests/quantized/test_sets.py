"""Every set of instructions for int8 products of this machine gives the same sums, and the same layers."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from throughtime import _native

from .layers import LAYERS

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


def test_all_sets_agree(tmp_path: Path) -> None:
    names = _native.quantized_sets()
    done = _run(["-m", "tests.quantized.sets", str(tmp_path), *names])
    assert done.stdout.splitlines() == [f"{name} {len(LAYERS)}" for name in names], done.stderr
    first, *others = (torch.load(tmp_path / f"{name}.pt") for name in names)
    for other in others:
        torch.testing.assert_close(other, first, rtol=0, atol=1e-4)


def test_an_unknown_set_is_named() -> None:
    done = _run(["-c", "import throughtime"], THROUGHTIME_INT8="sse9")
    assert done.returncode == 1
    assert "THROUGHTIME_INT8 is 'sse9'" in done.stderr
    assert ", ".join(_native.quantized_sets()) in done.stderr
