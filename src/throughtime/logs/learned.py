"""`learned_values`: the usual gaps and parameters of training sessions, and evidence in held-out ones."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from throughtime.logs.events import messages_of
from throughtime.logs.templates import Templates
from throughtime.logs.value_learner import ValueLearner, usual_gaps
from throughtime.logs.value_steps import gaps_of, value_steps
from throughtime.logs.values import Values

if TYPE_CHECKING:
    from throughtime.logs.model import LogModel
    from throughtime.logs.training import TrainingLog

MOST_RECORDS = 1_000_000
"""Maximum number of records whose parameters are read."""


class LearnedValues(NamedTuple):
    """Result of `learned_values`.

    Parameters
    ----------
    values : Values
        The usual gaps and parameters.
    evidence : ndarray
        (S,) float64: evidence of unusual values in each session, see `evidence_of`.
    is_read : ndarray
        (S,) bool: whether the parameters of the session were read; those of the first million records are.
    """

    values: Values
    evidence: NDArray[np.float64]
    is_read: NDArray[np.bool_]


def learned_values(
    log: "TrainingLog",
    trained: NDArray[np.int64],
    held_out: NDArray[np.int64],
    start: "LogModel | None" = None,
) -> LearnedValues:
    """Return the usual values of the sessions that are trained on, and the evidence in all sessions.

    Parameters
    ----------
    log : TrainingLog
        The log.
    trained, held_out : ndarray
        Numbers of sessions that are trained on, and of those whose evidence is required.
    start : LogModel, optional
        A model whose values are used for templates that do not occur in the log.
    """
    inputs, sequences = log.settings.options.reading.inputs, log.sequences
    templates = len(log.settings.templates)
    part = np.zeros(len(log.events), dtype=np.int8)
    for number, sessions in ((1, trained), (2, held_out)):
        for session in sessions.tolist():
            part[sequences.records(session)] = number
    learner, checks = ValueLearner(), dict[int, tuple[int, list[str]]]()
    if inputs in ("auto", "templates,parameters"):
        for row, event, parameters in _parameters(log, part):
            if part[row] == 1:
                learner.add(event, parameters)
            else:
                checks[row] = event, parameters
    usual = list(learner.usual())
    if inputs in ("auto", "templates,gaps"):
        of_training = part[sequences.rows] == 1
        usual += usual_gaps(log.events.event[sequences.rows][of_training], gaps_of(sequences)[of_training])
    values = Values(usual, templates)
    if start is not None:
        values = values.extended(start.values, templates)
    checked, surprise = np.zeros(len(log.events), dtype=np.int64), np.zeros(len(log.events))
    for row, (event, parameters) in checks.items():
        checked[row], surprise[row] = values.check(event, parameters)
    last = sequences.rows[sequences.offsets[1:] - 1]
    steps = value_steps(values, sequences, checked, surprise)
    return LearnedValues(values, steps.evidence, last < MOST_RECORDS)


def _parameters(log: "TrainingLog", part: NDArray[np.int8]) -> Iterator[tuple[int, int, list[str]]]:
    """Yield the row, event and parameters of the records in a part; the log is read again."""
    templates = Templates(log.settings.templates)
    messages = messages_of(log.events.files, log.settings.options)
    for row, (level, message) in enumerate(islice(messages, min(len(part), MOST_RECORDS))):
        if part[row]:
            event = templates.match(level, message)
            if event is not None:
                yield row, event, templates.parameters(event, message)
