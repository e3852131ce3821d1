"""Products of bfloat16: those of tile registers have the bits of vectors, and instruction sets agree."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from throughtime import _native

# One import of torch, one process for each setting, which saves what the layers make.
IN_EACH = """
import os, sys, torch
for setting in sys.argv[2:]:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    name, tiles = setting.split(":")
    os.environ.update(THROUGHTIME_ISA=name, THROUGHTIME_AMX=tiles, THROUGHTIME_POISON="1")
    import throughtime as tt
    torch.manual_seed(0)
    values = []
    for kind, options in (("LSTM", {}), ("LSTM", {"proj_size": 20}), ("GRU", {}), ("GRU", {"reset_after": False})):
        layer = getattr(tt.nn, kind)(45, 70, bidirectional=True, **options)
        lengths = [9, 0, 40, 3, 17, 1, *[5] * 40]
        x = tt.Ragged.from_lengths(torch.randn(sum(lengths), 45, requires_grad=True), lengths)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x).output.values.float()
        gradients = torch.autograd.grad(y.square().sum(), [x.values, *layer.parameters()])
        values += [y.detach(), *gradients]
    torch.save(values, f"{sys.argv[1]}/{setting}")
    os._exit(0)
"""


def _values(folder: Path) -> dict[str, list[torch.Tensor]]:
    settings = [f"{name}:{tiles}" for name in _native.instruction_sets() for tiles in "10"]
    command = [sys.executable, "-c", IN_EACH, str(folder), *settings]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert not done.stderr
    return {setting: torch.load(folder / setting) for setting in settings}


def test_the_same_bits_with_tile_registers_and_nearly_the_same_on_every_instruction_set(
    tmp_path: Path,
) -> None:
    values = _values(tmp_path)
    first, *_ = values.values()
    for name in _native.instruction_sets():
        for one, other in zip(values[f"{name}:1"], values[f"{name}:0"], strict=True):
            assert torch.equal(one, other)
        for found, expected in zip(values[f"{name}:1"], first, strict=True):
            # Activations differ in their last bits, and now and then a rounding to bfloat16 with them.
            assert (found - expected).abs().mean() < 1e-4 * (1 + expected.abs().max())
            torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
