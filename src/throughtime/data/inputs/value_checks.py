"""Checks of numbers, with the place of the first that is missing or too large."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from throughtime._options import named
from throughtime._words import counted
from throughtime.errors import DataError

Floats = NDArray[np.float64]
Position = Callable[[int], tuple[str, str]]
"""Row, such as "a.csv: row 7", and place in it, such as "at step 3", of a value counted in memory order."""

_LARGEST = float(np.finfo(np.float32).max)


def require_complete(values: Floats, position: Position, policies: str) -> None:
    """Check that all values are finite.

    Parameters
    ----------
    values
        Any shape.
    position
        Place of a value for the message.
    policies
        What ``missing`` may be.

    Raises
    ------
    DataError
        If a value is missing or infinite; the message gives the place of the first.

    Examples
    --------
    >>> require_complete(np.array([1.0, np.nan]), lambda value: ("row 1", f"at step {value + 1}"), "mean")
    Traceback (most recent call last):
        ...
    throughtime.errors.DataError: row 1 has no value (null or NaN) at step 2; fill in missing values with \
missing= (--missing): mean
    """
    missing = np.flatnonzero(~np.isfinite(values))
    if not len(missing):
        return
    row, where = position(int(missing[0]))
    value = values.reshape(-1)[missing[0]]
    what, advice = "no value (null or NaN)", f"fill in missing values with {named('missing')}"
    if not np.isnan(value):
        what = f"an infinite value ({value:g})"
        advice = f"correct it, or treat infinite values as missing with {named('missing')}"
    others = f" (and at {counted(len(missing) - 1, 'more place')})" if len(missing) > 1 else ""
    raise DataError(f"{row} has {what} {where}{others}; {advice}: {policies}")


def require_float32(scaled: Floats, values: Floats, position: Position) -> None:
    """Check that values, scaled or not, are in the range of float32; those that are missing are ignored.

    Raises
    ------
    DataError
        If one is not; the message gives the place of the first.
    """
    too_large = np.flatnonzero((np.abs(scaled) > _LARGEST) & np.isfinite(values))
    if len(too_large):
        row, where = position(int(too_large[0]))
        raise DataError(
            f"{row} has {values.reshape(-1)[too_large[0]]:g} {where}, which is out of the range of float32; "
            "correct it or use larger units"
        )
