"""``throughtime predict``: predictions for the rows of data, or for the operators of Python files."""

from pathlib import Path

from throughtime.cli._predict_options import PredictOptions
from throughtime.demo import TASK
from throughtime.errors import DataError, RunError, UnsupportedError
from throughtime.tasks import NextStepTask
from throughtime.training import Run


def predict(path: Path, data: Path, options: PredictOptions) -> None:
    """Apply the model of a run to data and print its predictions."""
    run = Run.open(path)
    if isinstance(run.config.task, NextStepTask):
        raise RunError(
            f"{path} is a run of task {run.config.task.name!r}, which predicts no rows of data; use "
            f"throughtime sample {path}"
        )
    if run.config.recipe.get("kind") == TASK:
        _predict_operators(run, data, options)
        return
    from throughtime.cli._predict_rows import predict_rows

    predict_rows(run, data, options)


def _predict_operators(run: Run, data: Path, options: PredictOptions) -> None:
    from throughtime.cli._predict_code import predict_code

    refused = options.names_of_rows()
    if refused:
        raise DataError(f"{run.path} is a run of the demo, which reads Python files; leave out {refused[0]}")
    if options.format not in (None, "table", "jsonl") or options.out is not None:
        raise UnsupportedError(
            "operators are printed as text or with --format jsonl; leave out other formats"
        )
    top = 20 if options.top is None else options.top
    predict_code(run, data, jsonl=options.format == "jsonl", top=top, prior=options.prior)
