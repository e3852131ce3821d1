"""``throughtime predict``, for text classifiers and for runs of the demo."""

from pathlib import Path

from throughtime.cli._predict_text import predict_text
from throughtime.cli._train_task import NEXT
from throughtime.demo import TASK
from throughtime.errors import DataError
from throughtime.training import Run


def predict(
    path: Path,
    data: Path,
    *,
    text: str | None,
    label: str | None,
    jsonl: bool,
    top: int | None,
    prior: float,
) -> None:
    """Apply the model of a run to data and print its predictions."""
    run = Run.open(path)
    if run.config.task.get("kind") == NEXT:
        raise DataError(f"{path} is a run of --task next, not a classifier; use throughtime sample {path}")
    if run.config.task.get("kind") == TASK:
        if text is not None or label is not None:
            raise DataError(
                f"{path} is a run of the demo, which reads Python files; leave out --text and --label"
            )
        from throughtime.cli._predict_code import predict_code

        predict_code(run, data, jsonl=jsonl, top=20 if top is None else top, prior=prior)
    else:
        predict_text(run, data, text=text, label=label, jsonl=jsonl, top=top)
