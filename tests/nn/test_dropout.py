"""`Dropout`: in place of torch.nn's, on batches and tensors, and between the layers of a recurrent module."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime.errors import InputTypeError, ShapeError


def test_a_batch_is_dropped_as_its_values_are() -> None:
    drop, x = tt.nn.Dropout(0.25), tt.Ragged.from_lengths(torch.rand(60, 5) + 1, [30, 0, 20, 10])
    torch.manual_seed(0)
    y = drop(x)
    torch.manual_seed(0)
    assert torch.equal(y.values, drop(x.values))
    assert y.layout is x.layout
    ratio = y.values / x.values
    torch.testing.assert_close(ratio, torch.where(ratio > 0, 4 / 3, 0.0))
    assert 0 < int((ratio == 0).sum()) < ratio.numel()


def test_it_takes_the_pair_of_a_recurrent_layer() -> None:
    model = nn.Sequential(tt.nn.GRU(3, 4), tt.nn.Dropout(0.5))
    y = model(tt.Ragged.from_lengths(torch.randn(9, 3), [4, 5]))
    assert y.shape == (9, 4)
    assert (y.values == 0).any()


def test_it_is_a_dropout_of_torch() -> None:
    drop = tt.nn.Dropout(0.5)
    assert isinstance(drop, nn.Dropout)
    assert repr(drop) == repr(nn.Dropout(0.5))
    x = torch.ones(100)
    assert tt.nn.Dropout(0.5, inplace=True)(x) is x
    assert sorted(set(x.tolist())) == [0.0, 2.0]
    assert not tt.nn.Dropout(1.0)(torch.ones(3)).any()
    assert torch.equal(tt.nn.Dropout(0.0)(x), x)


def test_what_it_does_not_take_is_named() -> None:
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(ShapeError, match=f"Dropout: p is a probability, from 0 to 1; got {p}"):
            tt.nn.Dropout(p)
    with pytest.raises(InputTypeError, match="Dropout takes a Tensor or a Ragged, got list"):
        tt.nn.Dropout()([1.0])
    with pytest.raises(
        InputTypeError, match=r"floating-point numbers, got torch\.int64; convert .* \.float\(\)"
    ):
        tt.nn.Dropout()(torch.tensor([1, 2]))


@pytest.mark.parametrize("ragged", [True, False])
def test_between_recurrent_layers_it_is_the_same_dropout(ragged: bool) -> None:
    torch.manual_seed(0)
    layer = tt.nn.LSTM(3, 4, num_layers=2, dropout=0.5).double()
    first, second = tt.nn.LSTM(3, 4).double(), tt.nn.LSTM(4, 4).double()
    for place, single in enumerate((first, second)):
        for name, parameter in single.named_parameters():
            parameter.data = copy.copy(getattr(layer, name.replace("_l0", f"_l{place}")).data)
    values = torch.randn(12, 3, dtype=torch.float64)
    x: Any = tt.Ragged.from_lengths(values, [7, 5]) if ragged else values
    torch.manual_seed(3)
    found = layer(x).output
    torch.manual_seed(3)
    expected = second(tt.nn.Dropout(0.5)(first(x))).output
    torch.testing.assert_close(*((y.values if ragged else y) for y in (found, expected)), rtol=0, atol=0)
