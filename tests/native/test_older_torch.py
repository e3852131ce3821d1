"""A torch without DLPack's C interface: tensors are read by attribute name, with the same results."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CODE = """
import sys
import torch

torch.Tensor.__dlpack_c_exchange_api__ = None

import pytest

sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/nn/test_fast_path.py"]))
"""


def test_the_quick_path_is_taken_and_right() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
