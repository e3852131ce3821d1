"""`MiniRocket`: what it learns of training series, by the papers' rules, and its features of series alone."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import DataError, InputTypeError, ShapeError
from throughtime.nn.rocket import dilations_for, drawn_channels, quantiles_of

LENGTHS = [40, 0, 3, 61, 9]


def batch(channels: int = 2) -> Ragged:
    generator = torch.Generator().manual_seed(4)
    return Ragged.from_lengths(torch.randn(sum(LENGTHS), channels, generator=generator), LENGTHS)


def learned(x: Ragged, features: int = 84 * 8, **options: Any) -> tt.nn.MiniRocket:
    layer = tt.nn.MiniRocket(x.shape[1], features, **options)
    layer.learn(x, torch.Generator().manual_seed(5))
    return layer


def outputs_by_torch(x: Tensor, kernel: int, dilation: int, channels: list[int]) -> Tensor:
    """The convolution (L,) of one series (L, C) with kernel k, in float64."""
    weight = torch.full((1, len(channels), 9), -1.0, dtype=torch.float64)
    weight[:, :, list(combinations(range(9), 3))[kernel]] = 2
    series = x[:, channels].t()[None].double()
    return F.conv1d(series, weight, padding=4 * dilation, dilation=dilation)[0, 0]


# By length, what the authors' code gives for 10,000 features: how many of the 119 biases have each dilation.
AUTHORS = {
    9: {1: 119},
    24: {1: 79, 2: 40},
    150: dict(
        zip(
            (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18),
            (30, 15, 12, 12, 4, 8, 8, 4, 4, 4, 3, 3, 3, 3, 3, 3),
            strict=True,
        )
    ),
}


@pytest.mark.parametrize("longest", AUTHORS)
def test_dilations_are_the_authors(longest: int) -> None:
    dilations, counts = dilations_for(longest, 119).unique_consecutive(return_counts=True)
    assert dict(zip(dilations.tolist(), counts.tolist(), strict=True)) == AUTHORS[longest]


@pytest.mark.parametrize("longest", [0, 1, 8, 9, 24, 150, 500, 10_000])
@pytest.mark.parametrize("slots", [1, 7, 32, 119])
def test_dilations_grow_up_to_an_eighth_of_the_longest_series(longest: int, slots: int) -> None:
    dilations = dilations_for(longest, slots).tolist()
    assert len(dilations) == slots
    assert dilations == sorted(dilations)
    assert dilations[0] == 1
    assert dilations[-1] <= max(1, (longest - 1) // 8)
    assert len(set(dilations)) <= 32
    if slots > 1:
        assert dilations[-1] >= max(1, (longest - 1) // 8 - 1)


def test_channels_are_drawn_as_by_the_authors() -> None:
    """⌊2^u⌋ of at most nine channels: 1 with probability log_10 2, 2 or 3 with log_10 2, …"""
    rows = drawn_channels(20, 4000, torch.Generator().manual_seed(0))
    assert rows.shape == (4000, 9)
    counts = (rows >= 0).sum(1)
    for count in range(1, 10):
        share = float((counts == count).double().mean())
        expected = math.log10((count + 1) / count)
        assert share == pytest.approx(expected, abs=4 * math.sqrt(expected / 4000))
    for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
        assert len(set(row[:count])) == count
        assert set(row[count:]) <= {-1}
    assert set(rows.flatten().tolist()) == set(range(-1, 20))
    assert drawn_channels(1, 5).tolist() == [[0]] * 5


def test_quantiles_are_a_low_discrepancy_sequence() -> None:
    golden = (math.sqrt(5) + 1) / 2
    assert quantiles_of(3).tolist() == pytest.approx([golden - 1, 2 * golden - 3, 3 * golden - 4])
    ordered = quantiles_of(100).sort().values
    assert float(ordered.diff().max()) < 0.025


def test_biases_are_quantiles_of_outputs_of_training_series() -> None:
    x = batch()
    layer, places = learned(x), 0
    levels = quantiles_of(84 * 8).numpy()
    dilations = layer.dilations[0].tolist()
    for number, dilation in enumerate(sorted(set(dilations))):
        count = dilations.count(dilation)
        for k in range(84):
            read = [c for c in layer.read[0, 84 * number + k].tolist() if c >= 0]
            biases, place = layer.biases[0, places : places + count].numpy(), slice(places, places + count)
            expected = [
                np.quantile(outputs_by_torch(series, k, dilation, read).numpy(), levels[place])
                for series in x.to_list()
                if len(series) > 8 * dilation
            ]
            assert min(np.abs(biases - one).max() for one in expected) < 1e-5
            places += count
    assert places == layer.biases.numel()


@pytest.mark.parametrize("differences", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
def test_features_are_proportions_of_torchs_convolutions(differences: bool, normalize: bool) -> None:
    x = batch()
    layer = learned(x, 84 * 6, differences=differences, normalize=normalize)
    features = layer(x).view(len(x), len(layer.dilations), -1)
    for raw, found in zip(x.to_list(), features, strict=True):
        series = raw
        if normalize and len(raw):
            series = (raw - raw.mean(0)) / (raw.var(0, correction=0) + 1e-5).sqrt()
        for row, of_row in enumerate(found):
            expected = _proportions(series.diff(dim=0) if row else series, layer, row)
            assert float((of_row.double() - expected).abs().max()) < 1e-6


def _proportions(series: Tensor, layer: tt.nn.MiniRocket, row: int) -> Tensor:
    columns: list[float] = []
    dilations = layer.dilations[row].tolist()
    for number, dilation in enumerate(sorted(set(dilations))):
        for k in range(84):
            read = [c for c in layer.read[row, 84 * number + k].tolist() if c >= 0]
            outputs = outputs_by_torch(series, k, dilation, read) if len(series) else torch.zeros(0)
            if (number + k) % 2 and len(outputs) >= 16 * dilation:
                outputs = outputs[4 * dilation : -4 * dilation]
            for _ in range(dilations.count(dilation)):
                positive = (outputs > layer.biases[row, len(columns)]).double()
                columns.append(float(positive.mean()) if len(positive) else 0.0)
    return torch.tensor(columns, dtype=torch.float64)


def test_all_statistics_come_after_each_other() -> None:
    x = batch()
    options = {"generator": torch.Generator().manual_seed(5)}
    every, ppv = tt.nn.MiniRocket(2, 84 * 8, statistics="all"), tt.nn.MiniRocket(2, 84 * 2)
    every.learn(x, **options)
    ppv.load_state_dict(every.state_dict())
    features = every(x).view(len(x), 4, -1)
    assert torch.equal(features[:, 0], ppv(x))
    counts = features[:, 3]
    assert torch.equal(counts, counts.round())
    assert float(counts.max()) <= max(LENGTHS)


def test_a_tensor_is_series_of_one_length() -> None:
    x = torch.randn(3, 2, 30)
    layer = learned(Ragged.from_list(list(x.transpose(1, 2))))
    assert torch.equal(layer(x), layer(Ragged.from_list(list(x.transpose(1, 2)))))


def test_the_state_loads_into_a_layer_that_has_learned_nothing() -> None:
    x = batch()
    for options in ({}, {"differences": True}, {"statistics": "all"}):
        layer = learned(x, **options)
        other = tt.nn.MiniRocket(2, 84 * 8, **options)
        assert not torch.equal(other(x), layer(x))
        other.load_state_dict(layer.state_dict())
        assert torch.equal(other(x), layer(x))


def test_the_generator_alone_decides() -> None:
    x = batch(5)
    first, second = learned(x), learned(x)
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))
    torch.manual_seed(0)
    first.learn(x)
    assert not torch.equal(first.biases, second.biases)
    torch.manual_seed(0)
    second.learn(x)
    assert torch.equal(first.biases, second.biases)


def test_long_series_are_preferred_where_a_kernel_needs_them() -> None:
    """The short series is 0: its outputs would give biases of 0."""
    x = Ragged.from_list([torch.zeros(9, 1)] * 20 + [torch.randn(200, 1)])
    layer = learned(x)
    long = layer.biases[0].view(-1)[84 * int((layer.dilations == 1).sum()) :]
    assert (long != 0).all()


def test_series_of_one_step_and_constant_ones_are_learned() -> None:
    for x in (Ragged.from_list([torch.ones(1, 1)]), Ragged.from_list([torch.ones(50, 1)] * 2)):
        layer = learned(x)
        assert layer.biases.isfinite().all()
        assert layer(x).isfinite().all()


def test_training_series_without_steps_are_refused() -> None:
    empty = Ragged.from_lengths(torch.zeros(0, 2), [0, 0])
    with pytest.raises(DataError, match="no training series has more than 0 steps"):
        learned(empty)
    with pytest.raises(DataError, match="no training series has more than 1 steps"):
        learned(Ragged.from_lengths(torch.zeros(1, 2), [1]), differences=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"channels": 1, "features": 83}, "features must be at least 84, .*got 83"),
        ({"channels": 1, "features": 671, "statistics": "all", "differences": True}, "at least 672"),
        ({"channels": 1, "statistics": "max"}, "statistics is one of ppv, all; got 'max'"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        tt.nn.MiniRocket(**arguments)


def test_inputs_that_do_not_fit_are_named() -> None:
    layer = tt.nn.MiniRocket(2, 84)
    with pytest.raises(ShapeError, match="MiniRocket expects 2 features per token"):
        layer(batch(3))
    with pytest.raises(InputTypeError, match="takes floating-point series, got torch.int64"):
        layer(batch().with_values(batch().values.long()))
    with pytest.raises(InputTypeError, match="MiniRocket takes a Ragged"):
        layer(torch.zeros(3, 2))


def test_its_options_are_shown() -> None:
    assert repr(tt.nn.MiniRocket(2, 200)) == "MiniRocket(2, features=168)"
    layer = tt.nn.MiniRocket(2, 2000, statistics="all", differences=True, normalize=True)
    assert repr(layer) == "MiniRocket(2, features=1344, statistics='all', differences=True, normalize=True)"
