"""From raw data and a recipe to a source, a task and what encodes further rows."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from throughtime._options import named
from throughtime.data.examples import Source
from throughtime.data.fixed_source import FixedSource
from throughtime.data.inputs import (
    Inputs,
)
from throughtime.data.stored_examples import AnyExamples
from throughtime.data.table import Table
from throughtime.data.vectors import read_vectors
from throughtime.errors import DataError, ShapeError
from throughtime.learn.encoder import Encoder
from throughtime.learn.encoder_options import fitted_encoder, input_options
from throughtime.learn.parts import described, encoded_part, overlaps
from throughtime.learn.recipe import Recipe
from throughtime.learn.split import Parts, rare_note, rare_rows, split_rows
from throughtime.learn.tokenizer_choice import with_tokenizer
from throughtime.learn.unused_options import require_used_options
from throughtime.learn.usable import usable_rows
from throughtime.tasks import TASKS, SequenceTask, Task
from throughtime.tasks.labels import class_names, label_texts

_INPUT_COLUMNS = ("text", "tokens", "series")
_TARGET = "label"


@dataclass(frozen=True)
class Prepared:
    """Data, task and encoder of a training.

    Parameters
    ----------
    source : Source
        The examples.
    task : Task
        With what was learned of the targets.
    recipe : Recipe
        With the columns that are used.
    encoder : Encoder or None
        Turns further rows into examples; None for texts and frames of next-step models.
    tokenizer_json : str or None
        For the run.
    rows : Parts or None
        Row numbers of the parts, of the table that was split.
    notes : tuple of str
        What the user should know, such as rows that stand in two parts.
    prepare_model : callable or None
        Sets pretrained weights of a new model.
    tables : tuple of Table
        The rows of the training, validation and test parts.
    """

    source: Source
    task: Task
    recipe: Recipe
    encoder: Encoder | None = None
    tokenizer_json: str | None = None
    rows: Parts | None = None
    notes: tuple[str, ...] = ()
    prepare_model: Callable[[nn.Module], None] | None = field(default=None, repr=False)
    tables: tuple[Table, ...] = field(default=(), repr=False)
    drew_validation: bool = False
    """Whether the validation rows were drawn from those to train on, without regard to time."""
    vector_size: int | None = None
    """Number of features of pretrained vectors, if there are any."""
    row_weights: Tensor | None = None
    """Weights of the training examples without those of their classes."""
    class_weights: Tensor | None = None
    choices: tuple[str, ...] = ()
    """What was chosen by the data, such as the tokenizer, and why."""
    """(C,) weight of each class in the loss, if classes are weighed."""

    @property
    def inputs(self) -> Literal["tokens", "series"]:
        """What the model reads."""
        return "tokens" if "vocabulary_size" in self.source.shape else "series"

    @property
    def held_out(self) -> Table | None:
        """Rows of the test examples, or without these of the validation examples, for reports."""
        if not self.tables:
            return None
        return self.tables[2] if len(self.tables[2]) else self.tables[1]


def prepare_table(
    recipe: Recipe,
    table: Table,
    validation: Table | None = None,
    test: Table | None = None,
    *,
    weights: Tensor | None = None,
    rows: Parts | None = None,
    encoder: Encoder | None = None,
    task: SequenceTask | None = None,
) -> Prepared:
    """Split and encode the rows of a table.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    table : Table
        The rows to split.
    validation, test : Table, optional
        Rows of these parts, in place of a fraction.
    weights : Tensor, optional
        (rows,) weight of each row of ``table`` in the loss, and in the metrics that choose the best epoch.
    rows : Parts, optional
        Rows of the parts, in place of a random split; a row may be in several.
    encoder : Encoder, optional
        One that has learned from other rows, in place of a new one.
    task : SequenceTask, optional
        One that has learned from other rows, in place of a new one.

    Raises
    ------
    DataError
        If columns are missing or unusable, or there are too few rows.
    """
    recipe = with_columns(recipe, table, *(part for part in (validation, test) if part is not None))
    require_used_options(recipe)
    options = input_options(recipe)
    kind = TASKS[recipe.task]
    if not issubclass(kind, SequenceTask):
        raise ShapeError(f"task {recipe.task!r} reads texts or frames, not tables")
    usable = usable_rows(recipe, options, table)
    table, weights = usable.table, None if weights is None else weights[torch.from_numpy(usable.kept)]
    others = [None if part is None else usable_rows(recipe, options, part) for part in (validation, test)]
    validation, test = (None if part is None else part.table for part in others)
    left_out = [note for part in (usable, *others) if part is not None for note in part.notes]
    shares = (
        recipe.split.validation if validation is None else 0.0,
        recipe.split.test if test is None else 0.0,
    )
    table, weights, notes = _without_rare(recipe, kind, table, weights, shares)
    if task is not None:
        task = replace(task, **recipe.task_options)
    elif kind.learns_from_all_rows:  # before the split, to which identifiers are classes that are too rare
        task = learned_task(recipe, kind, table, table)
    parts = _split(recipe, kind, table, shares) if rows is None else rows
    tables = [
        table.select(parts.training),
        table.select(parts.validation) if validation is None else validation,
        table.select(parts.test) if test is None else test,
    ]
    task = learned_task(recipe, kind, tables[0], table) if task is None else task
    choices: list[str] = []
    if encoder is None:
        recipe, choices = with_tokenizer(recipe, task, tables[0])
        encoder = fitted_encoder(recipe, tables[0])
    names = _names_read(recipe)
    encoded = []
    for part in tables:
        # Targets that only serve to measure may be in the test part alone.
        there = kind.needs_targets or all(name in part.names for name in recipe.columns.target)
        targets = recipe.columns.target if there else ()
        encode = partial(encoder.examples, task=task, targets=targets)
        encoded.append(
            encoded_part(
                part.with_columns(tuple(dict.fromkeys((*names, *targets)))), encode, recipe.columns.text
            )
        )
    examples = [part.examples for part in encoded]
    if weights is not None:
        of_parts = [weights[torch.from_numpy(part)] for part in (parts.training, parts.validation)]
        examples[0] = _with_weights(examples[0], of_parts[0])
        examples[1] = _with_weights(examples[1], of_parts[1]) if validation is None else examples[1]
    row_weights, class_weights = examples[0].weights, _class_weights(recipe, task, examples[0])
    examples[0] = _weighed(examples[0], class_weights)
    for number in (0, 1):
        used = None if task.needs_targets else task.trained_on(examples[number].labels)
        if used is not None:
            tables[number] = tables[number].select(used.numpy())
            examples[number] = examples[number].subset(used)
            encoded[number] = encoded[number].only(used)
    vectors = _vectors(recipe, encoder.inputs)
    source = FixedSource(
        encoder.shape,
        examples[0],
        examples[1],
        examples[2] if len(examples[2]) else None,
        described(tables, examples, encoded, encoder.inputs.tokenizer_json),
    )
    return Prepared(
        source,
        task,
        recipe,
        encoder,
        encoder.inputs.tokenizer_json,
        parts,
        (*left_out, *notes, *overlaps(encoded)),
        vectors,
        tuple(tables),
        drew_validation=validation is None and recipe.split.time is None,
        vector_size=None if vectors is None else vectors.matrix.shape[1],
        row_weights=row_weights,
        class_weights=class_weights,
        choices=tuple(choices),
    )


def with_columns(recipe: Recipe, table: Table, *others: Table) -> Recipe:
    """Return the recipe with the columns of the table that it leaves open.

    Targets of a task that needs none for training may be in one of the other tables alone.

    Raises
    ------
    DataError
        If there is no column of the usual name.
    """
    columns = recipe.columns
    given = [name for name in _INPUT_COLUMNS if getattr(columns, name)]
    if len(given) > 1:
        raise DataError(
            f"{named(given[0])} and {named(given[1])} were both given; a model reads one of text, tokens and "
            f"series, and columns of numbers beside it with {named('numeric')}"
        )
    if not given:
        usual = [name for name in _INPUT_COLUMNS if name in table.names]
        if len(usual) != 1:
            raise DataError(
                f"{table.name}: name the column to read with {named('text')}, {named('tokens')} or "
                f"{named('series')}; its columns are {', '.join(table.names[:20])}"
            )
        columns = replace(columns, **{usual[0]: (usual[0],)})
    kind = TASKS[recipe.task]
    if not columns.target and issubclass(kind, SequenceTask) and kind.needs_targets:
        if _TARGET not in table.names:
            raise DataError(
                f"{table.name}: name the column to predict with {named('target')}; its columns are "
                f"{', '.join(table.names[:20])}"
            )
        columns = replace(columns, target=(_TARGET,))
    elif not columns.target and any(_TARGET in part.names for part in (table, *others)):
        columns = replace(columns, target=(_TARGET,))
    optional = issubclass(kind, SequenceTask) and not kind.needs_targets
    for name in columns.target:
        if not (optional and any(name in part.names for part in others)):
            table.column(name)  # raises if it does not exist
    for name in (*columns.text, *columns.tokens, *columns.series, *columns.numeric):
        table.column(name)  # raises if it does not exist
    return replace(recipe, columns=columns)


def learned_task(recipe: Recipe, kind: type[SequenceTask], training: Table, table: Table) -> SequenceTask:
    """Return the task for the targets; names of classes come from all rows of the table."""
    rows = table if kind.learns_from_all_rows else training
    return replace(kind.learn(rows, tuple(recipe.columns.target)), **recipe.task_options)


def _names_read(recipe: Recipe) -> tuple[str, ...]:
    """Return the columns that sequences are encoded from."""
    columns = recipe.columns
    groups = (columns.text, columns.tokens, columns.series, columns.numeric)
    return tuple(dict.fromkeys(chain.from_iterable(groups)))


def _without_rare(
    recipe: Recipe,
    kind: type[SequenceTask],
    table: Table,
    weights: Tensor | None,
    shares: tuple[float, float],
) -> tuple[Table, Tensor | None, tuple[str, ...]]:
    if (
        recipe.files.rare_classes == "refuse"
        or not kind.has_classes
        or recipe.split.group
        or recipe.split.time
    ):
        return table, weights, ()
    labels = label_texts(table, recipe.columns.target[0])
    rare = rare_rows(labels, *shares)
    if not len(rare):
        return table, weights, ()
    kept = np.setdiff1d(np.arange(len(table)), rare)
    if not len(kept):
        class_names(table, recipe.columns.target[0])  # raises if the labels are identifiers
        raise DataError(
            f"{table.name}: each of the {len(set(labels))} classes has too few rows for every part; give "
            "more rows"
        )
    note = rare_note([labels[row] for row in rare])
    return table.select(kept), None if weights is None else weights[torch.from_numpy(kept)], (note,)


def _split(recipe: Recipe, kind: type[SequenceTask], table: Table, shares: tuple[float, float]) -> Parts:
    split = recipe.split
    classes = label_texts(table, recipe.columns.target[0]) if kind.has_classes else None
    return split_rows(
        table, *shares, recipe.optimizer.seed, classes=classes, group=split.group, time=split.time
    )


def _with_weights(examples: AnyExamples, weights: Tensor) -> AnyExamples:
    """Return examples with the weights of their rows, of which they may be windows."""
    return replace(examples, weights=weights if examples.rows is None else weights[examples.rows])


def _class_weights(recipe: Recipe, task: SequenceTask, examples: AnyExamples) -> Tensor | None:
    """Return the weight of each class in the loss, (C,); None if they are equal."""
    if recipe.batches.class_weight != "balanced":
        return None
    if not task.has_classes or not isinstance(examples.targets, Tensor):
        raise ShapeError(f"class_weight 'balanced' needs classes, but the task is {task.name}; leave it out")
    classes = task.outputs or 0
    counts = torch.bincount(examples.targets, minlength=classes).clamp(min=1)
    return (len(examples) / (classes * counts.double())).float()


def _weighed(examples: AnyExamples, class_weights: Tensor | None) -> AnyExamples:
    if class_weights is None:
        return examples
    return replace(examples, weights=in_training(examples.targets, examples.weights, class_weights))


def in_training(targets: Any, weights: Tensor | None, class_weights: Tensor | None) -> Tensor | None:
    """Return the weights of examples in the loss: their own, times those of their classes."""
    if class_weights is None:
        return weights
    return class_weights[targets] if weights is None else weights * class_weights[targets]


@dataclass(frozen=True)
class _Vectors:
    """Pretrained vectors of tokens, (V, D), and which tokens have one; called with a model, it sets them."""

    matrix: Tensor
    known: Tensor
    freeze: bool

    def __call__(self, model: nn.Module) -> None:
        embedding = next((m for m in model.modules() if isinstance(m, nn.Embedding)), None)
        if embedding is None:
            raise ShapeError("pretrained vectors need a model with an embedding; choose another model")
        if embedding.weight.shape != self.matrix.shape:
            size = self.matrix.shape[1]
            raise ShapeError(
                f"the vectors have {size} features, but the embedding {embedding.weight.shape[1]}; give "
                f"{named('embedding_size', size)}"
            )
        with torch.no_grad():
            embedding.weight[self.known] = self.matrix[self.known]
        embedding.weight.requires_grad_(not self.freeze)


def _vectors(recipe: Recipe, inputs: Inputs) -> _Vectors | None:
    """Return the pretrained vectors of the tokens, if a file of them is given."""
    if recipe.inputs.vectors is None:
        return None
    vectors = read_vectors(Path(recipe.inputs.vectors), inputs.token_names)
    matrix, known = torch.from_numpy(vectors.matrix), torch.from_numpy(vectors.known)
    return _Vectors(matrix, known, recipe.inputs.freeze_vectors)
