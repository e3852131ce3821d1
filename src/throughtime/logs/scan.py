"""`scan_logs`: sessions and lines in order of surprise, with the templates that were expected."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from throughtime.logs.drain import Drain
from throughtime.logs.events import NEW, EventOf, Events, message_of, read_events, records_of
from throughtime.logs.files import LogFile
from throughtime.logs.frequency import Frequency, kinds_of
from throughtime.logs.model import Expected, LogModel
from throughtime.logs.options import LogOptions
from throughtime.logs.records import Record
from throughtime.logs.sequences import Sequences
from throughtime.logs.value_steps import gaps_of, value_steps
from throughtime.logs.values import Check, UnusualValue

Place = tuple[int, int]
"""Numbers of the file and of the first line of a record."""


class SurprisingLine(NamedTuple):
    """A record and how surprising it is.

    Parameters
    ----------
    file, line : str, int
        Place of its first line.
    text : str
        Its first line.
    lines : int
        Number of its lines.
    level : str
        Its level, or an empty string.
    surprise : float
        −log p of its template, given the records of the session before it.
    is_new : bool
        Whether its template does not occur in the training log.
    expected : sequence of Expected
        The most probable templates at its position.
    parameters : sequence of str
        The values at the wildcards of its template.
    unusual : sequence of UnusualValue
        The unusual ones, and the time before the record if it is.
    is_end : bool
        Whether ``surprise`` is that of the end of the session after this record.
    """

    file: str
    line: int
    text: str
    lines: int
    level: str
    surprise: float
    is_new: bool
    expected: Sequence[Expected]
    parameters: Sequence[str]
    unusual: Sequence[UnusualValue]
    is_end: bool = False


class ScannedSession(NamedTuple):
    """A session, or a part of a long one.

    Parameters
    ----------
    name : str
        Identifier of the session, or the name of its log.
    score : float
        The surprise, plus the evidence of unusual values, and that sessions with the same templates are more
        frequent than in training.
    surprise : float
        The mean of the three largest surprises of its records.
    unusual : float
        Evidence of unusual gaps and parameters, see `throughtime.logs.value_steps.evidence_of`.
    frequency : float
        Evidence of the frequency, see `throughtime.logs.frequency.frequency_of`.
    same_templates, expected : int, float
        Number of scanned sessions with the same set of templates, and the number that is expected from the
        training log.
    p_value : float
        Conformal p-value: the fraction of held-out sessions with at least this score, see
        `throughtime.logs.conformal.Calibration`.
    is_reported : bool
        Whether the p-value is at most the rate of false alarms.
    records : int
        Number of its records.
    file, first_line, last_line : str, int, int
        Its file and lines; the last line is that of the last record, which may be in the next file.
    lines : sequence of SurprisingLine
        Its most surprising records, in order of time.
    """

    name: str
    score: float
    surprise: float
    unusual: float
    frequency: float
    same_templates: int
    expected: float
    p_value: float
    is_reported: bool
    records: int
    file: str
    first_line: int
    last_line: int
    lines: Sequence[SurprisingLine]


class NewTemplate(NamedTuple):
    """A template that does not occur in the training log, its number of records, and its first place."""

    level: str
    text: str
    records: int
    file: str
    line: int


class TemplateCount(NamedTuple):
    """A template of the training log, and its number of records there and in the scanned log."""

    level: str
    text: str
    trained: int
    records: int


@dataclass(frozen=True)
class Timeline:
    """The score of each session, in order of its first record.

    Parameters
    ----------
    times : ndarray
        (S,) float64: seconds of the first record since 1970, NaN without a timestamp.
    scores : ndarray
        (S,) float64.
    is_reported : ndarray
        (S,) bool.
    """

    times: NDArray[np.float64]
    scores: NDArray[np.float64]
    is_reported: NDArray[np.bool_]


@dataclass(frozen=True)
class LogScan:
    """Result of `scan_logs`.

    Parameters
    ----------
    sessions : tuple of ScannedSession
        The most surprising sessions, the highest score first.
    new_templates : tuple of NewTemplate
        The most frequent first.
    rate : float
        Rate of false alarms, the threshold of the p-values.
    reported : int
        Number of sessions with a p-value of at most the rate; ``sessions`` may have fewer.
    total, records, ignored, held_out : int
        Numbers of sessions, records, ignored records, and held-out sessions of the training.
    """

    sessions: tuple[ScannedSession, ...]
    new_templates: tuple[NewTemplate, ...]
    rate: float
    reported: int
    total: int
    records: int
    ignored: int
    held_out: int
    timeline: Timeline
    """Scores of all sessions, also of those that are not in ``sessions``."""
    counts: tuple[TemplateCount, ...]
    """The templates of the training log."""


def scan_logs(
    model: LogModel,
    files: Sequence[LogFile],
    *,
    false_alarms: float | None = None,
    ignore: Sequence[str] = (),
    frequency: bool = True,
    top: int = 10,
    lines: int = 3,
) -> LogScan:
    """Rank the sessions and lines of a log by surprise.

    Parameters
    ----------
    model : LogModel
        Model of the log of normal operation.
    files : sequence of LogFile
        From `throughtime.logs.files.log_files`.
    false_alarms : float, optional
        Fraction of normal sessions that may be reported; by default 0.01, or the smallest possible.
    ignore : sequence of str
        Regular expressions of further records to ignore.
    frequency : bool
        Whether a session has a higher score if sessions with the same templates are significantly more
        frequent than in training.
    top : int
        Maximum number of sessions in the result.
    lines : int
        Maximum number of lines of each session in the result.

    Raises
    ------
    DataError
        If the files cannot be read, an option of the run does not apply to any record, or the run has too few
        held-out sessions for the rate.
    """
    rate = model.calibration.rate(false_alarms)
    options = model.settings.options.ignoring(ignore)
    new, parameters = _NewTemplates(), _Parameters(model)
    events = read_events(files, options, parameters.recording(new.recording(model)))
    sequences = model.settings.sequences(events)
    surprise = model.scorer.surprise(sequences.lists(events.event))
    values = value_steps(model.values, sequences, *parameters.results())
    scores = model.scorer.scores(sequences, surprise)
    ranking = _ranking(model, sequences, scores, values.evidence, frequency=frequency)
    highest = np.argsort(-ranking.scores, kind="stable")[:top]
    of_steps = surprise + values.surprise
    chosen = {int(number): _chosen(sequences, of_steps, int(number), lines) for number in highest}
    describe = _Describing(model, sequences, surprise, _records_at(events, options, sequences, chosen))
    sessions = [
        _session(sequences, ranking, number, rate, describe(number, steps))
        for number, steps in chosen.items()
    ]
    is_reported = ranking.p_values <= rate
    return LogScan(
        tuple(sessions),
        new.templates(events),
        rate,
        int(is_reported.sum()),
        len(sequences),
        len(events),
        events.ignored,
        len(model.calibration.scores),
        _timeline(sequences, ranking.scores, is_reported),
        _counts(model, events),
    )


class _Parameters:
    """Results of the parameters of all records."""

    def __init__(self, model: LogModel) -> None:
        self._values, self._templates = model.values, model.templates
        self._checked, self._surprise = array("i"), array("d")

    def recording(self, event_of: EventOf) -> EventOf:
        """Return a function that maps a message to its template, and checks its parameters."""

        def checked(level: str, message: str) -> int | None:
            event = event_of(level, message)
            check = _UNCHECKED
            if event is not None and self._values.has_parameters(event):
                check = self._values.check(event, self._templates.parameters(event, message))
            self._checked.append(check.checked)
            self._surprise.append(check.surprise)
            return event

        return checked

    def results(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the number of values that were checked and the largest surprise of each record."""
        return np.asarray(self._checked, dtype=np.int64), np.asarray(self._surprise, dtype=np.float64)


