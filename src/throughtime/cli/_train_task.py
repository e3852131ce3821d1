"""The task of ``throughtime train``, and whether its options belong to that task."""

from pathlib import Path
from typing import Literal

from throughtime.cli._options import option_of
from throughtime.data.next_step import Unit
from throughtime.errors import DataError, RunError
from throughtime.training import Run

NEXT = "next"
"""The task in the configuration of runs of ``train --task next``."""

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


def resolve_task(
    task: Literal["classify", "next"] | None,
    out: Path,
    given: frozenset[str],
    model: str | None,
    *,
    resume: bool,
) -> Literal["classify", "next"]:
    """Return the task, on resuming that of the run, and reject options of the other task.

    Raises
    ------
    DataError
        If an option or the model belongs to the other task.
    """
    if task is None:
        task = "next" if resume and Run.open(out).config.task.get("kind") == NEXT else "classify"
    for name in _OF_CLASSIFY if task == "next" else _OF_NEXT:
        if name in given:
            other = "classify" if task == "next" else "next"
            raise DataError(
                f"{option_of(name)} is an option of --task {other}, but this is --task {task}; leave it out"
            )
    if model is not None and (model in _CLASSIFIERS) != (task == "classify"):
        known = "textcnn, bilstm or bigru" if task == "classify" else "lstm, gru or rnn"
        raise DataError(f"--model {model} is not available for --task {task}; choose {known}")
    return task


def parse_cutoffs(cutoffs: str | None) -> tuple[int, ...]:
    """Return the cutoffs of an adaptive softmax from comma-separated numbers.

    Raises
    ------
    DataError
        If they are not whole numbers.
    """
    try:
        return tuple(int(part) for part in cutoffs.split(",")) if cutoffs else ()
    except ValueError as error:
        raise DataError(
            f"--cutoffs takes comma-separated whole numbers, such as 2000,10000; got {cutoffs!r}"
        ) from error


def unit_of(run: Run) -> Unit:
    """Return the unit of a time step in a run of ``train --task next``.

    Raises
    ------
    RunError
        If the configuration has no unit, or one that does not fit its model.
    """
    unit: Unit = run.task_entry("unit", str)
    model = run.config.model.name
    if unit not in (("frame",) if model == "frame" else ("word", "character")):
        raise RunError(f"{run.path / 'config.json'} is damaged: a {model!r} model has no unit {unit!r}")
    return unit
