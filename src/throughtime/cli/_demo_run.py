"""Runs of ``throughtime demo``, as other commands read them."""

from throughtime.demo.operators.families import OPERATORS
from throughtime.errors import RunError
from throughtime.tasks import Classification
from throughtime.training import Run


def operator_task(run: Run) -> Classification:
    """Return the task of a run of the demo: the author's operator.

    Raises
    ------
    RunError
        If the run has another task.
    """
    task = run.config.task
    if isinstance(task, Classification) and task.classes == tuple(OPERATORS):
        return task
    raise RunError(
        f"{run.path} is marked as a run of the demo, but does not predict its {len(OPERATORS)} operators; "
        "restore its config.json, or train it again with throughtime demo"
    )
