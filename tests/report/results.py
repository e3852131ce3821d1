"""Results of trainings as the pages show them."""

from dataclasses import fields, replace

from throughtime.report import ClassifierQuality
from throughtime.tasks import PredictionExamples, Quality
from throughtime.training import EpochMetrics


def with_texts(measured: Quality, text: str) -> ClassifierQuality:
    content = {field.name: getattr(measured, field.name) for field in fields(Quality)}
    groups = {field.name: getattr(measured.examples, field.name) for field in fields(PredictionExamples)}
    examples = {name: tuple(replace(row, text=text) for row in rows) for name, rows in groups.items()}
    return ClassifierQuality(**content | {"examples": PredictionExamples(**examples)}, loss=1.0, rows=90)


def epoch_metrics(epoch: int) -> EpochMetrics:
    train, validation = {"loss": 1 / epoch, "accuracy": 0.5}, {"loss": 1.2 / epoch, "accuracy": 0.4}
    return EpochMetrics(epoch, 10, train, validation, 1e-3, 100, 1.0)
