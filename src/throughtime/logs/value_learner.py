"""Learning of the usual gaps and parameters of templates from training records."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime.logs.values import Usual, number_of

_MOST_TEXTS = 64
"""Maximum number of distinct values of a parameter that is not a number."""
_MOST_CODES = 10
"""Maximum number of distinct numbers that are codes, such as statuses, rather than quantities."""
_MOST_NUMBERS = 10_000
_FEWEST = 20
"""Minimum number of training values of a gap or parameter."""
_MARGIN = 4.0
"""Factor by which the range of numbers is widened on both sides."""
_TAIL = 0.005
"""Fraction of numbers below and above the range that is widened."""
_WIDEST = 20.0
"""Maximum ratio of the median and a quantile from which a bound is derived.

Beyond, the distribution has a heavy tail or a density at 0, and the bound would often be exceeded.
"""
_MOST_UNUSUAL = 0.05
"""Maximum fraction of unusual values in training of gaps and parameters that are used."""


@dataclass
class _Seen:
    """Training values of a parameter."""

    total: int = 0
    texts: Counter[str] | None = field(default_factory=Counter)
    """None if there are too many."""
    numbers: Any = field(default_factory=lambda: array("d"))
    """An array of the first ones; None if a value is not a number."""

    def add(self, text: str) -> None:
        self.total += 1
        if self.texts is not None:
            self.texts[text] += 1
            if len(self.texts) > _MOST_TEXTS:
                self.texts = None
        if self.numbers is not None and self.total <= _MOST_NUMBERS:
            number = number_of(text)
            if number is None:
                self.numbers = None
            else:
                self.numbers.append(number)


class ValueLearner:
    """Collects the parameters of training records."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], _Seen] = {}

    def add(self, event: int, parameters: Sequence[str]) -> None:
        """Add the parameters of a record."""
        for position, text in enumerate(parameters, start=1):
            self._seen.setdefault((event, position), _Seen()).add(text)

    def usual(self) -> Iterator[Usual]:
        """Yield the usual values of those parameters that are used."""
        for (event, position), seen in self._seen.items():
            usual = None
            if seen.texts is not None and (seen.numbers is None or len(seen.texts) <= _MOST_CODES):
                single = sum(count == 1 for count in seen.texts.values())
                usual = Usual(event, position, seen.total, single, None, None, tuple(sorted(seen.texts)))
            elif seen.numbers is not None:
                usual = _range(event, position, np.asarray(seen.numbers))
            if usual is not None and is_used(usual):
                yield usual


def is_used(usual: Usual) -> bool:
    """Return whether there are enough values, few of them unusual."""
    return usual.total >= _FEWEST and usual.unusual <= _MOST_UNUSUAL * usual.total


def usual_gaps(events: NDArray[np.int64], gaps: NDArray[np.float64]) -> Iterator[Usual]:
    """Yield the usual gaps of templates that are used.

    The bound is 4 times the 99.5 % quantile, at least 4 times the smallest gap of the log that is not 0. If
    the quantile is more than 20 times the median, the distribution has a heavy tail, and there is no bound.
    """
    stamped = ~np.isnan(gaps) & (events >= 0)
    events, gaps = events[stamped], gaps[stamped]
    resolution = float(gaps[gaps > 0].min(initial=np.inf))
    if not np.isfinite(resolution):
        return
    order = np.argsort(events, kind="stable")
    distinct, starts = np.unique(events[order], return_index=True)
    for event, of_event in zip(distinct.tolist(), np.split(gaps[order], starts[1:]), strict=True):
        middle, largest = np.maximum(np.quantile(of_event, [0.5, 1 - _TAIL]), resolution).tolist()
        high = _MARGIN * largest
        usual = Usual(event, 0, len(of_event), int((of_event > high).sum()), None, high, ())
        if largest <= _WIDEST * middle and is_used(usual):
            yield usual


def _range(event: int, position: int, numbers: NDArray[np.float64]) -> Usual | None:
    """Return the usual range of a parameter; None if it has no bound."""
    low, middle, high = np.quantile(numbers, [_TAIL, 0.5, 1 - _TAIL]).tolist()
    low = low / _MARGIN if 0 < middle <= _WIDEST * low else None
    high = high * _MARGIN if 0 < high <= _WIDEST * middle else None
    if low is None and high is None:
        return None
    usual = Usual(event, position, len(numbers), 0, low, high, ())
    return replace(usual, unusual=sum(not usual.includes(number) for number in numbers.tolist()))
