"""Usual gaps and parameters of each template, and how surprising unusual ones are.

A gap is the time from the previous record of the session to a record of the template. The values of a
parameter are numbers in a range, or one of a few texts. Gaps and parameters whose values are often unusual,
such as identifiers, are not used. That values are compared apart from the sequence of templates is an idea of
M. Du, F. Li, G. Zheng and V. Srikumar, "DeepLog: anomaly detection and diagnosis from system logs through
deep learning", CCS (2017), section 3.3.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from throughtime._fields import Fields, to_json
from throughtime.logs.sequences import Sequences

GAP = "gap"
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
_NUMBER = re.compile(r"([-+]?\d{1,18}(?:\.\d{1,18})?)(?:[A-Za-zµ]{1,3}|%)?")


@dataclass(frozen=True)
class Usual:
    """Usual values of the gap or of a parameter of a template.

    Parameters
    ----------
    template : int
        Number of the template.
    position : int
        Number of the parameter, from 1; 0 is the gap.
    total, unusual : int
        Number of training values, and of those that are unusual: numbers outside the range, or texts that
        occur only once.
    low, high : float or None
        The range of numbers; None without a bound.
    texts : tuple of str
        The values of a parameter that is not a number, or one of at most 10 numbers, such as a status.
    """

    template: int
    position: int
    total: int
    unusual: int
    low: float | None
    high: float | None
    texts: tuple[str, ...]

    @property
    def surprise(self) -> float:
        """Surprise of an unusual value, −log((unusual + 1) / (total + 1)) in nats.

        For texts, this is the estimate of Good and Turing of the probability of a new value, with 1 added.
        """
        return float(-np.log((self.unusual + 1) / (self.total + 1)))

    def contains(self, text: str) -> bool:
        """Return whether the value of a parameter is usual."""
        if self.texts:
            return text in self.texts
        number = number_of(text)
        return number is not None and self.includes(number)

    def includes(self, number: float) -> bool:
        """Return whether a number is in the range."""
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)

    def describe(self) -> str:
        """Return the usual values as text."""
        if self.texts:
            shown = ", ".join(self.texts[:3])
            return f"{shown}, …" if len(self.texts) > 3 else shown
        low = "" if self.low is None else f"at least {_number(self.low)}"
        high = "" if self.high is None else f"at most {_number(self.high)}"
        return " and ".join(filter(None, (low, high))) + (" s" if self.position == 0 else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


class UnusualValue(NamedTuple):
    """An unusual gap or parameter of a record.

    Parameters
    ----------
    name : str
        "gap", or "parameter" and its number, from 1.
    value, usual : str
        The value, and the usual values.
    surprise : float
        −log of the probability of an unusual value, see `Usual.surprise`.
    """

    name: str
    value: str
    usual: str
    surprise: float


class Check(NamedTuple):
    """Result for the parameters of a record: number of values that were checked, and the largest surprise."""

    checked: int
    surprise: float


class Values:
    """The usual gaps and parameters of all templates.

    Parameters
    ----------
    usual : iterable of Usual
        Of those that are used.
    templates : int
        Number of templates.

    Examples
    --------
    >>> status = Usual(0, 1, 400, 0, None, None, ("200", "204"))
    >>> values = Values([status], templates=1)
    >>> values.check(0, ["200"]), values.check(0, ["500"]).checked
    (Check(checked=1, surprise=0.0), 1)
    >>> values.unusual(0, ["500"], None)[0].usual
    '200, 204'
    """

    def __init__(self, usual: Iterable[Usual], templates: int) -> None:
        self.usual = tuple(usual)
        self._gaps: list[Usual | None] = [None] * templates
        self._parameters: list[list[Usual]] = [[] for _ in range(templates)]
        for one in self.usual:
            if one.position:
                self._parameters[one.template].append(one)
            else:
                self._gaps[one.template] = one
        inf = float("inf")
        highs = [inf if gap is None or gap.high is None else gap.high for gap in self._gaps]
        self._high = np.array([*highs, inf])
        self._of_gap = np.array([*(0.0 if gap is None else gap.surprise for gap in self._gaps), 0.0])

    def check(self, event: int, parameters: Sequence[str]) -> Check:
        """Return the result for the parameters of a record."""
        known = self._parameters[event]
        surprise = 0.0
        for usual in known:
            if usual.position <= len(parameters) and not usual.contains(parameters[usual.position - 1]):
                surprise = max(surprise, usual.surprise)
        return Check(len(known), surprise)

    def has_parameters(self, event: int) -> bool:
        """Return whether parameters of a template are checked."""
        return event >= 0 and bool(self._parameters[event])

    def check_gap(self, event: int, gap: float | None) -> Check:
        """Return the result for the gap before a record; None if there is none."""
        usual = None if event < 0 else self._gaps[event]
        if usual is None or gap is None:
            return Check(0, 0.0)
        return Check(1, 0.0 if usual.includes(gap) else usual.surprise)

    def check_gaps(
        self, events: NDArray[np.int64], gaps: NDArray[np.float64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return which gaps are checked, and their surprises, (M,) each; NaN is no gap, event −1 is new."""
        surprise = self._of_gap[events]
        checked = (surprise > 0) & ~np.isnan(gaps)
        return checked, np.where(checked & (gaps > self._high[events]), surprise, 0.0)

    def unusual(self, event: int, parameters: Sequence[str], gap: float | None) -> list[UnusualValue]:
        """Return the unusual values of a record."""
        if event < 0:
            return []
        found = [
            UnusualValue(
                f"parameter {usual.position}",
                parameters[usual.position - 1],
                usual.describe(),
                usual.surprise,
            )
            for usual in self._parameters[event]
            if usual.position <= len(parameters) and not usual.contains(parameters[usual.position - 1])
        ]
        of_gap = self._gaps[event]
        if of_gap is not None and gap is not None and not of_gap.includes(gap):
            found.append(UnusualValue(GAP, f"{_number(gap)} s", of_gap.describe(), of_gap.surprise))
        return found

    def extended(self, start: "Values", templates: int) -> "Values":
        """Return these values, and for templates without any those of an earlier model."""
        known = {usual.template for usual in self.usual}
        kept = [usual for usual in start.usual if usual.template not in known]
        return Values((*self.usual, *kept), templates)

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON values."""
        content: dict[str, Any] = to_json(_Stored(self.usual))
        return content

    @classmethod
    def from_json(cls, content: Any, templates: int) -> Self:
        """Return what `to_json` wrote; raises ValueError for other content."""
        stored = Fields(content, "values.").dataclass(_Stored)
        if any(usual.template >= templates for usual in stored.usual):
            raise ValueError(f"values.usual.template must be below {templates}")
        return cls(stored.usual, templates)


@dataclass(frozen=True)
class _Stored:
    usual: tuple[Usual, ...]


def number_of(text: str) -> float | None:
    """Return the number of a parameter, without its unit; None if it is none.

    Examples
    --------
    >>> number_of("12ms"), number_of("-0.5"), number_of("10.0.0.1")
    (12.0, -0.5, None)
    """
    match = _NUMBER.fullmatch(text)
    return None if match is None else float(match[1])


def evidence_of(checked: NDArray[np.int64], surprise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return max(0, surprise − log(checked)): the largest surprise, adjusted for the number of values.

    Examples
    --------
    >>> evidence_of(np.array([0, 10]), np.array([0.0, 6.0])).round(2).tolist()
    [0.0, 3.7]
    """
    return np.asarray(np.maximum(0.0, surprise - np.log(np.maximum(checked, 1))))


