"""Labelled sequences for ``throughtime diagnose``: texts with classes, and operators of Python files."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.baselines import fit_bag_of_words
from throughtime.cli._objective import Objective
from throughtime.cli._predict_text import read_table
from throughtime.cli._python_files import python_files, unreadable
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.cli._training_rows import TrainingRows, training_rows, unseen
from throughtime.data.text import encode_labels
from throughtime.data.tokenizing import encode
from throughtime.data.vocabulary import Vocabulary
from throughtime.demo.review import sites_of
from throughtime.diagnose import Finding, no_gain_over_bag_of_words
from throughtime.errors import DataError
from throughtime.ragged import Ragged
from throughtime.report import BagOfWordsScore, ClassifierQuality
from throughtime.training import Prediction, PredictionExamples, Quality, Run, predict, quality


@dataclass(frozen=True)
class Labelled:
    """Sequences with one class each."""

    tokens: Ragged
    labels: Tensor
    words: Sequence[Sequence[str]]
    texts: Sequence[str]
    description: str
    classes: Sequence[str]
    trained_on: TrainingRows | None = None
    not_compared: str | None = None
    """Why there is no comparison with a bag of words, if the training rows are unknown."""

    def objective(self, run: Run, count: int) -> Objective:
        """Return the cross-entropy of the true class."""
        labels = self.labels[:count]
        return Objective(
            run.load_model(), lambda logits: F.cross_entropy(logits, labels, reduction="none"), labels
        )

    def quality(self, model: nn.Module) -> tuple[ClassifierQuality, list[Finding]]:
        """Return the quality on rows outside of the training, beside a bag of words on the same rows."""
        new = [] if self.trained_on is None else unseen(self.trained_on, self.texts)
        rows = torch.tensor(new or range(len(self.texts)))
        tokens, labels = self.tokens[rows], self.labels[rows]
        logits = predict(model, tokens).double()
        losses = F.cross_entropy(logits, labels, reduction="none")
        measured = self._quality(logits, rows, losses)
        if self.trained_on is None or len(new) < 2:
            reason = self.not_compared or (
                "these are training rows; diagnose the run on rows that it was not trained on"
            )
            return replace(measured, no_bag_of_words=reason), []
        training = self.trained_on.source.training(0)
        bag = fit_bag_of_words(training, self.trained_on.source.validation)
        if bag is None:
            reason = "the training rows have no words or classes that a bag of words could learn"
            return replace(measured, no_bag_of_words=reason), []
        log_probabilities = torch.from_numpy(bag.log_probabilities(tokens, len(self.classes)))
        bag_losses = F.nll_loss(log_probabilities, labels, reduction="none")
        bag_right = log_probabilities.argmax(1) == labels
        score = BagOfWordsScore(
            float(bag_right.double().mean()), float(bag_losses.mean()), len(training), bag.rows
        )
        finding = no_gain_over_bag_of_words(losses, bag_losses, logits.argmax(1) == labels, bag_right)
        return replace(measured, bag_of_words=score), [] if finding is None else [finding]

    def _quality(self, logits: Tensor, rows: Tensor, losses: Tensor) -> ClassifierQuality:
        """Return the quality without a bag of words, of these rows."""
        measured = quality(logits, self.labels[rows], self.classes)

        def with_text(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
            numbers = [int(rows[prediction.row]) for prediction in predictions]
            return tuple(
                replace(prediction, row=row, text=self.texts[row])
                for row, prediction in zip(numbers, predictions, strict=True)
            )

        examples = PredictionExamples(
            **{
                field.name: with_text(getattr(measured.examples, field.name))
                for field in fields(PredictionExamples)
            }
        )
        content = {field.name: getattr(measured, field.name) for field in fields(Quality)}
        return ClassifierQuality(
            **content | {"examples": examples}, loss=float(losses.mean()), rows=len(rows)
        )


def labelled_texts(
    run: Run, data: Path, text: str | None, label: str | None, training_data: Path | None
) -> Labelled:
    """Read a table or folder of texts with their classes, and find the rows of the training."""
    table = read_table(run, data, text, label or run.task_entry("label", str, None, default=None))
    if table.labels is None:
        raise DataError(f"{data} has no labels, which the loss needs; name the label column with --label")
    tokenizer = tokenizer_of(run)
    tokens = encode(tokenizer, table.texts)
    words = [tokenizer.encode(content).tokens for content in table.texts]
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
        raise DataError(f"{data} has no operators that could be replaced; give a longer file or a folder")
    order = torch.randperm(len(labels), generator=generator)
    tokens, labels = tokens[order], labels[order]
    words = [[vocabulary.words[i] for i in row.tolist()] for row in tokens]
    description = f"{len(labels):,} operators of {data.name}, half of them replaced"
    return Labelled(
        tokens,
        labels,
        words,
        [" ".join(row) for row in words],
        description,
        run.config.classes,
        not_compared="throughtime demo already compares its models with bags of n-grams",
    )
