"""Summary features of series: moments, quantiles, trend and autocorrelation of values and of differences."""

import numpy as np
from numpy.typing import NDArray

from throughtime.ragged import Ragged

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Quantiles that are features; 0 and 1 are minimum and maximum."""
LAGS = (1, 2, 3)
"""Lags of the autocorrelations that are features."""
PER_CHANNEL = 2 * (5 + len(QUANTILES) + len(LAGS))
"""Features of each channel."""


def summary_features(series: Ragged) -> Floats:
    r"""Return the length of each series, and summaries of each channel and of its first differences.

    These are the mean, the standard deviation, `QUANTILES`, the first and the last value, the rise of the
    least-squares line from the first to the last step, and the autocorrelations at `LAGS`,

    r_k = Σ_t (x_t − m) (x_{t−k} − m) / Σ_t (x_t − m)²,  m the mean.

    What is not defined is 0: all of an empty series, differences of a single step, the rise and the
    autocorrelations of constant values.

    Parameters
    ----------
    series : Ragged
        (T, C) steps.

    Returns
    -------
    ndarray
        (B, 1 + C · `PER_CHANNEL`) float64. A row depends on its own series only.

    Examples
    --------
    >>> import torch
    >>> features = summary_features(Ragged.from_list([torch.tensor([[1.0], [2.0], [6.0]])]))
    >>> features[0, :3].round(3)  # length, mean, standard deviation
    array([3.  , 3.  , 2.16])
    """
    values, ids = series.values.double().numpy(), series.sequence_ids().numpy()
    lengths = series.lengths.numpy()
    follows = series.positions().numpy() > 0
    differences, difference_ids = np.diff(values, axis=0)[follows[1:]], ids[follows]
    of_values = _summaries(values, ids, lengths)
    of_differences = _summaries(differences, difference_ids, np.maximum(lengths - 1, 0))
    return np.column_stack([lengths.astype(np.float64), of_values, of_differences])


def _summaries(values: Floats, ids: Integers, lengths: Integers) -> Floats:
    """Return (B, C · F) features of rows (T, C), whose sequences are numbered by ids (T,)."""
    counts = np.maximum(lengths, 1)[:, None]
    starts = np.cumsum(lengths) - lengths
    mean = _sums(values, ids, len(lengths)) / counts
    centred = values - mean[ids]
    squares = _sums(np.square(centred), ids, len(lengths))
    ends = [_at(values, starts, lengths), _at(values, starts + lengths - 1, lengths)]
    correlations = [_autocorrelation(centred, squares, ids, lag) for lag in LAGS]
    rise = _rise(centred, ids, starts, lengths)
    quantiles = _quantiles(values, ids, starts, lengths)
    return np.column_stack([mean, np.sqrt(squares / counts), *quantiles, *ends, rise, *correlations])


def _sums(values: Floats, ids: Integers, count: int) -> Floats:
    """Return the sums (B, C) over each sequence, added up in order."""
    channels = values.shape[1]
    bins = (ids[:, None] * channels + np.arange(channels)).ravel()
    sums = np.bincount(bins, values.ravel(), count * channels).astype(np.float64)
    return sums.reshape(count, channels)


def _at(values: Floats, places: Integers, lengths: Integers) -> Floats:
    """Return the rows at these places, zeros for empty sequences."""
    taken = np.zeros((len(lengths), values.shape[1]))
    filled = lengths > 0
    taken[filled] = values[places[filled]]
    return taken


def _quantiles(values: Floats, ids: Integers, starts: Integers, lengths: Integers) -> list[Floats]:
    """Return each quantile (B, C), interpolated linearly as `numpy.quantile` does."""
    ordered = np.column_stack([column[np.lexsort((column, ids))] for column in values.T])
    quantiles = []
    for share in QUANTILES:
        place = share * np.maximum(lengths - 1, 0)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(lengths - 1, 0))
        low, high = _at(ordered, starts + below, lengths), _at(ordered, starts + above, lengths)
        quantiles.append(low + (place - below)[:, None] * (high - low))
    return quantiles


def _rise(centred: Floats, ids: Integers, starts: Integers, lengths: Integers) -> Floats:
    """Return the slope of the least-squares line times the number of steps between its ends."""
    spans = np.maximum(lengths - 1, 0)
    time = np.arange(len(ids)) - starts[ids] - spans[ids] / 2
    covariance = _sums(centred * time[:, None], ids, len(lengths))
    squared_times = lengths * (np.square(lengths.astype(np.float64)) - 1) / 12
    return covariance * (spans / np.where(squared_times > 0, squared_times, 1.0))[:, None]


def _autocorrelation(centred: Floats, squares: Floats, ids: Integers, lag: int) -> Floats:
    """Return the autocorrelations (B, C) at a lag; 0 where all values are the same."""
    same = ids[lag:] == ids[: max(0, len(ids) - lag)]
    products = (centred[lag:] * centred[: max(0, len(centred) - lag)])[same]
    correlations = _sums(products, ids[lag:][same], len(squares))
    return np.divide(correlations, squares, out=np.zeros_like(squares), where=squares > 0)
