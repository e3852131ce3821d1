"""Mean and scale of channels, over all training rows or within each series."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from throughtime._fields import Fields

Scale = Literal["standard", "series", "none"]
"""Standardize each channel over all training rows, each channel of each series by itself, or not at all."""

Floats = NDArray[np.float64]


def mean_and_scale(values: Floats) -> tuple[Floats, Floats]:
    r"""Return mean and standard deviation of each channel over its finite values.

    .. math:: \mu = \frac{1}{n} \sum_i x_i, \qquad \sigma = \sqrt{\frac{1}{n} \sum_i (x_i - \mu)^2}

    A channel that is constant up to rounding has scale 1, as in scikit-learn's ``StandardScaler``; one
    without finite values has mean NaN.

    Parameters
    ----------
    values : (T, C)
        Steps.

    Examples
    --------
    >>> mean, scale = mean_and_scale(np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0]]))
    >>> mean.tolist(), scale.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    """
    return mean_and_scale_of_parts(lambda: [(values, np.array([len(values)]))])


def mean_and_scale_of_parts(
    parts: Callable[[], Iterable[tuple[Floats, NDArray[np.int64]]]],
) -> tuple[Floats, Floats]:
    """Return what `mean_and_scale` does for series in several parts, independently of how they are divided.

    Parameters
    ----------
    parts : callable
        Returns the steps (T, C) and the lengths (B,) of the series of each part. It is called three times.

    Examples
    --------
    >>> part = np.array([[1.0], [3.0]]), np.array([2])
    >>> mean_and_scale_of_parts(lambda: [part, part])
    (array([2.]), array([1.]))
    """
    count = _total(parts(), np.isfinite)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = _total(parts(), lambda values: np.where(np.isfinite(values), values, 0.0)) / count
        variance = _total(parts(), lambda values: _squared_distance(values, mean)) / count
    return mean, _scale(mean, variance, count)


def _squared_distance(values: Floats, mean: Floats) -> Floats:
    return np.square(np.where(np.isfinite(values), values - mean, 0.0))


def _total(
    parts: Iterable[tuple[Floats, NDArray[np.int64]]], terms: Callable[[Floats], NDArray[Any]]
) -> Floats:
    """Return the sum (C,) of the terms of all steps: of each series, then of all series one by one."""
    total: Floats | None = None
    for values, lengths in parts:
        starts = (np.cumsum(lengths) - lengths)[lengths > 0]
        sums = np.add.reduceat(terms(values).astype(np.float64), starts, axis=0) if len(starts) else values
        before = np.zeros((1, values.shape[1])) if total is None else total[None]
        total = np.add.accumulate(np.concatenate((before, sums)), axis=0)[-1]
    return np.empty(0) if total is None else total


def standardize(values: Floats, means: Sequence[float], scales: Sequence[float]) -> Floats:
    """Return values (n, C) minus the mean, divided by the scale, of their channel; infinite beyond float64.

    Examples
    --------
    >>> standardize(np.array([[1.0, 5.0]]), [3.0, 5.0], [2.0, 1.0]).tolist()
    [[-1.0, 0.0]]
    """
    with np.errstate(over="ignore"):
        scaled: Floats = (values - np.array(means)) / np.array(scales)
    return scaled


def standardize_series(values: Floats, lengths: NDArray[np.int64]) -> Floats:
    """Return values minus the mean, divided by the standard deviation, of their own series and channel.

    Parameters
    ----------
    values : (T, C)
        Finite steps of all series.
    lengths : (B,)
        Number of steps of each series.

    Examples
    --------
    >>> standardize_series(np.array([[1.0], [3.0], [7.0]]), np.array([2, 1])).ravel().tolist()
    [-1.0, 1.0, 0.0]
    """
    lengths = lengths[lengths > 0]
    if not len(lengths):
        return values
    starts = np.cumsum(lengths) - lengths
    count = lengths[:, None]
    mean = np.add.reduceat(values, starts, axis=0) / count
    centred = values - np.repeat(mean, lengths, axis=0)
    variance = np.add.reduceat(np.square(centred), starts, axis=0) / count
    return centred / np.repeat(_scale(mean, variance, count), lengths, axis=0)


@dataclass(frozen=True)
class _Learned:
    means: tuple[float, ...]
    scales: tuple[float, ...]


def learned_scales(content: Fields) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the entries ``means`` and ``scales`` of inputs.

    Raises
    ------
    ValueError
        If one is missing or does not hold numbers, if there are none or not as many means as scales, or if a
        scale is not positive.
    """
    learned = content.dataclass(_Learned)
    if not learned.means or len(learned.means) != len(learned.scales):
        raise ValueError(
            f"there are {len(learned.means)} means and {len(learned.scales)} scales; there must be one of "
            "each per channel"
        )
    if min(learned.scales) <= 0:
        raise ValueError(f"scales must be positive, got {min(learned.scales):g}")
    return learned.means, learned.scales


def _scale(mean: Floats, variance: Floats, count: NDArray[Any]) -> Floats:
    """Return the standard deviation, 1 where the variance is at most its rounding error."""
    eps = np.finfo(np.float64).eps
    constant = ~(variance > count * eps * variance + np.square(count * mean * eps))
    return np.where(constant, 1.0, np.sqrt(variance))
