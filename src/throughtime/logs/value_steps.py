"""The evidence of unusual gaps and parameters in sequences of records."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from throughtime.logs.sequences import Sequences
from throughtime.logs.values import Values


def evidence_of(checked: ArrayLike, surprise: ArrayLike) -> NDArray[np.float64]:
    """Return the evidence of unusual values: max(0, surprise − log(checked)) in nats.

    Parameters
    ----------
    checked : array_like
        Number of values that were checked.
    surprise : array_like
        Largest surprise of one of them; it is adjusted for their number, as in a Bonferroni test.

    Examples
    --------
    >>> evidence_of([0, 10], [0.0, 6.0]).round(2).tolist()
    [0.0, 3.7]
    """
    return np.asarray(np.maximum(0.0, np.asarray(surprise) - np.log(np.maximum(checked, 1))))


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
