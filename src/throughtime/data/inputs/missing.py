"""Missing values of series and columns, filled in."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Missing = Literal["interpolate", "forward", "zero", "mean", "mask", "padding"]
"""How to fill in missing values of series: between their neighbours, with the last value, with 0, with the
mean of the channel in training, or with that mean and a channel more that is 1 where a value was missing; or
how to drop them at the end of a series."""

ColumnMissing = Literal["zero", "mean", "mask"]
"""How to fill in missing values of numeric columns, which have no neighbours."""

Floats = NDArray[np.float64]


def fill_missing(values: Floats, offsets: NDArray[np.int64], policy: Missing, means: Floats) -> Floats:
    r"""Return values with those that are not finite filled in.

    ``"interpolate"`` is linear between the observed neighbours :math:`x_a` and :math:`x_b` of step t,

    .. math:: x_t = x_a + (x_b - x_a) \frac{t - a}{b - a},

    and the only neighbour at the ends. ``"forward"`` is :math:`x_a`. Where there is no neighbour, the mean of
    the channel is filled in.

    Parameters
    ----------
    values : (T, C)
        Steps of all series.
    offsets : (B + 1,)
        Start of each series and the end of the last.
    policy
        How to fill in; ``"mask"`` fills in the mean.
    means : (C,)
        Mean of each channel in training.

    Examples
    --------
    >>> values = np.array([[1.0], [np.nan], [2.0], [np.nan]])
    >>> fill_missing(values, np.array([0, 3, 4]), "interpolate", np.array([7.0])).ravel().tolist()
    [1.0, 1.5, 2.0, 7.0]
    """
    missing = ~np.isfinite(values)
    if not missing.any():
        return values
    if policy == "zero":
        return np.where(missing, 0.0, values)
    if policy in {"mean", "mask"}:
        return np.where(missing, means, values)
    return np.where(missing, _from_neighbours(values, missing, offsets, policy, means), values)


def _from_neighbours(
    values: Floats, missing: NDArray[np.bool_], offsets: NDArray[np.int64], policy: Missing, means: Floats
) -> Floats:
    lengths = np.diff(offsets)
    steps = np.arange(len(values))[:, None]
    before = np.maximum.accumulate(np.where(missing, -1, steps), axis=0)
    has_before = before >= np.repeat(offsets[:-1], lengths)[:, None]
    last = np.where(has_before, np.take_along_axis(values, before, axis=0), means)
    if policy == "forward":
        return last
    after = np.minimum.accumulate(np.where(missing, len(values), steps)[::-1], axis=0)[::-1]
    has_after = after < np.repeat(offsets[1:], lengths)[:, None]
    following = np.take_along_axis(values, np.minimum(after, len(values) - 1), axis=0)
    with np.errstate(
        invalid="ignore", divide="ignore"
    ):  # where a neighbour is absent, or a value is observed
        between = last + (following - last) * ((steps - before) / (after - before))
    return np.where(has_before & has_after, between, np.where(has_after, following, last))
