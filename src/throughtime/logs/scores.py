"""The score of a session from the surprise of its steps: the mean of its three largest values.

The reduction was chosen without labels: the sum, the mean, the maximum and others were compared by how well
they separate held-out normal sessions from synthetic anomalies, which are such sessions with events dropped,
repeated, inserted, replaced or in another order; see ``docs/log.md`` and the references of `session_scores`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LARGEST = 3
"""Number of the most surprising steps of a session that its score is the mean of."""


def session_scores(surprise: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the score of each session, (S,) float64.

        score = (s_(1) + s_(2) + s_(3)) / 3,

    where s_(1) ≥ s_(2) ≥ s_(3) are the largest surprises; missing ones of shorter sessions are 0.

    Parameters
    ----------
    surprise : ndarray
        (M,) float64: the surprise of each step of all sessions, in nats, 0 for steps that do not count.
    lengths : ndarray
        (S,) int64: number of steps of each session, at least 1.

    References
    ----------
    M. Goswami, C. Challu, L. Callot, L. Minorics and A. Kan, "Unsupervised model selection for time-series
    anomaly detection", ICLR (2023).

    X. Zhang et al., "Robust log-based anomaly detection on unstable log data", ESEC/FSE (2019), for the
    changes of log sequences.

    Examples
    --------
    >>> session_scores(np.array([1.0, 5.0, 0.0, 3.0, 9.0]), np.array([4, 1])).tolist()
    [3.0, 3.0]
    """
    session = np.repeat(np.arange(len(lengths)), lengths)
    descending = surprise[np.lexsort((-surprise, session))]
    starts = np.cumsum(lengths) - lengths
    rank = np.arange(len(surprise)) - np.repeat(starts, lengths)
    return np.asarray(np.add.reduceat(np.where(rank < LARGEST, descending, 0.0), starts) / LARGEST)


def score_of(largest: Sequence[float]) -> float:
    """Return the score of a session from its largest surprises, at most three."""
    return sum(largest) / LARGEST


def with_step(largest: Sequence[float], surprise: float) -> list[float]:
    """Return the largest surprises of a session after one more step."""
    return sorted((*largest, surprise), reverse=True)[:LARGEST]
