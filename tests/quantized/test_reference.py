"""Layers with int8 weights against the same arithmetic written out in PyTorch."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import throughtime as tt
from tests.strategies import LENGTHS
from throughtime import Ragged
from throughtime.ops.quantized.packing import Rounded, rounded
from throughtime.ops.quantized.reference import (
    correlate_reference,
    linear_reference,
    recurrent_layer_reference,
    rounded_tokens,
)
from throughtime.ops.recurrent.spec import State
from throughtime.ops.recurrent.weights import Weights

from .layers import batch, layer, values

NEAR: dict[str, Any] = {"rtol": 2e-6, "atol": 2e-6}


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_linear_layer_without_bias_has_the_bits_of_the_reference(scale: float) -> None:
    linear = tt.nn.Linear(37, 70, bias=False)
    x = torch.randn(11, 37) * scale
    assert torch.equal(tt.quantize(linear)(x), linear_reference(x, rounded(linear.weight.detach())))


def test_ties_are_rounded_to_even() -> None:
    """A token whose scale is 1 and whose other entries are halves."""
    x = torch.cat([torch.tensor([127.0]), torch.arange(-60, 60) + 0.5])[None]
    assert rounded_tokens(x).values[0, 1:5].tolist() == [-60, -58, -58, -56]
    linear = tt.nn.Linear(x.shape[1], x.shape[1], bias=False)
    torch.nn.init.eye_(linear.weight)
    assert torch.equal(tt.quantize(linear)(x)[0, 1:], torch.round(x[0, 1:]))


@pytest.mark.parametrize("name", ["Linear", "torch.nn.Linear"])
def test_linear_layers(name: str) -> None:
    linear, x = layer(name), batch([7, 0, 30])
    expected = linear_reference(x.values, rounded(linear.weight.detach()), linear.bias)
    torch.testing.assert_close(tt.quantize(linear)(x).values, expected, **NEAR)


def test_a_readout() -> None:
    readout, x = layer("Readout"), batch([4, 3])
    logits = linear_reference(x.values, rounded(readout.weight.detach()), readout.bias)
    quantized = tt.quantize(readout)
    torch.testing.assert_close(quantized.logits(x).values, logits, **NEAR)
    torch.testing.assert_close(quantized(x).values, logits.softmax(1), **NEAR)
    torch.testing.assert_close(quantized.log_probabilities(x).values, logits.log_softmax(1), **NEAR)


CONVOLUTIONS = ["Conv1d", "Conv1d, causal and dilated", "Conv1d, strided", "Conv1d, replicate"]


def by_reference(conv: tt.nn.Conv1d, x: Ragged) -> Ragged:
    taps = conv.weight.detach().transpose(1, 2)
    weight = rounded(taps.flatten(1))
    return correlate_reference(x, Rounded(weight.values.view_as(taps), weight.scale), conv.bias, conv.windows)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=5), seed=st.integers(0, 100))
def test_convolutions(name: str, lengths: list[int], seed: int) -> None:
    conv, x = layer(name, seed), batch(lengths, seed)
    found, expected = tt.quantize(conv)(x), by_reference(conv, x)
    assert found.lengths.tolist() == expected.lengths.tolist()
    torch.testing.assert_close(found.values, expected.values, **NEAR)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_of_tensors_are_those_of_sequences(name: str) -> None:
    conv = tt.quantize(layer(name))
    x = batch([9, 9, 9])
    dense = torch.stack(list(x)).transpose(1, 2)
    expected = torch.stack(list(conv(x))).transpose(1, 2)
    assert torch.equal(conv(dense), expected)
    assert torch.equal(conv(dense[0]), expected[0])


def direction_by_reference(
    quantized: tt.quantized.QuantizedRecurrent, float_layer: Any, suffix: str, x: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, State]:
    ih, hh = quantized.rounded_weights(suffix)
    biases = [getattr(float_layer, f"bias_{part}_{suffix}", None) for part in ("ih", "hh")]
    weights = Weights(h, h, biases[0], biases[1], None)
    return recurrent_layer_reference(x, quantized.spec, State(h, c), weights, ih, hh)


@pytest.mark.parametrize("name", ["LSTM", "GRU, without bias", "GRU, bidirectional", "RNN", "RNN, relu"])
@pytest.mark.parametrize("suffix", ["l0", "l0_reverse"])
def test_recurrent_layers(name: str, suffix: str) -> None:
    """Few steps: a tie of rounding that goes the other way makes a difference of a whole integer."""
    float_layer: Any = layer(name)
    if suffix.endswith("reverse") and not float_layer.bidirectional:
        pytest.skip("one direction")
    quantized = tt.quantize(float_layer)
    hidden, directions = float_layer.hidden_size, 1 + float_layer.bidirectional
    x = torch.randn(4, 3, float_layer.input_size)
    h0, c0 = torch.randn(2, directions, 3, hidden) / 3
    output, _ = quantized(x, (h0, c0) if quantized.spec.has_c else h0)
    d = int(suffix.endswith("reverse"))
    with torch.no_grad():
        steps = x.flip(0) if d else x
        y, _ = direction_by_reference(quantized, float_layer, suffix, steps, h0[d], c0[d])
    torch.testing.assert_close(
        output[..., d * hidden : (d + 1) * hidden], y.flip(0) if d else y, rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("name", ["LSTM, deep and bidirectional", "GRU", "RNN, relu"])
def test_rounded_weights_are_those_of_the_layer(name: str) -> None:
    float_layer: Any = layer(name)
    quantized = tt.quantize(float_layer)
    for suffix in ("l0", "l0_reverse") if float_layer.bidirectional else ("l0", "l1"):
        for part, found in zip(("ih", "hh"), quantized.rounded_weights(suffix), strict=True):
            expected = rounded(getattr(float_layer, f"weight_{part}_{suffix}").detach())
            assert torch.equal(found.values, expected.values)
            assert torch.equal(found.scale, expected.scale)


@given(lengths=LENGTHS)
def test_an_embedding_has_the_rounded_rows(lengths: list[int]) -> None:
    table = torch.nn.Embedding(11, 6, padding_idx=0)
    small = tt.quantize(table)
    tokens = Ragged.from_lengths(torch.randint(0, 11, (sum(lengths),)), lengths)
    weight = rounded(table.weight.detach())
    assert torch.equal(small(tokens).values, (weight.values * weight.scale[:, None])[tokens.values])
    assert torch.equal(small(tokens.values), small(tokens).values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_token_that_is_not_finite_gives_nan_and_harms_no_other(bad: float) -> None:
    x = batch([3, 4])
    harmed = x.with_values(x.values.index_put((torch.tensor(4), torch.tensor(2)), torch.tensor(bad)))
    for name in ("Linear", "LSTM"):
        quantized = tt.quantize(layer(name))
        found, expected = values(quantized(harmed)), values(quantized(x))
        assert found[4:].isnan().all() if name == "LSTM" else found[4].isnan().all()
        assert torch.equal(found[:4], expected[:4])
