"""Sequences with a class each: labelled texts, and the operators of Python files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.cli._predict_text import read_table
from throughtime.cli._python_files import python_files, unreadable
from throughtime.cli._question import Question
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.text import encode, encode_labels
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.review import sites_of
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.training import Run, predict, quality
from throughtime.training.baselines import memoryless_loss


@dataclass(frozen=True)
class Labelled:
    """Sequences with a class each."""

    tokens: Ragged
    labels: Tensor
    words: Sequence[Sequence[str]]
    texts: Sequence[str]
    said: str
    classes: Sequence[str]

    def question(self, run: Run, count: int) -> Question:
        """Ask for the class."""
        labels = self.labels[:count]
        return Question(
            run.load_model(), lambda logits: F.cross_entropy(logits, labels, reduction="none"), labels
        )

    def quality(self, model: nn.Module) -> dict[str, Any]:
        """Return accuracy, confusion, calibration, examples, and the loss beside that of a bag of tokens."""
        logits = predict(model, self.tokens)
        found = quality(logits, self.labels, self.classes)
        for row in (row for rows in found["examples"].values() for row in rows):
            row["text"] = self.texts[row["row"]]
        found["loss"] = float(F.cross_entropy(logits.double(), self.labels))
        found["memoryless_loss"] = memoryless_loss(self.tokens, self.labels, len(self.classes))
        return found


def labelled_texts(run: Run, data: Path, text: str | None, label: str | None) -> Labelled:
    """Read a table or folder of texts with their classes."""
    table = read_table(run, data, text, label or run.task_entry("label", str, None, default=None))
    if table.labels is None:
        raise DataError(f"{data} has no labels, which the loss needs; name their column with --label")
    tokenizer = tokenizer_of(run)
    tokens = encode(tokenizer, table.texts)
    words = [tokenizer.encode(one).tokens for one in table.texts]
    return Labelled(
        tokens,
        encode_labels(table, run.config.classes),
        [row[: int(n)] for row, n in zip(words, tokens.lengths, strict=True)],
        table.texts,
        f"{len(table):,} labelled texts of {data.name}",
        run.config.classes,
    )


def operators(run: Run, data: Path) -> Labelled:
    """Read Python files, half of whose operators are replaced."""
    vocabulary = Vocabulary.from_tokenizer(tokenizer_of(run))
    generator = torch.Generator().manual_seed(0)
    parts = []
    for name, source in python_files(data):
        with unreadable(name):
            parts.append(sites_of(source, vocabulary).draw(generator))
    tokens, labels = Ragged.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    if not len(labels):
        raise DataError(f"{data} has no operators that could be replaced; give a longer file, or a folder")
    order = torch.randperm(len(labels), generator=generator)
    tokens, labels = tokens[order], labels[order]
    words = [[vocabulary.words[i] for i in row.tolist()] for row in tokens]
    said = f"{len(labels):,} operators of {data.name}, half of them replaced"
    return Labelled(tokens, labels, words, [" ".join(row) for row in words], said, run.config.classes)
