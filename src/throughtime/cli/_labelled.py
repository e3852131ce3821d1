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
from throughtime.cli._training_rows import TrainingRows, training_rows, unseen
from throughtime.data.text import encode, encode_labels
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.review import sites_of
from throughtime.diagnose import Finding, no_gain_over_bag_of_words
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.training import Run, predict, quality
from throughtime.training.baselines import fit_bag_of_words


@dataclass(frozen=True)
class Labelled:
    """Sequences with a class each."""

    tokens: Ragged
    labels: Tensor
    words: Sequence[Sequence[str]]
    texts: Sequence[str]
    said: str
    classes: Sequence[str]
    trained_on: TrainingRows | None = None
    not_compared: str | None = None
    """Why there is no comparison with a bag of words, if the training rows are not known."""

    def question(self, run: Run, count: int) -> Question:
        """Ask for the class."""
        labels = self.labels[:count]
        return Question(
            run.load_model(), lambda logits: F.cross_entropy(logits, labels, reduction="none"), labels
        )

    def quality(self, model: nn.Module) -> tuple[dict[str, Any], list[Finding]]:
        """Return accuracy, confusion, calibration, examples, and the same rows' bag of words."""
        new = [] if self.trained_on is None else unseen(self.trained_on, self.texts)
        rows = torch.tensor(new or range(len(self.texts)))
        tokens, labels = self.tokens[rows], self.labels[rows]
        logits = predict(model, tokens).double()
        found = quality(logits, labels, self.classes)
        for row in (row for rows in found["examples"].values() for row in rows):
            row["row"] = int(rows[row["row"]])
            row["text"] = self.texts[row["row"]]
        losses = F.cross_entropy(logits, labels, reduction="none")
        found |= {"loss": float(losses.mean()), "rows": len(rows), "bag_of_words": None}
        if self.trained_on is None or len(new) < 2:
            found["no_bag_of_words"] = self.not_compared or (
                "these are training rows; diagnose the run on rows that it has not seen"
            )
            return found, []
        source = self.trained_on.source
        bag = fit_bag_of_words(source.training(0), source.validation)
        if bag is None:
            found["no_bag_of_words"] = "there is nothing in the training rows that a bag of words could learn"
            return found, []
        likely = torch.from_numpy(bag.log_probabilities(tokens, len(self.classes)))
        bag_losses, bag_right = F.nll_loss(likely, labels, reduction="none"), likely.argmax(1) == labels
        found["bag_of_words"] = {
            "accuracy": float(bag_right.double().mean()),
            "loss": float(bag_losses.mean()),
            "training_rows": len(source.training(0)),
            "fitted_to": bag.rows,
        }
        said = no_gain_over_bag_of_words(losses, bag_losses, logits.argmax(1) == labels, bag_right)
        return found, [] if said is None else [said]


def labelled_texts(
    run: Run, data: Path, text: str | None, label: str | None, training_data: Path | None
) -> Labelled:
    """Read a table or folder of texts with their classes, and look for the rows of the training."""
    table = read_table(run, data, text, label or run.task_entry("label", str, None, default=None))
    if table.labels is None:
        raise DataError(f"{data} has no labels, which the loss needs; name their column with --label")
    tokenizer = tokenizer_of(run)
    tokens = encode(tokenizer, table.texts)
    words = [tokenizer.encode(one).tokens for one in table.texts]
    known = training_rows(run, training_data, data)
    return Labelled(
        tokens,
        encode_labels(table, run.config.classes),
        [row[: int(n)] for row, n in zip(words, tokens.lengths, strict=True)],
        table.texts,
        f"{len(table):,} labelled texts of {data.name}",
        run.config.classes,
        None if isinstance(known, str) else known,
        known if isinstance(known, str) else None,
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
    return Labelled(
        tokens,
        labels,
        words,
        [" ".join(row) for row in words],
        said,
        run.config.classes,
        not_compared="throughtime demo compares its models with bags of n-grams itself",
    )
