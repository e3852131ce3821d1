"""The sequences that ``throughtime diagnose`` reads, by the kind of run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from throughtime.cli._objective import Objective
from throughtime.demo import TASK
from throughtime.diagnose import Finding
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.report import ClassifierQuality, NextStepQuality
from throughtime.tasks import NextStepTask
from throughtime.training import Run


@dataclass(frozen=True)
class DiagnosisColumns:
    """The columns of the data, where they have other names than in the training, and the training data."""

    inputs: Sequence[str] = ()
    target: Sequence[str] = ()
    training_data: Path | None = None


class DiagnosisData(Protocol):
    """Sequences with what their loss needs, and their tokens as text."""

    @property
    def tokens(self) -> Ragged:
        """The sequences."""

    @property
    def words(self) -> Sequence[Sequence[str]] | None:
        """The text of each token of each sequence, if it is known."""

    @property
    def description(self) -> str:
        """What they are, for the head of the page."""

    def objective(self, run: Run, count: int) -> Objective:
        """Return the model of a run and its losses on the first ``count`` sequences."""

    def quality(
        self, model: nn.Module
    ) -> tuple[ClassifierQuality | NextStepQuality | None, list[Finding], list[str]]:
        """Return the quality of the model on all sequences, findings on it, and lines for the terminal."""


def read_diagnosis_data(run: Run, data: Path, columns: DiagnosisColumns) -> DiagnosisData:
    """Read the data that a run is diagnosed on.

    Runs on tables take rows with targets, language and frame models a text or frames. Runs of the demo take
    Python files, half of whose operators are replaced as in the training; the replacements and their order
    are the same every time.
    """
    operators = run.config.recipe.get("kind") == TASK
    stream = isinstance(run.config.task, NextStepTask)
    if operators or stream:
        _require_no_columns(run, columns, "Python files" if operators else "text or frames")
    if operators:
        from throughtime.cli._operators import operators_of

        return operators_of(run, data)
    if stream:
        from throughtime.cli._next_step import next_steps

        return next_steps(run, data)
    from throughtime.cli._labelled_rows import labelled_rows

    return labelled_rows(run, data, columns)


def _require_no_columns(run: Run, columns: DiagnosisColumns, reads: str) -> None:
    if columns.inputs or columns.target:
        raise DataError(f"{run.path} is a run that reads {reads}; leave out --input and --target")
    if columns.training_data is not None:
        raise DataError(f"{run.path} was not trained on rows of a table; leave out --training-data")
