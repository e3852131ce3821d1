"""`Follower`: results (verdicts) for each line of logs while they are written, and for each ended session."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from throughtime._fields import Fields
from throughtime.errors import DataError
from throughtime.logs.events import NEW, Grouping, is_ignored, message_of
from throughtime.logs.model import Expected, LogModel
from throughtime.logs.options import pattern_of
from throughtime.logs.records import Reader, Record
from throughtime.logs.scan import SurprisingLine
from throughtime.logs.scores import LARGEST, score_of, with_step
from throughtime.logs.sequences import CONTEXT
from throughtime.logs.tail import Position, Tail, write_atomically
from throughtime.logs.value_steps import evidence_of
from throughtime.logs.values import Check

SILENCE = 60.0
"""Default number of seconds without a record after which a session ends."""
_LATE = 0.01
"""Seconds to wait for lines that continue a record."""
_MOST_EVENTS = 2000
"""Maximum number of records that are scored together."""


@dataclass
class OpenSession:
    """A session that has not ended, or the current part of a long one.

    Parameters
    ----------
    stream, name : str
        The log, and the name of the session.
    identified : bool
        Whether the session has an identifier, so that its end is scored.
    window : int
        Number of the time window.
    events : list of int
        Event numbers of the context and of the part.
    context : int
        Number of events of the context.
    largest : list of float
        The largest surprises so far, at most three.
    file, first_line, last_line : str, int, int
        Its file, and its first and last line.
    """

    stream: str
    name: str
    identified: bool
    window: int
    events: list[int]
    context: int
    file: str
    first_line: int
    last_line: int
    largest: list[float] = field(default_factory=list)
    checked: int = 0
    """Number of values that were checked."""
    unusual: float = 0.0
    """Largest surprise of a value so far."""
    time: float | None = None
    """Time of the last record."""
    silent_since: float = 0.0
    """Time at which its last record arrived; not stored."""

    def count(self, surprise: float) -> None:
        """Take the surprise of a step into account."""
        self.largest = with_step(self.largest, surprise)

    def count_values(self, check: Check) -> None:
        """Take the values of a record into account."""
        self.checked += check.checked
        self.unusual = max(self.unusual, check.surprise)

    @property
    def score(self) -> float:
        """Score so far."""
        return score_of(self.largest) + float(evidence_of(self.checked, self.unusual))

    @property
    def records(self) -> int:
        """Number of records."""
        return len(self.events) - self.context


@dataclass(frozen=True)
class LineVerdict:
    """Result for a line when it has arrived.

    Parameters
    ----------
    session : str
        Name of its session.
    p_value : float
        p-value of the session so far.
    is_reported : bool
        Whether the p-value is at most the rate of false alarms.
    line : SurprisingLine
        The line.
    """

    session: str
    p_value: float
    is_reported: bool
    line: SurprisingLine


@dataclass(frozen=True)
class SessionVerdict:
    """Result for a session that has ended; fields as in `throughtime.logs.scan.ScannedSession`."""

    name: str
    score: float
    p_value: float
    is_reported: bool
    records: int
    file: str
    first_line: int
    last_line: int


Verdict = LineVerdict | SessionVerdict


class _Log:
    """A followed log: groups its lines into records."""

    def __init__(self, model: LogModel, path: Path, position: Position | None) -> None:
        self.path, self.tail = path, Tail(path, position, model.settings.options.reading.encoding)
        self.done = position or Position()
        """End of the last record that has a verdict."""
        self._reader = Reader(model.settings.framing)
        self._record: Record | None = (
            None if position is None or not position.line else Record(position.line, "")
        )
        self._end: Position | None = None
        """End of the last record, if it has no verdict yet."""
        self._came = 0.0

    def records(self, now: float) -> Iterator[tuple[Record, Position]]:
        """Yield the complete records, each with its end."""
        lines = self.tail.read()
        for line in lines:
            end = self.tail.position(line)
            started = self._reader.start(0, line.number, line.text, self._record)
            self._came = now
            if started is not None:
                yield from self._completed()
                self._record, self._end = started, end
            elif self._end is None:
                self.done = end  # a line that comes after the verdict on its record
            elif self._record is not None:
                self._record.continued(line.text)
                self._end = end
        if not lines and self._end is not None and now - self._came >= _LATE:
            yield from self._completed()

    def _completed(self) -> Iterator[tuple[Record, Position]]:
        if self._record is not None and self._end is not None:
            end, self._end = self._end, None
            yield self._record, end


class Follower:
    """Reads logs as they are written, and returns verdicts on lines and sessions.

    Parameters
    ----------
    model : LogModel
        Model of the log of normal operation.
    paths : sequence of Path
        The logs. Rotation is supported, also between two runs with the same state.
    false_alarms : float, optional
        See `throughtime.logs.scan.scan_logs`.
    ignore : sequence of str
        Regular expressions of further records to ignore.
    silence : float
        Seconds without a record after which a session ends.
    state : mapping, optional
        Result of the method `state` in an earlier run, from which this one continues.

    Raises
    ------
    DataError
        If the state belongs to other logs, or is damaged.
    """

    def __init__(
        self,
        model: LogModel,
        paths: Sequence[Path],
        *,
        false_alarms: float | None = None,
        ignore: Sequence[str] = (),
        silence: float = SILENCE,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        options = model.settings.options.ignoring(ignore)
        self.model, self.rate, self.silence = model, model.calibration.rate(false_alarms), silence
        self._ignored = [pattern_of("ignore", pattern) for pattern in options.ignore]
        positions, sessions = _read_state(state)
        self._sessions = {(s.stream, s.name, s.identified): s for s in sessions}
        for session in sessions:
            session.silent_since = time.monotonic()
        self.logs = [_Log(model, path, positions.get(str(path))) for path in paths]
        self._grouping = {str(path): Grouping(options.sessions) for path in paths}

    def poll(self, now: float | None = None) -> list[Verdict]:
        """Return the verdicts on what has been written since the last call.

        Parameters
        ----------
        now : float, optional
            Current time as returned by ``time.monotonic``.
        """
        now = time.monotonic() if now is None else now
        verdicts: list[Verdict] = []
        for log in self.logs:
            batch: list[tuple[Record, Position]] = list(log.records(now))
            for start in range(0, len(batch), _MOST_EVENTS):
                verdicts += self._verdicts(log, batch[start : start + _MOST_EVENTS], now)
            if batch:
                log.done = batch[-1][1]
        return verdicts + self._silent(now)

    @property
    def positions(self) -> tuple[Position, ...]:
        """End of the last record with a verdict, for each log."""
        return tuple(log.done for log in self.logs)

    @property
    def moved(self) -> Sequence[Path]:
        """Logs whose position in the state was not found, which are read from the beginning."""
        return [log.path for log in self.logs if log.tail.moved]

    def state(self) -> dict[str, Any]:
        """Return the positions and open sessions as JSON values."""
        sessions = [asdict(session) for session in self._sessions.values()]
        for session in sessions:
            del session["silent_since"]
        return {
            "positions": {str(log.path): asdict(log.done) for log in self.logs},
            "sessions": sessions,
        }

    def finish(self) -> list[Verdict]:
        """End all open sessions, and return the verdicts on them."""
        return self._silent(float("inf"))

    def close(self) -> None:
        """Close the logs; open sessions stay open in the state."""
        for log in self.logs:
            log.tail.close()

    def _verdicts(self, log: _Log, batch: Sequence[tuple[Record, Position]], now: float) -> list[Verdict]:
        """Return the verdicts on records, which are scored together."""
        places: list[_Placed | OpenSession] = []
        for record, _ in batch:
            if not is_ignored(record, self._ignored):
                places += self._placed(log, record, now)
        parts = list({id(place.part): place.part for place in places if isinstance(place, _Placed)}.values())
        surprise = dict(zip(map(id, parts), self._surprise(parts), strict=True))
        verdicts: list[Verdict] = []
        for place in places:
            if isinstance(place, OpenSession):
                verdicts.append(self._ended(place, with_end=False))
            else:
                verdicts.append(self._line(place, float(surprise[id(place.part)][place.step])))
        return verdicts

    def _placed(self, log: _Log, record: Record, now: float) -> "Iterator[_Placed | OpenSession]":
        """Add a record to its session; yield the previous part if it ends, then the record's place."""
        stream, grouping = str(log.path), self._grouping[str(log.path)]
        name, identified = grouping.key(record, stream)
        window = grouping.window(record)
        level, message = message_of(record)
        number = self.model.templates.match(level, message)
        event = NEW if number is None else number
        key = stream if not identified else "", name, identified
        part = self._sessions.get(key)
        if part is not None and (part.records >= self.model.settings.length or part.window != window):
            yield part
            part = self._continued(part, record)
        if part is None:
            part = OpenSession(key[0], name, identified, window, [], 0, stream, record.line, record.line)
        part.window = window
        self._sessions[key] = part
        gap = None if part.time is None or record.time is None else max(0.0, record.time - part.time)
        parameters = [] if event == NEW else self.model.templates.parameters(event, message)
        part.events.append(event)
        part.last_line, part.silent_since, part.time = record.line, now, record.time
        yield _Placed(part, len(part.events) - 1, record, level, event, stream, parameters, gap)

    @staticmethod
    def _continued(part: OpenSession, record: Record) -> OpenSession:
        context = part.events[-CONTEXT:]
        return OpenSession(
            part.stream,
            part.name,
            part.identified,
            part.window,
            context,
            len(context),
            part.file,
            record.line,
            record.line,
            time=part.time,
        )

    def _surprise(self, parts: Sequence[OpenSession]) -> Iterator[np.ndarray[Any, Any]]:
        if not parts:
            return
        lists = pa.array([part.events for part in parts], pa.list_(pa.int32()))
        lengths = [len(part.events) + 1 for part in parts]
        yield from np.split(self.model.scorer.surprise(lists), np.cumsum(lengths)[:-1])

    def _line(self, place: "_Placed", surprise: float) -> LineVerdict:
        part = place.part
        part.count(surprise)
        self._count_values(place)
        p_value = float(self.model.calibration.p_values([part.score])[0])
        is_reported = p_value <= self.rate
        expected = self._expected(place) if is_reported else ()
        is_new, record = place.event == NEW, place.record
        line = SurprisingLine(
            place.file,
            record.line,
            record.text,
            record.lines,
            place.level,
            surprise,
            is_new,
            expected,
            place.parameters,
            self.model.values.unusual(place.event, place.parameters, place.gap),
        )
        return LineVerdict(part.name, p_value, is_reported, line)

    def _count_values(self, place: "_Placed") -> None:
        values, event = self.model.values, place.event
        if event != NEW:
            place.part.count_values(values.check(event, place.parameters))
            place.part.count_values(values.check_gap(event, place.gap))

    def _expected(self, place: "_Placed") -> Sequence[Expected]:
        """Return the most probable templates at the position of a record."""
        events = pa.array([place.part.events[: place.step + 1]], pa.list_(pa.int32()))
        return self.model.scorer.expected(events, self.model.template_names)[place.step]

    def _silent(self, now: float) -> list[Verdict]:
        """Return the verdicts on sessions that have ended."""
        over = [key for key, part in self._sessions.items() if now - part.silent_since >= self.silence]
        return [self._ended(self._sessions.pop(key), with_end=True) for key in over]

    def _ended(self, part: OpenSession, *, with_end: bool) -> SessionVerdict:
        if with_end and part.identified:
            (surprise,) = self._surprise([part])
            part.count(float(surprise[-1]))
        p_value = float(self.model.calibration.p_values([part.score])[0])
        return SessionVerdict(
            part.name,
            part.score,
            p_value,
            p_value <= self.rate,
            part.records,
            part.file,
            part.first_line,
            part.last_line,
        )


