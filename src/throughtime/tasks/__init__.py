"""Tasks: what a model is trained for. Each is a module with its targets, loss, metrics and predictions."""

from collections.abc import Mapping
from typing import Any

from throughtime.tasks.anomaly import Anomaly as Anomaly
from throughtime.tasks.classification import Classification as Classification
from throughtime.tasks.classifier_quality import Prediction as Prediction
from throughtime.tasks.classifier_quality import PredictionExamples as PredictionExamples
from throughtime.tasks.classifier_quality import Quality as Quality
from throughtime.tasks.classifier_quality import quality as quality
from throughtime.tasks.frames import Frames as Frames
from throughtime.tasks.language import Language as Language
from throughtime.tasks.metrics import METRICS as METRICS
from throughtime.tasks.multilabel import MultiLabel as MultiLabel
from throughtime.tasks.next_step_task import NextStepTask as NextStepTask
from throughtime.tasks.outputs import Outputs as Outputs
from throughtime.tasks.outputs import model_outputs as model_outputs
from throughtime.tasks.outputs import predict as predict
from throughtime.tasks.regression import Regression as Regression
from throughtime.tasks.sequence_task import SequenceTask as SequenceTask
from throughtime.tasks.tagging import Tagging as Tagging
from throughtime.tasks.task import BatchSettings as BatchSettings
from throughtime.tasks.task import Level as Level
from throughtime.tasks.task import Loader as Loader
from throughtime.tasks.task import StepValues as StepValues
from throughtime.tasks.task import Task as Task
from throughtime.tasks.views import TargetView as TargetView
from throughtime.tasks.views import TaskViews as TaskViews

TASKS: Mapping[str, type[Task]] = {
    task.name: task for task in (Classification, MultiLabel, Regression, Tagging, Anomaly, Language, Frames)
}
"""The tasks by name."""


def task_from_json(content: Mapping[str, Any]) -> Task:
    """Return the task that ``to_json`` of a task wrote.

    Raises
    ------
    ValueError
        If the task is unknown, or an entry is missing or has the wrong type.
    """
    name = content.get("name")
    if not isinstance(name, str) or name not in TASKS:
        raise ValueError(f"task.name must be one of {', '.join(TASKS)}, got {name!r}")
    return TASKS[name].from_json(content)
