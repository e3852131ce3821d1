"""Tagging: a tag for each token or step, from softmax outputs or a linear-chain CRF."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from throughtime._options import Option
from throughtime._words import counted
from throughtime.data.columns import short
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError
from throughtime.nn import CRF
from throughtime.ragged import Ragged
from throughtime.tasks.intervals import WeightedMetrics
from throughtime.tasks.labels import FILL_IN, MOST_CLASSES, numbered, one_column
from throughtime.tasks.metrics import per_span_metrics, per_tag_metrics, tagging
from throughtime.tasks.outputs import Outputs
from throughtime.tasks.sequence_task import SequenceTask
from throughtime.tasks.task import Level
from throughtime.tasks.views import (
    SHOWN_CLASSES,
    ClassTable,
    ExampleView,
    StepMark,
    TargetView,
    TaskViews,
    confusion,
    groups,
    highest,
)


class Tagger(nn.Module):
    """A model of every step together with a CRF over its outputs.

    Parameters
    ----------
    model : Module
        Sequences to the emissions (T, C) of every step.
    crf : CRF
        Scores of transitions between tags.
    """

    def __init__(self, model: nn.Module, crf: CRF) -> None:
        super().__init__()
        self.model, self.crf = model, crf

    def forward(self, *inputs: Any) -> Ragged:
        """Return the emissions (T, C)."""
        emissions: Ragged = self.model(*inputs)
        return emissions


@dataclass(frozen=True)
class Tagging(SequenceTask):
    """Cross-entropy of each step's tag, or −log p of the whole sequence of tags under a CRF.

    Parameters
    ----------
    tags : tuple of str
        Names of the C tags, in the order of the outputs.
    crf : bool
        Whether a linear-chain CRF (Lafferty et al. 2001) scores whole sequences of tags; its loss is
        divided by the number of steps.
    """

    name: ClassVar[str] = "tagging"
    level: ClassVar[Level] = "step"
    default_models: ClassVar[Mapping[str, str]] = {"tokens": "bilstm", "series": "bilstm"}
    monitor: ClassVar[str] = "token_accuracy"
    shown: ClassVar[tuple[str, ...]] = ("loss", "token_accuracy")

    tags: tuple[str, ...]
    crf: Annotated[
        bool, Option("Score whole sequences of tags with a linear-chain conditional random field.")
    ] = False

    def __post_init__(self) -> None:
        if len(set(self.tags)) < len(self.tags):
            raise ShapeError("two of the tags have the same name")

    @property
    def outputs(self) -> int:
        """C."""
        return len(self.tags)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Accuracy and F1 of tokens, and of spans where tags have the prefixes of BIO or IOBES."""
        return ("loss", "token_accuracy", "token_f1_macro", "span_precision", "span_recall", "span_f1")

    @property
    def headline(self) -> tuple[str, ...]:
        """Accuracy of tokens, and F1 of spans if there are any."""
        return ("token_accuracy", "span_f1", "token_f1_macro", "span_precision")

    @classmethod
    def learn(cls, table: Table, columns: Sequence[str]) -> Self:
        """Return the task with the sorted tags of a column."""
        column = one_column(cls.name, columns)
        tags = sorted({tag for part in table.chunks() for row in _tag_lists(part, column) for tag in row})
        if len(tags) < 2:
            raise DataError(
                f"{table.name}: column {columns[0]!r} has {counted(len(tags), 'different tag')}, but a "
                "tagger needs two; choose another column"
            )
        if len(tags) > MOST_CLASSES:
            raise DataError(f"{table.name}: {len(tags):,} tags, at most {MOST_CLASSES:,} are supported")
        return cls(tuple(tags))

    def encode(self, table: Table, columns: Sequence[str]) -> Ragged:
        """Return the tag numbers (T,) int64."""
        rows = _tag_lists(table, one_column(self.name, columns))
        lengths = [len(row) for row in rows]
        row_of_tag = np.repeat(np.arange(len(rows)), lengths)
        flat = numbered(
            (tag for row in rows for tag in row),
            self.tags,
            lambda i: table.place(int(row_of_tag[i])),
            "tag",
            "tag",
        )
        return Ragged.from_lengths(torch.from_numpy(flat), lengths)

    def complete_model(self, model: nn.Module) -> nn.Module:
        """Return the model with its CRF."""
        return Tagger(model, CRF(len(self.tags))) if self.crf else model

    def score(self, model: nn.Module, outputs: Outputs, targets: Ragged) -> dict[str, Tensor]:
        """Return the loss of each step, and whether its tag is right."""
        emissions = _of_steps(outputs)
        # The best sequence of tags takes a second pass over time, so steps count the largest emission.
        right = emissions.values.detach().argmax(1) == targets.values
        if not isinstance(model, Tagger):
            losses = F.cross_entropy(emissions.values, targets.values, reduction="none")
            return {"loss": losses, "token_accuracy": right}
        of_sequences = -model.crf.log_likelihood(emissions, targets)
        lengths = targets.lengths.to(of_sequences)
        per_step = (of_sequences / lengths.clamp(min=1)).repeat_interleave(targets.lengths.to(lengths.device))
        return {"loss": per_step, "token_accuracy": right}

    def measures(self, model: nn.Module, outputs: Outputs, targets: Ragged) -> WeightedMetrics:
        """Return all metrics of the predicted tags."""
        return tagging(self.tagged(model, outputs), self._names(targets))

    def tagged(self, model: nn.Module, outputs: Outputs) -> list[list[str]]:
        """Return the predicted tags of each sequence."""
        emissions = _of_steps(outputs)
        if isinstance(model, Tagger):
            with torch.no_grad():
                return self._names(model.crf.cpu().decode(emissions))
        return self._names(emissions.with_values(emissions.values.argmax(1)))

    def predictions(self, model: nn.Module, outputs: Outputs) -> dict[str, Any]:
        """Return the list of tags of each sequence."""
        return {"tags": self.tagged(model, outputs)}

    def views(self, model: nn.Module, outputs: Outputs, targets: Ragged) -> TaskViews:
        """Return the metrics of each tag and span type, the confusion matrix, and sequences with errors."""
        predicted, truth = self.tagged(model, outputs), self._names(targets)
        numbers = {tag: number for number, tag in enumerate(self.tags)}
        chosen = np.array([numbers[tag] for row in predicted for tag in row], dtype=np.int64)
        wrong = np.array([sum(map(str.__ne__, *rows)) for rows in zip(predicted, truth, strict=True)])

        def example(row: int) -> ExampleView:
            marks = tuple(_mark(*tags) for tags in zip(predicted[row], truth[row], strict=True))
            return ExampleView(row, "", f"{wrong[row]} of {len(marks)} tags are wrong", "", marks)

        spans = per_span_metrics(predicted, truth)
        return TaskViews(
            (
                ClassTable("tag", per_tag_metrics(predicted, truth)),
                *((ClassTable("span type", spans),) if spans else ()),
            ),
            confusion(self.tags, targets.values.numpy(), chosen, SHOWN_CLASSES),
            examples=groups(("Most errors", map(example, highest(wrong.astype(np.float64), wrong > 0)))),
        )

    def target_view(self, targets: Ragged) -> TargetView:
        """Return the number of tokens with each tag."""
        counts = torch.bincount(targets.values, minlength=len(self.tags)).tolist()
        return TargetView(dict(zip(self.tags, counts, strict=True)))

    def _names(self, numbers: Ragged) -> list[list[str]]:
        return [[self.tags[i] for i in row.tolist()] for row in numbers.to_list()]


