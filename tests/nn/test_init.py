"""Initialisations against their definitions; other parameters are unchanged."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.init import chrono_, forget_bias_, orthogonal_

LAYERS = [
    tt.nn.LSTM(3, 6, num_layers=2, bidirectional=True),
    tt.nn.GRU(3, 6, num_layers=2),
    tt.nn.GRU(3, 6, update="new", reset_after=False),
    tt.nn.RNN(3, 6, bidirectional=True),
    tt.nn.LSTM(3, 6, coupled=True),
    tt.nn.LSTMCell(3, 6),
    tt.nn.GRUCell(3, 6),
    tt.nn.RNNCell(3, 6),
]


def _changed(before: nn.Module, after: nn.Module) -> set[str]:
    pairs = zip(before.named_parameters(), after.parameters(), strict=True)
    return {name for (name, a), b in pairs if not torch.equal(a, b)}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: str(layer))
def test_orthogonal_blocks(layer: nn.Module) -> None:
    layer = copy.deepcopy(layer).double()
    made = orthogonal_(copy.deepcopy(layer), 0.5, generator=torch.Generator().manual_seed(1))
    changed = _changed(layer, made)
    assert changed == {name for name, _ in layer.named_parameters() if "weight_hh" in name}
    for name in changed:
        blocks = getattr(made, name).detach().split(6)
        assert len(blocks) * 6 == len(getattr(made, name))
        for block in blocks:
            torch.testing.assert_close(block @ block.t(), 0.25 * torch.eye(6).double(), rtol=0, atol=1e-12)
        assert not any(torch.equal(blocks[0], other) for other in blocks[1:])
    again = orthogonal_(copy.deepcopy(layer), 0.5, generator=torch.Generator().manual_seed(1))
    assert not _changed(made, again)


@pytest.mark.parametrize("layer", [LAYERS[0], LAYERS[5]], ids=str)
def test_forget_biases(layer: nn.Module) -> None:
    before = copy.deepcopy(layer)
    made = forget_bias_(copy.deepcopy(layer), 2.5)
    for (name, old), new in zip(before.named_parameters(), made.parameters(), strict=True):
        expected = old.detach().clone()
        if "bias" in name:
            expected[6:12] = 2.5 if "bias_ih" in name else 0.0
        assert torch.equal(new, expected), name


@pytest.mark.parametrize("layer", [one for one in LAYERS if "RNN" not in type(one).__name__], ids=str)
def test_chrono_draws_time_constants(layer: nn.Module) -> None:
    before, longest = copy.deepcopy(layer), 50.0
    made = chrono_(copy.deepcopy(layer), longest, generator=torch.Generator().manual_seed(0))
    assert _changed(before, made) <= {name for name, _ in layer.named_parameters() if "bias" in name}
    names = [name for name, _ in made.named_parameters() if "bias_ih" in name]
    for name in names:
        total = (getattr(made, name) + getattr(made, name.replace("ih", "hh"))).detach()
        blocks = list(total.split(6))
        if isinstance(made, (tt.nn.LSTM, tt.nn.LSTMCell)):
            keeping, rest = -blocks[0], blocks[2:] if len(blocks) == 4 else blocks[1:]
            if len(blocks) == 4:
                assert torch.equal(blocks[1], keeping)
        else:
            new = getattr(getattr(made, "spec", None), "update", "old") == "new"
            keeping, rest = -blocks[1] if new else blocks[1], [blocks[0], blocks[2]]
        assert not any(part.any() for part in rest)
        assert keeping.min() >= 0
        assert keeping.max() <= math.log(longest - 1)
        assert len(keeping.unique()) == 6


def test_chrono_is_uniform_in_time() -> None:
    """exp(b) is uniform in 1 … T_max − 1, so its mean and variance are known."""
    generator = torch.Generator().manual_seed(0)
    layers = [chrono_(tt.nn.LSTM(1, 500), 101, generator=generator) for _ in range(40)]
    u = torch.cat([layer.bias_ih_l0[500:1000].detach() for layer in layers]).exp()
    assert float(u.mean()) == pytest.approx(50.5, rel=0.02)
    assert float(u.var()) == pytest.approx(99**2 / 12, rel=0.03)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: forget_bias_(tt.nn.GRU(3, 4)),
            InputTypeError,
            "for LSTM and LSTMCell, whose forget gate has a separate bias, got GRU()",
        ),
        (
            lambda: forget_bias_(tt.nn.LSTM(3, 4, coupled=True)),
            InputTypeError,
            "whose forget gate has a separate bias, got LSTM(coupled=True)",
        ),
        (lambda: forget_bias_(tt.nn.LSTM(3, 4, bias=False)), ShapeError, "has none: bias=False"),
        (lambda: orthogonal_(nn.LSTM(3, 4)), InputTypeError, "recurrent layers and cells of tt.nn, got LSTM"),
        (lambda: orthogonal_(tt.nn.LSTM(3, 4, proj_size=2)), ShapeError, "no square blocks"),
        (lambda: chrono_(tt.nn.RNN(3, 4), 10), InputTypeError, "layers with gates, LSTM and GRU, got RNN"),
        (lambda: chrono_(tt.nn.LSTM(3, 4), 1.5), ShapeError, "at least 2, got 1.5"),
        (lambda: chrono_(tt.nn.LSTM(3, 4), float("nan")), ShapeError, "at least 2, got nan"),
        (lambda: chrono_(tt.nn.GRUCell(3, 4, bias=False), 10), ShapeError, "this GRUCell has none"),
    ],
)
def test_what_cannot_be_is_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
