"""Which of its two tasks ``throughtime train`` has, and whether its options go with it."""

from pathlib import Path
from typing import Literal

from throughtime.cli._options import option_of
from throughtime.data.next_step import Unit
from throughtime.errors import DataError, RunError
from throughtime.training import Run

NEXT = "next"
"""The task that runs of ``train --task next`` name in their configuration."""

_CLASSIFIERS = ("textcnn", "bilstm", "bigru")
_OF_CLASSIFY = ("text", "label", "tokens_per_batch", "lower_case")
_OF_NEXT = (
    "unit",
    "bptt",
    "bptt_k2",
    "streams",
    "validation_file",
    "test_file",
    "min_count",
    "hidden_size",
    "layers",
    "embedding_size",
    "dropout",
    "tied",
    "cutoffs",
)


def checked_task(
    task: Literal["classify", "next"] | None,
    out: Path,
    given: frozenset[str],
    model: str | None,
    *,
    resume: bool,
) -> Literal["classify", "next"]:
    """Return the task, that of the run on resuming; options of the other task are refused.

    Raises
    ------
    DataError
        If an option, or the model, goes with the other task.
    """
    if task is None:
        task = "next" if resume and Run.open(out).config.task.get("kind") == NEXT else "classify"
    for name in _OF_CLASSIFY if task == "next" else _OF_NEXT:
        if name in given:
            other = "classify" if task == "next" else "next"
            raise DataError(
                f"{option_of(name)} goes with --task {other}, this is --task {task}; leave it out"
            )
    if model is not None and (model in _CLASSIFIERS) != (task == "classify"):
        known = "textcnn, bilstm or bigru" if task == "classify" else "lstm, gru or rnn"
        raise DataError(f"--task {task} has no model {model}; choose {known}")
    return task


def ends_of(cutoffs: str | None) -> tuple[int, ...]:
    """Return numbers that commas separate.

    Raises
    ------
    DataError
        If they are none.
    """
    try:
        return tuple(int(part) for part in cutoffs.split(",")) if cutoffs else ()
    except ValueError as error:
        raise DataError(f"--cutoffs are whole numbers with commas between, got {cutoffs!r}") from error


def unit_of(run: Run) -> Unit:
    """Return what a step is, of a run of ``train --task next``.

    Raises
    ------
    RunError
        If its configuration does not say so, or says what does not go with its model.
    """
    unit: Unit = run.task_entry("unit", str)
    model = run.config.model.name
    if unit not in (("frame",) if model == "frame" else ("word", "character")):
        raise RunError(f"{run.path / 'config.json'} is damaged: a model {model!r} has no steps of {unit!r}")
    return unit