def gaps_of(sequences: Sequences) -> NDArray[np.float64]:
    """Return the time from the previous record of the sequence, (M,) seconds; NaN for the first."""
    times = sequences.events.time[sequences.rows]
    gaps = np.diff(times, prepend=np.nan)
    gaps[sequences.offsets[:-1]] = np.nan
    return np.maximum(gaps, 0.0)


class ValueSteps(NamedTuple):
    """Results for the gaps and parameters of sequences.

    Parameters
    ----------
    evidence : ndarray
        (S,) float64: evidence of unusual values in each sequence without its context, see `evidence_of`.
    surprise : ndarray
        (M + S,) float64: the largest surprise of a value at each step; 0 at the ends of sequences.
    """

    evidence: NDArray[np.float64]
    surprise: NDArray[np.float64]


def value_steps(
    values: Values, sequences: Sequences, checked: NDArray[np.int64], surprise: NDArray[np.float64]
) -> ValueSteps:
    """Return the results for the gaps and parameters of sequences.

    Parameters
    ----------
    values : Values
        The usual values.
    sequences : Sequences
        The sequences of a log.
    checked, surprise : ndarray
        (N,): results for the parameters of its records, see `Check`.
    """
    lengths, rows, starts = np.diff(sequences.offsets), sequences.rows, sequences.offsets[:-1]
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    counted = np.arange(len(rows)) - starts[sequence] >= sequences.context[sequence]
    has_gap, of_gap = values.check_gaps(sequences.events.event[rows], gaps_of(sequences))
    number = np.where(counted, checked[rows] + has_gap, 0)
    largest = np.where(counted, np.maximum(surprise[rows], of_gap), 0.0)
    steps = np.zeros(len(rows) + len(lengths))
    steps[np.arange(len(rows)) + sequence] = largest
    evidence = evidence_of(np.add.reduceat(number, starts), np.maximum.reduceat(largest, starts))
    return ValueSteps(evidence, steps)


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
