"""What ``throughtime diagnose`` reads, by the kind of a run."""

from pathlib import Path

from throughtime.cli._labelled import labelled_texts, operators
from throughtime.cli._next_step import next_steps
from throughtime.cli._question import Subject
from throughtime.cli._train_task import NEXT
from throughtime.demo import TASK
from throughtime.errors import DataError
from throughtime.training import Run


def subject_of(
    run: Run, data: Path, text: str | None, label: str | None, training_data: Path | None
) -> Subject:
    """Read what a run can be diagnosed on.

    Runs of ``throughtime train`` take labelled texts, those of ``--task next`` a text or frames. Runs of the
    demo take Python files; as in the training, half of their operators are replaced. Which ones, and their
    order, are the same every time.
    """
    kind = run.config.task.get("kind")
    if kind in (TASK, NEXT) and (text is not None or label is not None):
        said = "the demo, which reads Python" if kind == TASK else "--task next, which reads a text or frames"
        raise DataError(f"{run.path} is a run of {said}: leave out --text and --label")
    if kind in (TASK, NEXT) and training_data is not None:
        raise DataError(f"{run.path} is not a run on labelled texts: leave out --training-data")
    if kind == NEXT:
        return next_steps(run, data)
    return operators(run, data) if kind == TASK else labelled_texts(run, data, text, label, training_data)
