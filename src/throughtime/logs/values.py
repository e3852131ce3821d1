"""Usual gaps and parameters of each template, and how surprising unusual ones are.

A gap is the time from the previous record of the session to a record of the template. The values of a
parameter are numbers in a range, or one of a few texts. Gaps and parameters whose values are often unusual,
such as identifiers, are not used. That values are compared apart from the sequence of templates is an idea of
M. Du, F. Li, G. Zheng and V. Srikumar, "DeepLog: anomaly detection and diagnosis from system logs through
deep learning", CCS (2017), section 3.3.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from throughtime._fields import Fields, to_json

GAP = "gap"
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
        for entry in self.usual:
            if entry.position:
                self._parameters[entry.template].append(entry)
            else:
                self._gaps[entry.template] = entry
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
        values = [
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
            values.append(UnusualValue(GAP, f"{_number(gap)} s", of_gap.describe(), of_gap.surprise))
        return values

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