_UNCHECKED = Check(0, 0.0)


class _Ranking(NamedTuple):
    """The parts of the score of each sequence, the score, and its p-value, (S,) each."""

    surprise: NDArray[np.float64]
    unusual: NDArray[np.float64]
    frequency: Frequency
    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]


def _ranking(
    model: LogModel,
    sequences: Sequences,
    surprise: NDArray[np.float64],
    unusual: NDArray[np.float64],
    *,
    frequency: bool,
) -> _Ranking:
    kinds = model.calibration.frequency(kinds_of(sequences))
    if not frequency:
        kinds = kinds._replace(excess=np.zeros_like(kinds.excess), reference=np.zeros_like(kinds.reference))
    scores = surprise + unusual + kinds.excess
    p_values = model.calibration.raised(kinds.reference).p_values(scores)
    return _Ranking(surprise, unusual, kinds, scores, p_values)


def _timeline(sequences: Sequences, scores: NDArray[np.float64], is_reported: NDArray[np.bool_]) -> Timeline:
    first = sequences.rows[sequences.offsets[:-1] + sequences.context]
    order = np.argsort(first, kind="stable")
    return Timeline(sequences.events.time[first[order]], scores[order], is_reported[order])


def _counts(model: LogModel, events: Events) -> tuple[TemplateCount, ...]:
    counts = np.bincount(events.event[events.event != NEW], minlength=len(model.templates)).tolist()
    return tuple(
        TemplateCount(template.level, template.text, template.count, count)
        for template, count in zip(model.templates.all, counts, strict=True)
    )


