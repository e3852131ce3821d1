"""What ``throughtime diagnose`` reads: labelled sequences of the kind that a run was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from throughtime.cli._predict_text import read_table
from throughtime.cli._python_files import python_files, unreadable
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.text import encode, encode_labels
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo import TASK, sites_of
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.training import Run


@dataclass(frozen=True)
class Subject:
    """Labelled sequences, and how people read them."""

    tokens: Ragged
    labels: Tensor
    words: Sequence[Sequence[str]]
    """Of each sequence, one for each token."""
    texts: Sequence[str]
    said: str
    """What they are, for the head of a page."""


def subject_of(run: Run, data: Path, text: str | None, label: str | None) -> Subject:
    """Read what a run can be diagnosed on.

    Runs of ``throughtime train`` take labelled texts. Runs of the demo take Python files; as in the training,
    half of their operators are replaced. Which ones, and their order, are the same every time.
    """
    if run.config.task.get("kind") == TASK:
        return _operators(run, data, text, label)
    return _texts(run, data, text, label)


def _texts(run: Run, data: Path, text: str | None, label: str | None) -> Subject:
    table = read_table(run, data, text, label or run.config.task.get("label"))
    if table.labels is None:
        raise DataError(f"{data} has no labels, which the loss needs; name their column with --label")
    tokenizer = tokenizer_of(run)
    tokens = encode(tokenizer, table.texts)
    words = [tokenizer.encode(one).tokens for one in table.texts]
    return Subject(
        tokens,
        encode_labels(table, run.config.classes),
        [row[: int(n)] for row, n in zip(words, tokens.lengths, strict=True)],
        table.texts,
        f"{len(table):,} labelled texts of {data.name}",
    )


def _operators(run: Run, data: Path, text: str | None, label: str | None) -> Subject:
    if text is not None or label is not None:
        raise DataError(f"{run.path} is a run of the demo, which reads Python: leave out --text and --label")
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
    return Subject(tokens, labels, words, [" ".join(row) for row in words], said)
