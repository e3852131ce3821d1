"""Records of a log: lines with their timestamp and level, and the lines that continue them."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal

from throughtime.logs.clock import Clock, Stamp

Framing = Literal["timestamps", "indentation"]
"""How the first line of a record is recognised: by a timestamp, or by having no indentation."""

PEEKED = 200
"""Number of first lines of a log from which its framing is determined."""
_STAMPED = 0.2
"""Minimum fraction of the unindented lines with a timestamp, for framing by timestamps."""
_MOST_LINES = 1000
"""Maximum number of lines of a record whose text is kept."""
_LEVELS = {
    "trace": "TRACE", "debug": "DEBUG", "verbose": "DEBUG", "info": "INFO", "information": "INFO",
    "notice": "NOTICE", "warn": "WARNING", "warning": "WARNING", "error": "ERROR", "err": "ERROR",
    "severe": "ERROR", "critical": "CRITICAL", "crit": "CRITICAL", "alert": "CRITICAL", "fatal": "CRITICAL",
    "panic": "CRITICAL", "emerg": "CRITICAL",
}  # fmt: skip
_LETTERS = {
    "T": "TRACE",
    "V": "DEBUG",
    "D": "DEBUG",
    "I": "INFO",
    "W": "WARNING",
    "E": "ERROR",
    "F": "CRITICAL",
}
_NAMES = "|".join(sorted(_LEVELS, key=len, reverse=True))
_LEVEL = re.compile(
    rf"""(?:\b(?:level|lvl|severity)["']?\s?[=:]\s?["']?(?P<field>{_NAMES})\b["']?)"""
    rf"|(?<![\w.-])(?:\w+[.:])?(?P<word>{_NAMES.upper()}|{_NAMES.title()}|(?<=[\[<])(?:{_NAMES})(?=[\]>]))(?![\w-])",
)
_LETTER = re.compile(r"^[IWEFD](?=\d{4} )|(?<=\s)[VDIWEF](?=[ /])")
_HEADER = 120
"""Number of first characters of a line in which its level is searched."""
_CONTINUED = re.compile(
    r"\s|Caused by:|\.\.\. \d+ more|Traceback \(most recent call last\)|During handling of|\}|\]|$"
)
_EXCEPTION = re.compile(
    r"(?:Caused by: )?([\w.$]*(?:Error|Exception|Exit|Interrupt|Fault|Failure|Warning))\b(?=:|$)"
)
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)|\s+(?:at |File )")
_MESSAGES = ("message", "msg", "event", "log", "text", "body")
_TIMES = ("timestamp", "@timestamp", "time", "ts", "asctime", "datetime", "date")
_SEVERITIES = ("level", "levelname", "severity", "lvl", "log.level", "loglevel")


@dataclass(slots=True)
class Record:
    """An entry of a log: its first line and its continuation lines.

    Parameters
    ----------
    line : int
        Number of its first line in its file, from 1.
    text : str
        The first line.
    file : int
        Number of its file.
    time : float or None
        Its timestamp in seconds, see `throughtime.logs.clock.Stamp`.
    stamp : tuple of int
        Range of characters of the timestamp in the first line; (0, 0) without one.
    more : list of str
        The continuation lines, at most 999.
    lines : int
        Total number of lines.
    """

    line: int
    text: str
    file: int = 0
    time: float | None = None
    stamp: tuple[int, int] = (0, 0)
    more: list[str] = field(default_factory=list)
    lines: int = 1

    @property
    def whole(self) -> str:
        """All lines."""
        return "\n".join((self.text, *self.more)) if self.more else self.text

    @property
    def exception(self) -> str:
        """Name of the last exception in the continuation lines, or an empty string.

        Examples
        --------
        >>> more = ["Traceback (most recent call last):", '  File "a.py"', "KeyError: 'x'"]
        >>> Record(1, "failed", more=more).exception
        'KeyError'
        """
        if not self.more:
            return ""
        names = [match[1] for match in map(_EXCEPTION.match, self.more) if match]
        return names[-1] if names else ""

    def continued(self, line: str) -> None:
        """Add a line."""
        self.lines += 1
        if self.lines <= _MOST_LINES:
            self.more.append(line)


@dataclass(frozen=True, slots=True)
class Header:
    """Level and message of a record.

    Parameters
    ----------
    level : str
        TRACE, DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL, or empty.
    message : str
        The first line without timestamp, level and the process numbers, threads and hosts beside them.
    """

    level: str
    message: str


def level_at(text: str, start: int = 0) -> tuple[str, int, int]:
    """Return the level at the beginning of a line and its range of characters; ("", 0, 0) without one.

    A level of one letter is searched in the 40 characters after ``start``.

    Examples
    --------
    >>> level_at("2026-01-31 12:30:00 [main] WARN  disk is full", 19)
    ('WARNING', 27, 31)
    """
    match = _LEVEL.search(text, 0, _HEADER)
    if match is not None:
        return _LEVELS[(match["field"] or match["word"]).lower()], match.start(), match.end()
    letter = _LETTER.search(text, 0, start + 40)
    return (_LETTERS[letter[0]], letter.start(), letter.end()) if letter else ("", 0, 0)


_SYSLOG = re.compile(r"\s*(?:<\d+>\d?\s*)?[\w.:-]+ ([\w./()@-]+)(?:\[\d+\])?: ")
_AFTER_STAMP = re.compile(r"[\s\]):|,-]*(?:\[[^\[\]]{0,60}\][\s:|-]*|\((?=[\w-]*\d)[\w :-]{0,40}\)[\s:|-]*)*")
_BETWEEN = re.compile(r"^[\s\[(<\"']*|[\s\[(<\"'|:-]*$")


def header_of(record: Record) -> Header:
    """Return the level and the message of a record.

    Examples
    --------
    >>> header_of(Record(1, "2026-01-31 12:30:00 INFO [main] cart 17 paid", stamp=(0, 19)))
    Header(level='INFO', message='cart 17 paid')
    >>> header_of(Record(1, "Jan 31 12:30:00 host sshd[77]: session opened", stamp=(0, 15)))
    Header(level='', message='sshd: session opened')
    """
    text, (start, end) = record.text, record.stamp
    if text.startswith("{"):
        content = _json(text)
        if content is not None:
            return _of_json(content)
    level, first, last = level_at(text, end)
    if level and first >= end:
        gap = text[end:first]
        before = "" if _is_gap(gap) else gap.strip(" \t[(<\"'|:-]")
        rest = text[last:]
        message = _AFTER_STAMP.sub("", rest, count=1) if rest[:1] in " \t]):|,->\"'" else rest
        return Header(level, f"{before} {message}".strip() if before else message.strip())
    syslog = _SYSLOG.match(text, end) if end and not start else None
    if syslog is not None:
        return Header(level, f"{syslog[1]}: {text[syslog.end() :]}")
    if not end:
        return Header(level, text.strip())
    prefix = "" if level and last <= start else text[:start].strip(" \t[(<\"'|:-")
    if _NUMBERS.fullmatch(prefix):
        prefix = ""
    message = _AFTER_STAMP.sub("", text[end:], count=1)
    return Header(level, f"{prefix} {message}".strip())


_NUMBERS = re.compile(r"[\d\s.:-]*")
_GAP = re.compile(
    r"[\s\[\](){}<>\"'|:,.#\d/-]*|[\s|:-]*\[[^\[\]]*\][\s\[|:-]*|[\s|:-]*\d*[\s|:-]*\[[^\[\]]*\][\s\[|:-]*"
)


def _is_gap(text: str) -> bool:
    """Return whether the text between timestamp and level consists of process numbers and a thread."""
    return _GAP.fullmatch(text) is not None


def _json(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and any(name in content for name in _MESSAGES) else None


def _of_json(content: dict[str, Any]) -> Header:
    message = next(str(content[name]) for name in _MESSAGES if name in content)
    named = next((str(content[name]).lower() for name in _SEVERITIES if name in content), "")
    return Header(_LEVELS.get(named, named.upper()[:12]), message.partition("\n")[0])


def framing_of(lines: Iterable[str]) -> Framing:
    """Return how the first lines of records are recognised, from the first lines of a log."""
    reader = Reader("timestamps")
    whole = [line for line in lines if line.strip() and not line[0].isspace()]
    stamped = sum(reader.stamp(line) is not None for line in whole)
    return "timestamps" if whole and stamped >= _STAMPED * len(whole) else "indentation"


class Reader:
    """Reader of the records of one stream of lines, line by line.

    Parameters
    ----------
    framing : "timestamps" or "indentation"
        How the first line of a record is recognised.

    Examples
    --------
    >>> reader = Reader("timestamps")
    >>> lines = ["12:30:00 failed", "Traceback (most recent call last):", "KeyError: 'x'", "12:30:01 stopped"]
    >>> [record.lines for record in reader.records((0, *line) for line in enumerate(lines, 1))]
    [3, 1]
    """

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.clock = Clock()

    def records(self, lines: Iterable[tuple[int, int, str]]) -> Iterator[Record]:
        """Yield the records of lines (file number, line number, text).

        Blank lines belong to the previous record.
        """
        current: Record | None = None
        for file, number, line in lines:
            started = self.start(file, number, line, current)
            if started is None:
                if current is not None:
                    current.continued(line)
                continue
            if current is not None:
                yield current
            current = started
        if current is not None:
            yield current

    def start(self, file: int, number: int, line: str, current: Record | None) -> Record | None:
        """Return the record that begins with a line; None if the line continues the current record."""
        if not line.strip():
            return None
        stamp = self.stamp(line)
        if current is not None and self._continues(line, stamped=stamp is not None, current=current):
            return None
        if stamp is None:
            return Record(number, line, file)
        return Record(number, line, file, stamp.seconds, (stamp.start, stamp.end))

    def stamp(self, line: str) -> Stamp | None:
        """Return the timestamp of a line, which may be a field of a JSON object."""
        stamp = self.clock.read(line)
        if stamp is not None or not line.startswith("{"):
            return stamp
        content = _json(line) or {}
        text = next((str(content[name]) for name in _TIMES if name in content), None)
        stamp = None if text is None else self.clock.read(text)
        return None if stamp is None else Stamp(stamp.seconds, 0, 0)

    def _continues(self, line: str, *, stamped: bool, current: Record) -> bool:
        if stamped:
            return line[0].isspace() and self.framing == "indentation"
        if self.framing == "timestamps":
            return True
        if _CONTINUED.match(line):
            return True
        # The name of an exception ends a traceback.
        return bool(_EXCEPTION.match(line)) and any(map(_TRACEBACK.match, current.more))


def framed(lines: Iterator[tuple[int, int, str]]) -> Iterator[Record]:
    """Yield the records of the lines of a log; the first 200 lines determine the framing."""
    head = list(islice(lines, PEEKED))
    framing = framing_of(text for _, _, text in head)
    return Reader(framing).records(chain(head, lines))


_PROCESS = re.compile(
    r"\bpid[=: ]\s?(\d+)|[\w./-]\[(\d+)\]:|^\W*(?:[a-z]\w* ?[/:]? ?)?\[?(\d{1,7})\]?(?:[ \]:|-]|$)",
    re.IGNORECASE,
)
_THREAD = re.compile(
    r"\b(?:thread|tid)[=: ]\s?([\w.:-]+)|\[([^\[\]]*?(?:thread|main|worker|exec|pool)[^\[\]]*|[\w "
    r".:#@/-]*-\d+)\]"
    r"|^\W*(?:\d+ )?(\d{1,7})(?:[ \]:|-]|$)",
    re.IGNORECASE,
)


def process_of(record: Record) -> str | None:
    """Return the number of the process that wrote a record, if it names it.

    Examples
    --------
    >>> process_of(Record(1, "Jan 31 12:30:00 host sshd[77]: session opened", stamp=(0, 15)))
    '77'
    """
    return _first_group(_PROCESS, record)


def thread_of(record: Record) -> str | None:
    """Return the thread that wrote a record, if it names it.

    Examples
    --------
    >>> thread_of(Record(1, "12:30:00 [http-exec-3] INFO cart paid", stamp=(0, 8)))
    'http-exec-3'
    """
    return _first_group(_THREAD, record)


def _first_group(pattern: re.Pattern[str], record: Record) -> str | None:
    match = pattern.search(record.text[record.stamp[1] :], 0, _HEADER)
    return None if match is None else next((group for group in match.groups() if group), None)
