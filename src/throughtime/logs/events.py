"""`Events`: the records of a log as columns of numbers, about 40 bytes for each record."""

import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from throughtime._options import named
from throughtime.data.columns import short
from throughtime.errors import DataError
from throughtime.logs.files import LogFile, lines_of
from throughtime.logs.options import LogOptions, SessionOptions, pattern_of
from throughtime.logs.records import (
    PEEKED,
    Framing,
    Record,
    framed,
    framing_of,
    header_of,
    process_of,
    thread_of,
)

_EXAMPLES = 3
NEW = -1
"""Event number of a record whose template is unknown."""

EventOf = Callable[[str, str], int | None]
"""Maps a level and a message to an event number."""


@dataclass(frozen=True)
class Events:
    """The records of a log in the order in which they were read.

    Parameters
    ----------
    event : ndarray
        (N,) int64: event number, `NEW` if it is unknown.
    chain : ndarray
        (N,) int64: number of the session in ``chains``.
    window : ndarray
        (N,) int64: number of the time window; 0 without windows.
    file, line : ndarray
        (N,) int64: place of the first line of each record.
    time : ndarray
        (N,) float64: seconds, NaN without a timestamp.
    chains : tuple of str
        Name of each session: its identifier, or the name of the log.
    identified : ndarray
        (chains,) bool: whether a session has an identifier, and so a beginning and an end.
    files : tuple of LogFile
        The files.
    ignored : int
        Number of ignored records.
    """

    event: NDArray[np.int64]
    chain: NDArray[np.int64]
    window: NDArray[np.int64]
    file: NDArray[np.int64]
    line: NDArray[np.int64]
    time: NDArray[np.float64]
    chains: tuple[str, ...]
    identified: NDArray[np.bool_]
    files: tuple[LogFile, ...]
    ignored: int = 0

    def __len__(self) -> int:
        return len(self.event)


def records_of(files: Sequence[LogFile], encoding: str = "utf-8") -> Iterator[tuple[str, Iterator[Record]]]:
    """Yield the name of each log and its records, which may continue across rotated files."""
    numbered = enumerate(files)
    for stream, parts in groupby(numbered, key=lambda part: part[1].stream):
        yield stream, framed(_lines(list(parts), encoding))


def _lines(files: Sequence[tuple[int, LogFile]], encoding: str) -> Iterator[tuple[int, int, str]]:
    for number, file in files:
        for line, text in enumerate(lines_of(file.path, encoding), start=1):
            yield number, line, text


def framing_at(file: LogFile, encoding: str) -> Framing:
    """Return how the records of a file begin."""
    return framing_of(islice(lines_of(file.path, encoding), PEEKED))


def message_of(record: Record) -> tuple[str, str]:
    """Return the level and the message of a record, followed by the name of its exception, if any."""
    header = header_of(record)
    exception = record.exception
    return header.level, f"{header.message} {exception}" if exception else header.message


@dataclass
class _Columns:
    """Columns that grow."""

    event: Any = field(default_factory=lambda: array("i"))
    chain: Any = field(default_factory=lambda: array("i"))
    window: Any = field(default_factory=lambda: array("q"))
    file: Any = field(default_factory=lambda: array("i"))
    line: Any = field(default_factory=lambda: array("q"))
    time: Any = field(default_factory=lambda: array("d"))


