"""Summary features against NumPy on each series alone."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from throughtime.baselines.summary import LAGS, PER_CHANNEL, QUANTILES, summary_features
from throughtime.ragged import Ragged

Floats = NDArray[np.float64]


def _correlation(x: Floats, lag: int) -> float:
    centred = x - x.mean()
    total = float(centred @ centred)
    return float(centred[lag:] @ centred[: max(0, len(x) - lag)]) / total if total else 0.0


def _plain(x: Floats) -> list[float]:
    """Return the summaries of one channel."""
    if not len(x):
        return [0.0] * (PER_CHANNEL // 2)
    rise = np.polyfit(np.arange(len(x)), x, 1)[0] * (len(x) - 1) if len(x) > 1 else 0.0
    quantiles = [float(np.quantile(x, q)) for q in QUANTILES]
    return [x.mean(), x.std(), *quantiles, x[0], x[-1], rise, *(_correlation(x, lag) for lag in LAGS)]


def _expected(series: Floats) -> Floats:
    """Return the features of one series (L, C), a summary of all channels after the other."""
    of_values = np.array([_plain(channel) for channel in series.T]).T.ravel()
    of_differences = np.array([_plain(np.diff(channel)) for channel in series.T]).T.ravel()
    return np.concatenate([[len(series)], of_values, of_differences])


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_numpy_on_each_series(channels: int) -> None:
    random = np.random.default_rng(0)
    series = [5 + random.normal(size=(length, channels)).cumsum(0) for length in (7, 0, 1, 2, 3, 40, 0)]
    features = summary_features(Ragged.from_list([torch.from_numpy(x) for x in series]))
    assert features.shape == (7, 1 + channels * PER_CHANNEL)
    np.testing.assert_allclose(features, [_expected(x) for x in series], rtol=1e-9, atol=1e-9)


def test_features_of_a_series_are_the_same_alone_and_in_a_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    series = [torch.randn(length, 2, generator=generator) for length in (5, 0, 12, 1)]
    together = summary_features(Ragged.from_list(series))
    for row, x in zip(together, series, strict=True):
        np.testing.assert_array_equal(summary_features(Ragged.from_list([x]))[0], row)


def test_features_of_a_constant_series_are_finite() -> None:
    features = summary_features(Ragged.from_list([torch.full((9, 1), 0.1)]))
    np.testing.assert_allclose(
        features, [_expected(np.full((9, 1), np.float32(0.1), dtype=np.float64))], atol=1e-6
    )
