"""Random convolutions against torch on each series alone, and the distribution of their kernels."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from throughtime.baselines.random_convolutions import RandomConvolutions
from throughtime.ragged import Ragged

LENGTHS = (30, 0, 1, 4, 55)


def _series(channels: int) -> Ragged:
    generator = torch.Generator().manual_seed(0)
    return Ragged.from_list([3 + 2 * torch.randn(n, channels, generator=generator) for n in LENGTHS])


@pytest.mark.parametrize("channels", [1, 4])
def test_features_are_those_of_torch_on_each_series(channels: int) -> None:
    series = _series(channels)
    convolutions = RandomConvolutions.draw(series, 64)
    features = convolutions.features(series)
    mean, scale = series.values.double().mean(0), series.values.double().std(0, correction=0)
    for row, x in zip(features, series.to_list(), strict=True):
        if not len(x):
            assert not row.any()
            continue
        expected = []
        scaled = ((x.double() - mean) / scale).float().T[None]
        for kernels in convolutions.kernels:
            y = F.conv1d(scaled, kernels.weight, kernels.bias, padding="same", dilation=kernels.dilation)[0]
            expected += [(y > 0).float().mean(1), y.amax(1)]
        np.testing.assert_allclose(row, torch.cat(expected).numpy(), rtol=1e-4, atol=1e-5)


def test_features_of_a_series_are_the_same_alone_and_in_a_batch() -> None:
    series = _series(2)
    convolutions = RandomConvolutions.draw(series, 32)
    alone = [convolutions.features(series[i : i + 1]) for i in range(len(series))]
    np.testing.assert_allclose(np.concatenate(alone), convolutions.features(series), rtol=1e-5, atol=1e-6)


def test_kernels_are_those_of_rocket() -> None:
    kernels = RandomConvolutions.draw(_series(20), 500).kernels
    weight = torch.cat([group.weight for group in kernels])
    bias = torch.cat([group.bias for group in kernels])
    assert weight.shape == (500, 20, 11)
    assert weight.sum(2).abs().max() < 1e-5, "the mean of the weights of a channel is 0"
    assert set((weight != 0).sum(2).flatten().tolist()) == {0, 7, 9, 11}
    assert len(set((weight != 0).any(2).sum(1).tolist())) > 3, "kernels read some of the channels"
    assert -1 <= bias.min() < -0.9 < 0.9 < bias.max() <= 1
    dilations = [group.dilation for group in kernels]
    assert dilations == sorted(set(dilations))
    assert (dilations[0], dilations[-1]) == (1, (55 - 1) // 6 - 1)


def test_kernels_depend_on_the_seed_only() -> None:
    series = _series(1)
    first, second, other = (
        RandomConvolutions.draw(series, 8, seed=seed).features(series) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)


def test_a_constant_channel_and_series_without_steps_have_finite_features() -> None:
    constant = Ragged.from_list([torch.ones(5, 1)])
    assert np.isfinite(RandomConvolutions.draw(constant, 8).features(constant)).all()
    empty = Ragged.from_list([torch.ones(0, 1)])
    assert not RandomConvolutions.draw(constant, 8).features(empty).any()
