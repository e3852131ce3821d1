"""Rows with targets for ``throughtime diagnose`` of every task that reads tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from throughtime._words import counted
from throughtime.baselines import fit_bag_of_words
from throughtime.cli._classifier_quality import ClassifiedRows
from throughtime.cli._diagnosis_data import DiagnosisColumns, DiagnosisData
from throughtime.cli._next_step import NextSteps
from throughtime.cli._objective import Objective
from throughtime.cli._rows_of_data import renamed
from throughtime.cli._training_rows import TrainingRows, keys_of, training_rows, unseen
from throughtime.data.examples import Examples
from throughtime.data.table import Table
from throughtime.diagnose import Finding, no_gain_over_bag_of_words
from throughtime.errors import DataError
from throughtime.learn import Predictor
from throughtime.ragged import Ragged
from throughtime.report import BagOfWordsScore, ClassifierQuality
from throughtime.tasks import METRICS, Anomaly, Classification, Outputs, SequenceTask, model_outputs
from throughtime.tasks.outputs import by_row
from throughtime.training import Run


@dataclass(frozen=True)
class LabelledRows:
    """Sequences with targets, and the rows of the training if they are known."""

    task: SequenceTask
    examples: Examples
    words: Sequence[Sequence[str]] | None
    keys: Sequence[str]
    description: str
    trained_on: TrainingRows | str
    """The training rows, or why they are not known."""

    @property
    def tokens(self) -> Ragged:
        """The sequences."""
        return self.examples.inputs

    def objective(self, run: Run, count: int) -> Objective:
        """Return the mean loss of each sequence."""
        part = self.examples.select(torch.arange(min(count, len(self.examples))))
        model = run.load_model()

        def losses(output: Outputs) -> Tensor:
            return _of_sequences(self.task.score(model, output, part.targets)["loss"], part.inputs)

        reader = model if part.extra is None else WithExtra(model, part.extra)
        target = part.targets if isinstance(self.task, Classification) else None
        return Objective(reader, losses, cast("Tensor | None", target))

    def quality(self, model: nn.Module) -> tuple[ClassifierQuality | None, list[Finding], list[str]]:
        """Return the quality on rows outside of the training; of a classifier beside a bag of words."""
        inner = model.model if isinstance(model, WithExtra) else model
        new = [] if isinstance(self.trained_on, str) else unseen(self.trained_on, self.keys)
        rows = new or list(range(len(self.keys)))
        examples = self.examples.select(_positions(self.examples, rows))
        outputs, targets = by_row(model_outputs(inner, examples), examples)
        if isinstance(self.task, Classification):
            texts = [self.keys[row] for row in rows]
            classified = ClassifiedRows(
                cast("Tensor", outputs).double(), cast("Tensor", targets), self.task.classes, rows, texts
            )
            return *self._beside_bag_of_words(classified, examples, seen=not new), []
        figures, count = self.task.measure(inner, outputs, targets)
        shown = "  ".join(
            f"{METRICS[name].title} {METRICS[name].text(value)}" for name, value in figures.items()
        )
        where = " outside of the training data" if new else ""
        return None, [], [f"{shown} on {counted(count, 'example')}{where}"]

    def _beside_bag_of_words(
        self, rows: ClassifiedRows, examples: Examples, *, seen: bool
    ) -> tuple[ClassifierQuality, list[Finding]]:
        if isinstance(self.trained_on, str):
            return rows.quality(no_bag_of_words=self.trained_on), []
        if seen or len(rows.rows) < 2:
            reason = "these are training rows; diagnose the run on rows that it was not trained on"
            return rows.quality(no_bag_of_words=reason), []
        source = self.trained_on.prepared.source
        training = source.training(0)
        if examples.inputs.is_floating_point():
            return rows.quality(no_bag_of_words="the sequences are numbers, not tokens"), []
        bag = fit_bag_of_words(training, source.validation)
        if bag is None:
            reason = "the training rows have no words or classes that a bag of words could learn"
            return rows.quality(no_bag_of_words=reason), []
        of_windows = torch.from_numpy(bag.log_probabilities(examples.inputs, len(rows.classes)))
        log_probabilities = cast("Tensor", by_row(of_windows, examples)[0])
        losses = nn.functional.cross_entropy(log_probabilities, rows.labels, reduction="none")
        right = log_probabilities.argmax(1) == rows.labels
        score = BagOfWordsScore(float(right.double().mean()), float(losses.mean()), len(training), bag.rows)
        finding = no_gain_over_bag_of_words(rows.losses, losses, rows.logits.argmax(1) == rows.labels, right)
        return rows.quality(bag_of_words=score), [] if finding is None else [finding]


class WithExtra(nn.Module):
    """A model with fixed further features of its sequences, whose parts keep their names."""

    def __init__(self, model: nn.Module, extra: Tensor) -> None:
        super().__init__()
        for name, part in model.named_children():
            self.add_module(name, part)
        self._reader = (model,)  # in a tuple, so that its parts are registered under their own names only
        self._extra = extra

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self._reader[0]

    def forward(self, x: Ragged) -> Any:
        """Return the output of the model."""
        return self.model(x, self._extra)


def labelled_rows(run: Run, data: Path, columns: DiagnosisColumns) -> DiagnosisData:
    """Read rows with their targets, and find the rows of the training.

    Raises
    ------
    DataError
        If a row cannot be read, or there are no targets.
    """
    predictor = Predictor.of(run)
    table = renamed(predictor.table(data), predictor, columns.inputs)
    inputs = predictor.encoder.inputs
    if isinstance(predictor.task, Anomaly):
        return _last_steps(run, predictor, table, data)
    target = columns.target or predictor.recipe.columns.target
    _require_targets(table, target, data)
    examples = predictor.encoder.examples(table, predictor.task, target)
    words = None if examples.rows is not None else _cut(inputs.words(table), examples.inputs)
    names = predictor.recipe.columns
    return LabelledRows(
        predictor.task,
        examples,
        words,
        keys_of(table, [*names.text, *names.tokens, *names.series]),
        f"{len(table):,} labelled rows of {data.name}",
        training_rows(run, columns.training_data, data),
    )


def _last_steps(run: Run, predictor: Predictor, table: Table, data: Path) -> NextSteps:
    """Return the sequences without their last step, and that step, which is the end of lists of tokens."""
    examples = predictor.encoder.unlabelled(table, predictor.task)
    words = _cut(predictor.encoder.inputs.words(table), examples.inputs)
    long = (examples.inputs.lengths > 1).nonzero().flatten()
    if not len(long):
        raise DataError(
            f"{data} has no sequence of two steps, of which the last could be predicted; give longer ones"
        )
    sequences = examples.inputs[long]
    before, last = sequences.split_time(sequences.lengths - 1)
    return NextSteps(
        before,
        last.values,
        [words[row][:-1] for row in long.tolist()],
        f"{len(long):,} sequences of {data.name}, and the last step of each",
        run.config.task,
    )


def _require_targets(table: Table, target: Sequence[str], data: Path) -> None:
    missing = [name for name in target if name not in table.names]
    if missing:
        raise DataError(
            f"{data} has no column {missing[0]!r} with the true values, which the loss needs; name it with "
            "--target"
        )


def _cut(words: Sequence[Sequence[str]], sequences: Ragged) -> list[list[str]]:
    """Return the words of sequences that may have been cut at the maximum length."""
    return [list(row[: int(n)]) for row, n in zip(words, sequences.lengths, strict=True)]


def _positions(examples: Examples, rows: Sequence[int]) -> Tensor:
    """Return the examples of these rows; a row may have several, its windows."""
    chosen = torch.tensor(rows)
    return chosen if examples.rows is None else torch.isin(examples.rows, chosen).nonzero().flatten()


def _of_sequences(losses: Tensor, sequences: Ragged) -> Tensor:
    """Return the mean loss of each sequence, from one per sequence or one per step."""
    if len(losses) == len(sequences):
        return losses
    total = losses.new_zeros(len(sequences)).index_add(0, sequences.layout.sequence_ids, losses)
    return total / sequences.lengths.clamp(min=1).to(losses)
