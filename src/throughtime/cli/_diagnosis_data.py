"""The sequences that ``throughtime diagnose`` reads, by the kind of run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import nn

from throughtime.cli._labelled import labelled_texts, operators
from throughtime.cli._next_step import next_steps
from throughtime.cli._objective import Objective
from throughtime.cli._train_task import NEXT
from throughtime.demo import TASK
from throughtime.diagnose import Finding
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.report import ClassifierQuality, NextStepQuality
from throughtime.training import Run


class DiagnosisData(Protocol):
    """Sequences with what their loss needs, and their tokens as text."""

    @property
    def tokens(self) -> Ragged:
        """The sequences."""

    @property
    def words(self) -> Sequence[Sequence[str]]:
        """The text of each token of each sequence."""

    @property
    def description(self) -> str:
        """What they are, for the head of the page."""

    def objective(self, run: Run, count: int) -> Objective:
        """Return the model of a run and its losses on the first ``count`` sequences."""

    def quality(self, model: nn.Module) -> tuple[ClassifierQuality | NextStepQuality, list[Finding]]:
        """Return the quality of the model on all sequences, and findings on it."""


def read_diagnosis_data(
    run: Run, data: Path, text: str | None, label: str | None, training_data: Path | None
) -> DiagnosisData:
    """Read the data that a run is diagnosed on.

    Runs of ``throughtime train`` take labelled texts, those of ``--task next`` a text or frames. Runs of the
    demo take Python files, half of whose operators are replaced as in the training; the replacements and
    their order are the same every time.
    """
    kind = run.config.task.get("kind")
    if kind in (TASK, NEXT) and (text is not None or label is not None):
        reads = (
            "the demo, which reads Python files"
            if kind == TASK
            else "--task next, which reads text or frames"
        )
        raise DataError(f"{run.path} is a run of {reads}; leave out --text and --label")
    if kind in (TASK, NEXT) and training_data is not None:
        raise DataError(f"{run.path} was not trained on labelled texts; leave out --training-data")
    if kind == NEXT:
        return next_steps(run, data)
    return operators(run, data) if kind == TASK else labelled_texts(run, data, text, label, training_data)
