"""Geometric mean and minimum of ratios."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """Summary of comparisons: geometric mean and worst value."""

    what: str
    mean: float
    worst: float
    worst_at: str
    count: int

    @classmethod
    def of(cls, what: str, figures: Sequence[tuple[float, str]]) -> "Line":
        """Summarize figures with their places; higher figures are better."""
        worst, place = min(figures)
        return cls(what, geometric_mean(figure for figure, _ in figures), worst, place, len(figures))


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean, exp of the mean logarithm."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))
