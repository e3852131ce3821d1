"""Means of ratios, and the worst of them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """Figures of some comparisons: their geometric mean, and the worst of them."""

    what: str
    mean: float
    worst: float
    worst_at: str
    count: int

    @classmethod
    def of(cls, what: str, figures: Sequence[tuple[float, str]]) -> "Line":
        """Summarize figures, more of which is better, each with its place."""
        worst, place = min(figures)
        return cls(what, geometric_mean(figure for figure, _ in figures), worst, place, len(figures))


def geometric_mean(values: Iterable[float]) -> float:
    """Return exp of the mean logarithm."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))
