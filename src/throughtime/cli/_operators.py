"""Operators of Python files for ``throughtime diagnose``, half of them replaced."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from throughtime.cli._classifier_quality import ClassifiedRows
from throughtime.cli._demo_run import operator_task
from throughtime.cli._objective import Objective
from throughtime.cli._python_files import python_files, unreadable
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.review import sites_of
from throughtime.diagnose import Finding
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.report import ClassifierQuality
from throughtime.tasks import Classification, predict
from throughtime.training import Run

_NOT_COMPARED = "throughtime demo already compares its models with n-grams"


@dataclass(frozen=True)
class Operators:
    """Windows around operators, half of them replaced, and the number of the author's own."""

    tokens: Ragged
    labels: Tensor
    words: list[list[str]]
    description: str
    task: Classification

    def objective(self, run: Run, count: int) -> Objective:
        """Return the cross-entropy of the author's operator."""
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
    task = operator_task(run)
    vocabulary = Vocabulary.from_tokenizer(tokenizer_of(run))
    generator = torch.Generator().manual_seed(0)
    parts = []
    for name, source in python_files(data):
        with unreadable(name):
            sites = sites_of(source, vocabulary)
            parts.append((sites.draw(generator), sites.operators))
    tokens, labels = Ragged.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    if not len(labels):
        raise DataError(f"{data} has no operators that could be replaced; give a longer file or a folder")
    order = torch.randperm(len(labels), generator=generator)
    tokens, labels = tokens[order], labels[order]
    words = [[vocabulary.words[i] for i in row.tolist()] for row in tokens]
    description = (
        f"{len(labels):,} operators of {data.name}, half of them replaced; predicted is the author's own"
    )
    return Operators(tokens, labels, words, description, task)