def _of_steps(outputs: Outputs) -> Ragged:
    if not isinstance(outputs, Ragged):
        raise ShapeError("tagging needs outputs of every step (T, C), got one of each sequence")
    return outputs


def _tag_lists(table: Table, column: str) -> list[list[str]]:
    values = table.column(column).to_pylist()
    return [_tags(value, table, row, column) for row, value in enumerate(values)]


def _tags(value: Any, table: Table, row: int, column: str) -> list[str]:
    if value is None:
        raise DataError(f"{table.place(row)} has no tags in column {column!r}; {FILL_IN}")
    if isinstance(value, str):
        value = _parsed(value, table, row, column)
    if not isinstance(value, list) or any(tag is None or isinstance(tag, list | dict) for tag in value):
        raise DataError(
            f"{table.place(row)} has {short(repr(value))} in column {column!r}, expected a list of tags, one "
            "for each token"
        )
    return [str(tag) for tag in value]


def _parsed(text: str, table: Table, row: int, column: str) -> Any:
    if not text.lstrip().startswith("["):
        return text.split()
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(
            f"{table.place(row)}: {short(repr(text))} in column {column!r} is not a JSON list ({error}); fix "
            "it, or separate tags by spaces"
        ) from error


def _mark(predicted: str, truth: str) -> StepMark:
    """Return a strong mark for a wrong tag, and none for the right one."""
    if predicted == truth:
        return StepMark(0.0, predicted)
    return StepMark(1.0, f"predicted {predicted}, true tag {truth}")
