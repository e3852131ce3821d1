"""Operators of Python files for ``throughtime diagnose``, half of them replaced."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from throughtime.cli._classifier_quality import ClassifiedRows
from throughtime.cli._objective import Objective
from throughtime.cli._python_files import python_files, unreadable
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.review import sites_of
from throughtime.diagnose import Finding
from throughtime.errors import DataError, RunError
from throughtime.ragged import Ragged
from throughtime.report import ClassifierQuality
from throughtime.tasks import Classification, predict
from throughtime.training import Run

_NOT_COMPARED = "throughtime demo already compares its models with n-grams"


@dataclass(frozen=True)
class Operators:
    """Windows around operators, and whether the operator was replaced."""

    tokens: Ragged
    labels: Tensor
    words: list[list[str]]
    description: str
    task: Classification

    def objective(self, run: Run, count: int) -> Objective:
        """Return the cross-entropy of the true class."""
        model, labels = run.load_model(), self.labels[:count]
        return Objective(model, lambda logits: self.task.score(model, logits, labels)["loss"], labels)

    def quality(self, model: nn.Module) -> tuple[ClassifierQuality, list[Finding], list[str]]:
        """Return the quality on all operators."""
        logits = cast("Tensor", predict(model, self.tokens))
        texts = [" ".join(row) for row in self.words]
        rows = ClassifiedRows(logits, self.labels, self.task.classes, range(len(texts)), texts)
        return rows.quality(no_bag_of_words=_NOT_COMPARED), [], []


def operators_of(run: Run, data: Path) -> Operators:
    """Read Python files, half of whose operators are replaced.

    Raises
    ------
    DataError
        If a file cannot be read, or there are no operators.
    """
    task = run.config.task
    if not isinstance(task, Classification):
        raise RunError(f"{run.path} is a run of task {task.name!r}, not of the demo; restore its config.json")
    vocabulary = Vocabulary.from_tokenizer(tokenizer_of(run))
    generator = torch.Generator().manual_seed(0)
    parts = []
    for name, source in python_files(data):
        with unreadable(name):
            parts.append(sites_of(source, vocabulary).draw(generator))
    tokens, labels = Ragged.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    if not len(labels):
        raise DataError(f"{data} has no operators that could be replaced; give a longer file or a folder")
    order = torch.randperm(len(labels), generator=generator)
    tokens, labels = tokens[order], labels[order]
    words = [[vocabulary.words[i] for i in row.tolist()] for row in tokens]
    description = f"{len(labels):,} operators of {data.name}, half of them replaced"
    return Operators(tokens, labels, words, description, task)
