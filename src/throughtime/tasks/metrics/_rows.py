"""`ClassMetrics`: one row of a table of classes, labels, tags or span types."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from throughtime._fields import Share
from throughtime.tasks.metrics._weighted import Counts


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall and F1 of one class, label, tag or span type; 0 where the denominator is 0."""

    name: str
    precision: Share
    recall: Share
    f1: Share
    support: int
    """Number of true examples."""


def class_rows(names: Sequence[str], counts: Counts) -> tuple[ClassMetrics, ...]:
    """Return a row for each class of counts with a single round."""
    columns = (counts.precision, counts.recall, counts.f1, counts.support)
    rows = np.concatenate(columns, 1).tolist()
    return tuple(
        ClassMetrics(name, precision, recall, f1, int(support))
        for name, (precision, recall, f1, support) in zip(names, rows, strict=True)
    )