@dataclass(frozen=True)
class _Placed:
    """A record and its step in a part of a session."""

    part: OpenSession
    step: int
    record: Record
    level: str
    event: int
    file: str
    parameters: Sequence[str]
    gap: float | None


@dataclass(frozen=True)
class _StoredSession:
    stream: str
    name: str
    identified: bool
    window: int
    events: Any
    context: int
    file: str
    first_line: int
    last_line: int
    largest: Any
    checked: int | None
    unusual: float | None
    time: float | None


def _read_state(state: Mapping[str, Any] | None) -> tuple[dict[str, Position], list[OpenSession]]:
    if state is None:
        return {}, []
    fields = Fields(state)
    positions = fields.fields("positions")
    places = {name: positions.fields(name).dataclass(Position) for name in fields.mapping("positions")}
    return places, [_open_session(content) for content in fields.items("sessions")]


def _open_session(content: Any) -> OpenSession:
    """Return a session of a state; raises ValueError if it is none."""
    stored = Fields(content, "sessions.").dataclass(_StoredSession)
    events, largest = (Fields(content, "sessions.").items(name) for name in ("events", "largest"))
    if not all(isinstance(event, int) and NEW <= event < 2**31 for event in events) or not events:
        raise ValueError("sessions.events must be a list of event numbers")
    if not all(isinstance(value, int | float) for value in largest) or len(largest) > LARGEST:
        raise ValueError(f"sessions.largest must be a list of at most {LARGEST} numbers")
    if stored.context >= len(events):
        raise ValueError(f"sessions.context must be below {len(events)}, got {stored.context}")
    values = {"checked": stored.checked or 0, "unusual": stored.unusual or 0.0}
    return OpenSession(**{**vars(stored), **values})


