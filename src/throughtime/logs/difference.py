"""`log_difference`: the templates that are new, gone, more frequent or less frequent in a second log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, false_discovery_control

from throughtime.logs.drain import Drain
from throughtime.logs.events import Events, read_events
from throughtime.logs.files import LogFile
from throughtime.logs.options import LogOptions

SIGNIFICANT = 0.01
"""Largest adjusted p-value of a reported change of frequency."""

Change = Literal["new", "gone", "more", "fewer"]


class ChangedTemplate(NamedTuple):
    """A template whose frequency differs between two logs.

    Parameters
    ----------
    change : str
        "new", "gone", "more" or "fewer".
    level, text : str
        The template.
    before, after : int
        Number of records in the first and in the second log.
    p_value : float
        p-value of the change, adjusted for the number of templates.
    file, line : str, int
        Place of its first record in the second log; if it is gone, in the first log.
    """

    change: Change
    level: str
    text: str
    before: int
    after: int
    p_value: float
    file: str
    line: int


@dataclass(frozen=True)
class LogDifference:
    """Result of `log_difference`.

    Parameters
    ----------
    templates : tuple of ChangedTemplate
        New templates first, then those that are gone, then the others by p-value.
    records : tuple of int
        Number of records of the two logs.
    total : int
        Number of templates.
    """

    templates: tuple[ChangedTemplate, ...]
    records: tuple[int, int]
    total: int


def log_difference(
    before: Sequence[LogFile], after: Sequence[LogFile], options: LogOptions | None = None
) -> LogDifference:
    """Compare how often each template occurs in two logs, such as those of two runs of a test suite.

    A template that is in both logs is reported if its fraction of the records differs significantly: by a
    binomial test of its number of records in the second log, with p-values adjusted for the number of
    templates by the method of Benjamini and Hochberg, at level 0.01.

    Parameters
    ----------
    before, after : sequence of LogFile
        From `throughtime.logs.files.log_files`.
    options : LogOptions, optional
        How they are read; the options of sessions are ignored.

    Raises
    ------
    DataError
        If a file cannot be read, or a log has no records.

    References
    ----------
    Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate", J. R. Stat. Soc. B 57 (1995).
    """
    options = options or LogOptions()
    drain = Drain(options.drain)
    logs = [read_events(files, options, drain.learn) for files in (before, after)]
    templates, of_event = drain.result()
    numbers = [of_event[log.event] for log in logs]
    counts = np.stack([np.bincount(of_log, minlength=len(templates)) for of_log in numbers])
    p_values = _p_values(counts)
    changed = []
    for number, template in enumerate(templates.all):
        a, b = counts[:, number].tolist()
        change = _change(a, b, counts.sum(1), float(p_values[number]))
        if change is not None:
            place = (
                _first(logs[0], numbers[0], number)
                if change == "gone"
                else _first(logs[1], numbers[1], number)
            )
            changed.append(
                ChangedTemplate(change, template.level, template.text, a, b, float(p_values[number]), *place)
            )
    order = {"new": 0, "gone": 1, "more": 2, "fewer": 2}
    changed.sort(key=lambda t: (order[t.change], t.p_value, -max(t.before, t.after)))
    return LogDifference(tuple(changed), (len(logs[0]), len(logs[1])), len(templates))


def _p_values(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the adjusted p-value of each template, from counts (2, templates)."""
    share = counts[1].sum() / counts.sum()
    p_values = [binomtest(int(b), int(a + b), share).pvalue for a, b in counts.T]
    adjusted: NDArray[np.float64] = false_discovery_control(p_values)
    return adjusted


def _change(before: int, after: int, records: NDArray[np.int64], p_value: float) -> Change | None:
    if not before:
        return "new"
    if not after:
        return "gone"
    if p_value > SIGNIFICANT:
        return None
    return "more" if after * records[0] > before * records[1] else "fewer"


def _first(log: Events, numbers: NDArray[np.int64], number: int) -> tuple[str, int]:
    row = int(np.argmax(numbers == number))
    return log.files[log.file[row]].name, int(log.line[row])