class Grouping:
    """Assigns records to sessions.

    Parameters
    ----------
    options : SessionOptions
        How records are grouped into sessions.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.options = options
        self._pattern = None if options.session is None else pattern_of("session", options.session)
        self._reader = {"log": None, "process": process_of, "thread": thread_of}[options.by]
        self.matched = 0
        """Number of records with an identifier, process or thread."""
        self.stamped = 0
        """Number of records with a timestamp."""
        self.examples: list[str] = []
        """First lines without one, for error messages."""
        self._window = 0

    def key(self, record: Record, stream: str) -> tuple[str, bool]:
        """Return the name of the session of a record, and whether it is an identifier."""
        if self._pattern is not None:
            match = self._pattern.search(record.text) or (
                self._pattern.search(record.whole) if record.more else None
            )
            if match is not None:
                self.matched += 1
                return match[1] if match.re.groups and match[1] is not None else match[0], True
            self._note(record)
        elif self._reader is not None:
            name = self._reader(record)
            if name is not None:
                self.matched += 1
                return f"{stream} {self.options.by} {name}", False
            self._note(record)
        return stream, False

    def window(self, record: Record) -> int:
        """Return the time window of a record; without a timestamp, that of the record before."""
        if self.options.window is None:
            return 0
        if record.time is not None:
            self.stamped += 1
            self._window = int(record.time // self.options.window)
        else:
            self._note(record)
        return self._window

    def _note(self, record: Record) -> None:
        if len(self.examples) < _EXAMPLES:
            self.examples.append(record.text)

    def require_used(self) -> None:
        """Check that the options apply to at least one record.

        Raises
        ------
        DataError
            If no record has the required identifier, process, thread or timestamp.
        """
        options = self.options
        lines = ", ".join(short(repr(text)) for text in self.examples)
        if options.session is not None and not self.matched:
            raise DataError(
                f"{named('session', options.session)} matches no record; the first are {lines}; correct "
                "the pattern"
            )
        if options.by != "log" and not self.matched:
            raise DataError(
                f"no record names a {options.by}; the first are {lines}; use {named('session')} with a "
                f"pattern of it, or leave out {named('by', options.by)}"
            )
        if options.window is not None and not self.stamped:
            raise DataError(
                f"no record has a timestamp; the first are {lines}; leave out {named('window')}, so that "
                f"sessions have {named('length')} records"
            )


def read_events(files: Sequence[LogFile], options: LogOptions, event_of: EventOf) -> Events:
    """Return the records of log files as columns.

    Parameters
    ----------
    files : sequence of LogFile
        From `throughtime.logs.files.log_files`.
    options : LogOptions
        How they are read.
    event_of : callable
        Maps a level and a message to an event number.

    Raises
    ------
    DataError
        If a file cannot be read, there are no records, or none has the required session or timestamp.
    """
    columns, grouping = _Columns(), Grouping(options.sessions)
    ignored = [pattern_of("ignore", pattern) for pattern in options.ignore]
    chains: dict[tuple[str, bool], int] = {}
    left_out = 0
    for stream, records in records_of(files, options.reading.encoding):
        for record in records:
            if ignored and is_ignored(record, ignored):
                left_out += 1
                continue
            key = grouping.key(record, stream)
            columns.window.append(grouping.window(record))
            event = event_of(*message_of(record))
            columns.event.append(NEW if event is None else event)
            columns.chain.append(chains.setdefault(key, len(chains)))
            columns.file.append(record.file)
            columns.line.append(record.line)
            columns.time.append(np.nan if record.time is None else record.time)
    if not columns.event:
        raise DataError(
            f"{', '.join(file.name for file in files[:3])}: no records"
            + (f", all {left_out:,} are ignored" if left_out else "")
            + "; give a log with lines"
        )
    grouping.require_used()
    return Events(
        _numbers(columns.event),
        _numbers(columns.chain),
        _numbers(columns.window),
        _numbers(columns.file),
        _numbers(columns.line),
        np.asarray(columns.time, dtype=np.float64),
        tuple(name for name, _ in chains),
        np.array([identified for _, identified in chains]),
        tuple(files),
        left_out,
    )


def messages_of(files: Sequence[LogFile], options: LogOptions) -> Iterator[tuple[str, str]]:
    """Yield the level and the message of each record, in the order of `read_events`."""
    ignored = [pattern_of("ignore", pattern) for pattern in options.ignore]
    for _, records in records_of(files, options.reading.encoding):
        for record in records:
            if not (ignored and is_ignored(record, ignored)):
                yield message_of(record)


def _numbers(column: Any) -> NDArray[np.int64]:
    return np.asarray(column, dtype=np.int64)


def is_ignored(record: Record, patterns: Sequence[re.Pattern[str]]) -> bool:
    """Return whether a pattern occurs in a record."""
    return any(pattern.search(record.whole) for pattern in patterns)
