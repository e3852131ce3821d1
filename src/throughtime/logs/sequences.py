"""`Sequences`: the sessions of a log as sequences of events, long ones in parts."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from throughtime.logs.events import Events

CONTEXT = 32
"""Number of records before a part of a session that are read as context, without a score."""
_LENGTH = 256
_PARTS = 400
_SHORTEST = 16

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Sequences of records.

    Parameters
    ----------
    events : Events
        The records.
    rows : ndarray
        (M,) int64: numbers of the records of all sequences.
    offsets : ndarray
        (S + 1,) int64: where each sequence begins in ``rows``.
    context : ndarray
        (S,) int64: number of first records that belong to the previous part of the session.
    ends : ndarray
        (S,) bool: whether the session ends with the sequence, so that its end is scored.
    """

    events: Events
    rows: Rows
    offsets: Rows
    context: Rows
    ends: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.context)

    def name(self, sequence: int) -> str:
        """Return the name of the session."""
        first = self.rows[self.offsets[sequence]]
        return self.events.chains[int(self.events.chain[first])]

    def records(self, sequence: int) -> Rows:
        """Return the numbers of the records of a sequence, without its context."""
        start = self.offsets[sequence] + self.context[sequence]
        return self.rows[start : self.offsets[sequence + 1]]

    def lists(self, events: Rows) -> pa.ListArray:
        """Return the events of each sequence, from the event of each record."""
        return pa.ListArray.from_arrays(
            pa.array(self.offsets, pa.int32()), pa.array(events[self.rows].astype(np.int32))
        )

    def scored(self) -> NDArray[np.bool_]:
        """Return which steps have a score, (M + S,) bool: those of each sequence, and its end."""
        lengths = np.diff(self.offsets) + 1
        starts = np.cumsum(lengths) - lengths
        place = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        scored: NDArray[np.bool_] = place >= np.repeat(self.context, lengths)
        scored[starts + lengths - 1] = self.ends
        return scored


def sequences_of(events: Events, length: int, open_for: int = 0) -> Sequences:
    """Return the sequences of the records of a log.

    Parameters
    ----------
    events : Events
        The records.
    length : int
        Maximum number of records of a sequence, without its context.
    open_for : int
        Number of records of the log after which a session without new records has ended. Ends of sessions
        that may continue after the log are not scored.
    """
    order = _ordered(events)
    chain, window = events.chain[order], events.window[order]
    new_chain = _changes(chain)
    new_group = new_chain | _changes(window)
    start_of_group = np.maximum.accumulate(np.where(new_group, np.arange(len(order)), 0))
    new_part = (np.arange(len(order)) - start_of_group) % length == 0
    starts = np.flatnonzero(new_part)
    ends = np.append(starts[1:], len(order))
    start_of_chain = np.maximum.accumulate(np.where(new_chain, np.arange(len(order)), 0))[starts]
    context = np.minimum(CONTEXT, starts - start_of_chain)
    lengths = ends - starts + context
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(starts - context, lengths)
    last_of_chain = np.append(new_chain[1:], True)[ends - 1]
    over = len(events) - 1 - order[ends - 1] >= open_for
    ended = last_of_chain & over & events.identified[chain[ends - 1]]
    return Sequences(events, order[places], offsets, context, ended)


def longest_pause(events: Events) -> int:
    """Return the 99 % quantile of the pauses within sessions, in records of the log."""
    order = _ordered(events)
    chain = events.chain[order]
    pauses = np.abs(np.diff(order))[(chain[1:] == chain[:-1]) & events.identified[chain[1:]]]
    return int(np.quantile(pauses, 0.99)) if len(pauses) else 0


def automatic_length(events: Events, length: int | Literal["auto"]) -> int:
    """Return the maximum number of records of a sequence."""
    if length != "auto":
        return length
    if events.identified.any():
        return _LENGTH
    return max(_SHORTEST, min(_LENGTH, len(events) // _PARTS))


def _ordered(events: Events) -> Rows:
    """Return the records ordered by session, within sessions by time if there are several logs."""
    streams = {name: number for number, name in enumerate(dict.fromkeys(f.stream for f in events.files))}
    if len(streams) > 1 and not np.isnan(events.time).any():
        return np.lexsort((events.time, events.chain))
    return np.argsort(events.chain, kind="stable")


def _changes(values: Rows) -> NDArray[np.bool_]:
    """Return where a value differs from the previous one; True for the first."""
    return np.concatenate([[True], values[1:] != values[:-1]])
