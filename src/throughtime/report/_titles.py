"""What models and runs are called on pages and on the terminal."""

from pathlib import Path

from throughtime.tasks import NextStepTask, Regression, Task
from throughtime.training import ModelSpec, Run

_NEXT_STEP = {"language": "language model", "frame": "frame model", "forecast": "forecast model"}
_TASKS = {
    "classification": "classification",
    "multilabel": "labelling",
    "regression": "regression",
    "tagging": "tagging",
    "anomaly": "anomaly detection",
}


def model_title(model: ModelSpec) -> str:
    """Return the name of a model; that of a next-step model is its cell and what it predicts.

    Examples
    --------
    >>> model_title(ModelSpec("textcnn")), model_title(ModelSpec("language", {"cell": "gru"}))
    ('textcnn', 'gru language model')
    """
    if model.name not in _NEXT_STEP:
        return model.name
    return f"{model.options.get('cell', 'lstm')} {_NEXT_STEP[model.name]}"


def run_title(run: Run) -> str:
    """Return what a run is: its model, its task and the file of its data."""
    file = run.recipe_entry("data", str, None, default=None)
    data = f" of {Path(file).name}" if file else ""
    model, task = model_title(run.config.model), run.task
    if isinstance(task, NextStepTask):
        return f"{model}{data}"
    return f"{model}: {_TASKS.get(task.name, task.name)}{data}"


def in_nats(task: Task) -> bool:
    """Return whether the loss is a mean negative logarithm of probabilities."""
    return not isinstance(task, Regression)


def run_names(runs: "list[Run]") -> list[str]:
    """Return a short name for each run: its model, and where it says more the name or path of its folder."""
    for place in (lambda run: run.path.name, lambda run: str(run.path)):
        names = [_named(run, place(run)) for run in runs]
        if len(set(names)) == len(names):
            break
    return names


def _named(run: Run, place: str) -> str:
    model = model_title(run.config.model)
    return model if place in {model, run.config.model.name} else f"{model} ({place})"
