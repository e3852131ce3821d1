"""The options for reading a log, each declared once; they are stored in the run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Self, TypeVar

from throughtime._fields import Fields, to_json
from throughtime._options import DeclaredOption, Option, named, options_of
from throughtime.errors import DataError
from throughtime.logs.drain import DrainOptions

L = TypeVar("L", bound="LogOptions")


@dataclass(frozen=True)
class SessionOptions:
    """How the records of a log are grouped into sessions.

    By default a log, with its rotated files, is one session. Sessions of more than ``length`` records are
    split into parts.
    """

    session: Annotated[
        str | None,
        Option(
            r"Regular expression of the identifier of a session, such as 'blk_-?\d+'. If it has a group, the "
            "first group is the identifier. Records without one form one session per log.",
            metavar="REGEX",
        ),
    ] = None
    by: Annotated[
        Literal["log", "process", "thread"],
        Option("Without --session: one session per log, process or thread."),
    ] = "log"
    window: Annotated[
        float | None,
        Option(
            "Without --session: split sessions into windows of this time, such as 30s, 5m or 1h.",
            low=1e-3,
            metavar="TIME",
            duration=True,
        ),
    ] = None
    length: Annotated[
        int | Literal["auto"],
        Option(
            "Maximum number of records of a sequence; longer sessions are split. Default: 256; without "
            "identifiers 1/400 of all records, but from 16 to 256.",
            low=1,
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        if self.session is not None:
            pattern_of("session", self.session)
            if self.window is not None:
                raise DataError(f"{named('session')} and {named('window')} were both given; leave one out")
            if self.by != "log":
                raise DataError(f"{named('session')} and {named('by')} were both given; leave one out")


@dataclass(frozen=True)
class ReadingOptions:
    """How log files are read."""

    encoding: Annotated[str, Option("Character encoding. Invalid bytes are shown as \\xff.")] = "utf-8"
    inputs: Annotated[
        Literal["auto", "templates", "templates,gaps", "templates,parameters"],
        Option(
            "What the scores depend on. auto: templates, and gaps in time and parameters whose values are "
            "rarely unusual in the training sessions."
        ),
    ] = "auto"


@dataclass(frozen=True)
class LogOptions:
    """How a log is read: its lines, templates and sessions.

    Parameters
    ----------
    reading, sessions, drain
        The groups of options.
    ignore : tuple of str
        Regular expressions of records to ignore.
    """

    reading: ReadingOptions = field(default_factory=ReadingOptions)
    sessions: SessionOptions = field(default_factory=SessionOptions)
    drain: DrainOptions = field(default_factory=DrainOptions)
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for pattern in self.ignore:
            pattern_of("ignore", pattern)

    @classmethod
    def parse(cls, texts: Mapping[str, Any], ignore: Sequence[str] = ()) -> Self:
        """Return options from texts, as on the command line.

        Raises
        ------
        InputTypeError, ShapeError, DataError
            If a text is not a value of its option.

        Examples
        --------
        >>> LogOptions.parse({"window": "5m"}).sessions.window
        300.0
        """
        groups: dict[str, Any] = {}
        for group, declared in declared_options().items():
            values = {name: option.parse(texts[name]) for name, option in declared.items() if name in texts}
            groups[group] = _GROUPS[group](**values)
        return checked(cls(**groups, ignore=tuple(ignore)))

    def ignoring(self, patterns: Sequence[str]) -> Self:
        """Return the options with further patterns of records to ignore."""
        return replace(self, ignore=tuple(dict.fromkeys((*self.ignore, *patterns))))

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        content: dict[str, Any] = to_json(self)
        return content

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the options that `to_json` wrote; raises ValueError for other content."""
        return checked(Fields(content, "options.").dataclass(cls))


_GROUPS: Mapping[str, type] = {
    "sessions": SessionOptions,
    "drain": DrainOptions,
    "reading": ReadingOptions,
}


def declared_options() -> dict[str, Mapping[str, DeclaredOption]]:
    """Return the options of each group by name."""
    return {name: options_of(group, {}) for name, group in _GROUPS.items()}


def checked(options: L) -> L:
    """Return options whose values are in their ranges."""
    for group, declared in declared_options().items():
        for name, option in declared.items():
            option.check(getattr(getattr(options, group), name), "logs")
    return options


def pattern_of(name: str, pattern: str) -> re.Pattern[str]:
    """Return a regular expression of an option.

    Raises
    ------
    DataError
        If it is not a valid regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DataError(f"{named(name, pattern)} is not a regular expression ({error}); correct it") from None