class _NewTemplates:
    """The templates of messages that match no template of the model."""

    def __init__(self) -> None:
        self._drain = Drain()
        self._events: list[int] = []

    def recording(self, model: LogModel) -> EventOf:
        """Return a function that maps a message to its template, and collects messages without one."""
        match, learn, events = model.templates.match, self._drain.learn, self._events

        def event_of(level: str, message: str) -> int | None:
            number = match(level, message)
            if number is None:
                events.append(learn(level, message))
            return number

        return event_of

    def templates(self, events: Events) -> tuple[NewTemplate, ...]:
        """Return the templates, the most frequent first."""
        if not self._events:
            return ()
        templates, of_event = self._drain.result()
        rows = np.flatnonzero(events.event == NEW)
        numbers, first = np.unique(of_event[self._events], return_index=True)
        places = [(events.files[events.file[row]].name, int(events.line[row])) for row in rows[first]]
        new = [
            NewTemplate(templates[number].level, templates[number].text, templates[number].count, *place)
            for number, place in zip(numbers.tolist(), places, strict=True)
        ]
        return tuple(sorted(new, key=lambda template: -template.records))


def _chosen(sequences: Sequences, surprise: NDArray[np.float64], number: int, count: int) -> list[int]:
    """Return the steps of a sequence with the largest surprise, in order of time; one may be its end."""
    start, end = _steps(sequences, number)
    first = int(sequences.context[number])
    of_steps = surprise[start + first : end if sequences.ends[number] else end - 1]
    largest = np.argsort(-of_steps, kind="stable")[:count]
    return sorted((largest + first).tolist())


def _steps(sequences: Sequences, number: int) -> tuple[int, int]:
    """Return the range of the steps of a sequence, with its end, among all steps."""
    start = int(sequences.offsets[number]) + number
    return start, int(sequences.offsets[number + 1]) + number + 1


def _row(sequences: Sequences, number: int, step: int) -> int:
    """Return the record of a step; of the end, the last record."""
    last = int(sequences.offsets[number + 1]) - 1
    return int(sequences.rows[min(int(sequences.offsets[number]) + step, last)])


def _records_at(
    events: Events, options: LogOptions, sequences: Sequences, chosen: Mapping[int, Sequence[int]]
) -> dict[Place, Record]:
    """Return the records of steps; the files are read again."""
    wanted = set[Place]()
    for number, steps in chosen.items():
        rows = [_row(sequences, number, step) for step in steps]
        wanted |= {(int(events.file[row]), int(events.line[row])) for row in rows}
    streams = {events.files[file].stream for file, _ in wanted}
    selected = [file for file in events.files if file.stream in streams]
    number_of = {file: number for number, file in enumerate(events.files)}
    records: dict[Place, Record] = {}
    for _, of_stream in records_of(selected, options.reading.encoding):
        for record in of_stream:
            place = (number_of[selected[record.file]], record.line)
            if place in wanted:
                records[place] = record
    return records


class _Describing:
    """Describes the most surprising records of a sequence."""

    def __init__(
        self,
        model: LogModel,
        sequences: Sequences,
        surprise: NDArray[np.float64],
        records: Mapping[Place, Record],
    ) -> None:
        self.model, self.sequences, self.surprise, self.records = model, sequences, surprise, records
        self.names, self.gaps = model.template_names, gaps_of(sequences)

    def __call__(self, number: int, steps: Sequence[int]) -> list[SurprisingLine]:
        sequences = self.sequences
        begin, end = sequences.offsets[number], sequences.offsets[number + 1]
        events = sequences.events.event[sequences.rows[begin:end]]
        listed = pa.array([events.tolist()], pa.list_(pa.int32()))
        expected = self.model.scorer.expected(listed, self.names)
        return [self._line(number, step, expected[step]) for step in steps]

    def _gap(self, number: int, step: int) -> float | None:
        """Return the time from the previous record of the sequence to a record; None if it is unknown."""
        gap = float(self.gaps[self.sequences.offsets[number] + step])
        return None if np.isnan(gap) else gap

    def _line(self, number: int, step: int, expected: Sequence[Expected]) -> SurprisingLine:
        events, row = self.sequences.events, _row(self.sequences, number, step)
        start, end = _steps(self.sequences, number)
        is_end = start + step == end - 1
        file, line, event = int(events.file[row]), int(events.line[row]), int(events.event[row])
        record = self.records[file, line]
        level, message = message_of(record)
        parameters = [] if event == NEW else self.model.templates.parameters(event, message)
        return SurprisingLine(
            events.files[file].name,
            line,
            record.text,
            record.lines,
            level,
            float(self.surprise[start + step]),
            event == NEW and not is_end,
            expected,
            parameters,
            [] if is_end else self.model.values.unusual(event, parameters, self._gap(number, step)),
            is_end,
        )


def _session(
    sequences: Sequences, ranking: _Ranking, number: int, rate: float, lines: Sequence[SurprisingLine]
) -> ScannedSession:
    events, rows = sequences.events, sequences.records(number)
    p_value = float(ranking.p_values[number])
    return ScannedSession(
        sequences.name(number),
        float(ranking.scores[number]),
        float(ranking.surprise[number]),
        float(ranking.unusual[number]),
        float(ranking.frequency.excess[number]),
        int(ranking.frequency.sessions[number]),
        float(ranking.frequency.expected[number]),
        p_value,
        p_value <= rate,
        len(rows),
        events.files[events.file[rows[0]]].name,
        int(events.line[rows[0]]),
        int(events.line[rows[-1]]),
        lines,
    )
