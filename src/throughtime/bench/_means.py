"""Means of ratios."""

import math
from collections.abc import Iterable


def geometric_mean(values: Iterable[float]) -> float:
    """Return exp of the mean logarithm."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))