class Journal:
    """Output and state in two files that are consistent after a restart.

    The state is replaced after the output was written, and stores the length of the output. At the next
    start, output beyond this length is truncated, and written again.

    Parameters
    ----------
    state : Path
        File of the state.
    out : Path or None
        File of the output; None for the standard output, where lines may be repeated after the process was
        killed.
    """

    def __init__(self, state: Path, out: Path | None) -> None:
        self._path, self._out = state, out
        self.state: Mapping[str, Any] | None = None
        """The state of an earlier run."""
        length = 0
        if state.exists():
            self.state, length = self._read()
        if out is not None:
            with out.open("ab") as file:
                if file.tell() < length:
                    raise DataError(
                        f"{out} is shorter than when {state} was written; restore it or delete {state}"
                    )
                file.truncate(length if self.state is not None else file.tell())

    def _read(self) -> tuple[dict[str, Any], int]:
        try:
            fields = Fields(json.loads(self._path.read_bytes()))
            content = fields.mapping("state")
            _read_state(content)
            return content, fields.whole("written")
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{self._path} is no state of logs scan --follow ({error}); delete it to begin anew"
            ) from error

    def write(self, lines: Sequence[str], state: Mapping[str, Any], printed: Callable[[str], None]) -> None:
        """Write lines to the output, then the state."""
        written = 0
        if self._out is None:
            for line in lines:
                printed(line)
        else:
            with self._out.open("ab") as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
                written = file.tell()
        content = {"state": state, "written": written}
        write_atomically(self._path, json.dumps(content).encode())
