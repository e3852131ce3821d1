"""`Autoregression`: each step of a series given the one before it, for anomaly detection."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from throughtime.baselines.baseline import Fit
from throughtime.baselines.features import neighbours, of_steps, steps_of
from throughtime.baselines.linear import Floats
from throughtime.baselines.rows import Rows, weights_of_sequences
from throughtime.data.examples import Examples
from throughtime.ragged import Ragged

LEAST_VARIANCE = 1e-6
"""Least variance of errors, relative to that of the channel."""


@dataclass(frozen=True)
class Autoregression:
    """Gaussian autoregression of order 1 of each channel by itself.

    x_0 ~ N(m, v);  x_t ~ N(m + a (x_{t−1} − m), s),  t ≥ 1

    Parameters
    ----------
    mean, variance : ndarray
        m and v, (C,): over all training steps.
    slope, residual : ndarray
        a and s, (C,): least squares over all pairs of neighbouring training steps.
    """

    mean: Floats
    variance: Floats
    slope: Floats
    residual: Floats

    @classmethod
    def fitted(cls, examples: Examples) -> "Autoregression":
        """Fit all channels; a sequence has its weight at each step."""
        series = steps_of(examples)
        values, weights = series.values.double().numpy(), _weights_of_steps(series, examples)
        mean = np.average(values, 0, weights)
        centred = values - mean
        variance = np.average(np.square(centred), 0, weights)
        variance = np.where(variance > 0, variance, 1.0)
        before, after = neighbours(series, -1)
        slope, residual = _regressed(centred[before], centred[after], weights[after, None], variance)
        return cls(mean, variance, slope, np.maximum(residual, LEAST_VARIANCE * variance))

    def __call__(self, examples: Examples) -> Ragged:
        """Return −log p of each step, the sum over channels, (T, 1) float64."""
        series = steps_of(examples)
        centred = series.values.double().numpy() - self.mean
        error, variance = centred.copy(), np.tile(self.variance, (len(centred), 1))
        before, after = neighbours(series, -1)
        error[after] -= self.slope * centred[before]
        variance[after] = self.residual
        surprise = 0.5 * (np.log(2 * math.pi * variance) + np.square(error) / variance).sum(1, keepdims=True)
        return series.with_values(torch.from_numpy(surprise))


def autoregression(rows: Rows, _outputs: int, _seconds: float) -> Fit | None:
    """Fit an autoregression to the training series; None if they have no steps."""
    if not rows.training.inputs.layout.total:
        return None
    model = Autoregression.fitted(rows.training)
    return Fit(model, 4 * len(model.mean), len(rows.training), rows.training.inputs.layout.total)


def _weights_of_steps(series: Ragged, examples: Examples) -> Floats:
    return of_steps(weights_of_sequences(examples), series)


def _regressed(x: Floats, y: Floats, weights: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Return slope and mean squared error of y ≈ slope · x; the variance if there are no pairs."""
    if not len(x):
        return np.zeros_like(variance), variance
    squares = (weights * x * x).sum(0)
    slope = (weights * x * y).sum(0) / np.where(squares > 0, squares, 1.0)
    return slope, (weights * np.square(y - slope * x)).sum(0) / weights.sum()
