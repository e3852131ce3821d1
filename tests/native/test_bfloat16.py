"""Products of bfloat16: those of tile registers have the bits of vectors, and instruction sets agree."""

import os
import subprocess
import sys

import pytest
import torch

from throughtime import _native

# One import of torch, one process for each setting, which saves what the layers make.
IN_EACH = """
import os, sys, torch
for setting in sys.argv[2:]:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    name, products = setting.split(":")
    os.environ.update(THROUGHTIME_ISA=name, THROUGHTIME_BFLOAT16=products, THROUGHTIME_POISON="1")
    import throughtime as tt
    torch.manual_seed(0)
    values = []
    for kind, options in (("LSTM", {}), ("LSTM", {"proj_size": 20}), ("GRU", {}), ("GRU", {"reset_after": False})):
        layer = getattr(tt.nn, kind)(45, 70, bidirectional=True, **options)
        lengths = [9, 0, 40, 3, 17, 1, *[5] * 40]
        x = tt.Ragged.from_lengths(torch.randn(sum(lengths), 45, requires_grad=True), lengths)
        with torch.autocast("cpu", torch.bfloat16, enabled=products != "float32"):
            y = layer(x).output.values.float()
        gradients = torch.autograd.grad(y.square().sum(), [x.values, *layer.parameters()])
        values += [y.detach(), *gradients]
    torch.save(values, f"{sys.argv[1]}/{setting}")
    os._exit(0)
"""
BEST, *OTHERS = _native.instruction_sets()
SETTINGS = [f"{BEST}:{products}" for products in ("always", "vectors", "never", "float32")]
SETTINGS += [f"{name}:{products}" for name in OTHERS for products in ("always", "")]
Values = dict[str, list[torch.Tensor]]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    """What the layers make with each setting of products on each instruction set."""
    folder = tmp_path_factory.mktemp("values")
    command = [sys.executable, "-c", IN_EACH, str(folder), *SETTINGS]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert not done.stderr
    return {setting: torch.load(folder / setting) for setting in SETTINGS}


def _equal(found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_tile_registers_and_vectors_give_the_same_bits(values: Values) -> None:
    assert _equal(values[f"{BEST}:always"], values[f"{BEST}:vectors"])
    assert not torch.equal(values[f"{BEST}:always"][0], values[f"{BEST}:float32"][0])


@pytest.mark.parametrize("name", OTHERS)
def test_instruction_sets_agree(name: str, values: Values) -> None:
    for found, expected in zip(values[f"{name}:always"], values[f"{BEST}:always"], strict=True):
        # Activations differ in their last bits, and now and then a rounding to bfloat16 with them.
        assert (found - expected).abs().mean() < 1e-5 * (1 + expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)


def test_products_are_float32_on_request_and_by_default_without_tile_registers(values: Values) -> None:
    plain = values[f"{BEST}:float32"]
    assert torch.equal(values[f"{BEST}:never"][0], plain[0])
    for name in OTHERS:
        assert not torch.equal(values[f"{name}:"][0], values[f"{name}:always"][0])
        torch.testing.assert_close(values[f"{name}:"][0], plain[0], rtol=1e-5, atol=1e-6)
