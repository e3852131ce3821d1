"""Folds of cross-validation: by class, and with all rows of a group in the same fold."""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from throughtime._options import named
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError
from throughtime.learn.groups import group_numbers
from throughtime.learn.recipe import Recipe
from throughtime.learn.split import Parts, rare_note, split_rows
from throughtime.tasks import TASKS, SequenceTask
from throughtime.tasks.labels import class_names, label_texts


def fold_parts(recipe: Recipe, table: Table, folds: int) -> Iterator[Parts]:
    """Yield the parts of each fold: it is the test part, and a fraction of the other rows is for validation.

    Parameters
    ----------
    recipe : Recipe
        With the columns of the targets and, optionally, of groups.
    table : Table
        The rows.
    folds : int
        Number of folds.

    Raises
    ------
    DataError
        If there are fewer rows, groups, or rows of a class than folds.
    ShapeError
        If rows are split by time, or the task reads no tables.
    """
    kind, split, seed = TASKS[recipe.task], recipe.split, recipe.optimizer.seed
    if not issubclass(kind, SequenceTask):
        raise ShapeError(f"task {recipe.task!r} reads texts or frames, so it has no folds; leave out --folds")
    if split.time is not None or split.validation_file or split.test_file:
        instead = ", ".join(map(named, ("time", "validation_file", "test_file")))
        raise ShapeError(f"folds take the place of {instead}; leave these out")
    labels = None
    if kind.has_classes:
        class_names(table, recipe.columns.target[0])  # raises if the labels are identifiers
        labels = label_texts(table, recipe.columns.target[0])
    groups = None if split.group is None else group_numbers([table], split.group)
    try:
        for rest, test in splitter(folds, seed, labels, groups).split(np.zeros(len(table)), labels, groups):
            classes = None if labels is None else [labels[row] for row in rest]
            parts = split_rows(
                table.select(rest), split.validation, 0.0, seed, classes=classes, group=split.group
            )
            yield Parts(rest[parts.training], rest[parts.validation], np.sort(test))
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{table.name}: {folds} folds are too many ({error}); give fewer") from error


def without_rare_classes(recipe: Recipe, table: Table, folds: int) -> tuple[Table, tuple[str, ...]]:
    """Return the rows of classes that can be in every part of every fold, and a note on the others.

    All rows are returned unless the recipe has ``rare_classes="drop"``, or if groups are kept together.
    """
    kind = TASKS[recipe.task]
    has_classes = issubclass(kind, SequenceTask) and kind.has_classes
    if recipe.files.rare_classes == "refuse" or not has_classes or recipe.split.group:
        return table, ()
    labels = np.array(label_texts(table, recipe.columns.target[0]))
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Of three rows in two folds, two may be in the test part, and one is too few for two other parts.
    rare = counts[numbers] < (folds if folds > 2 else 4)
    if not rare.any():
        return table, ()
    if rare.all():
        class_names(table, recipe.columns.target[0])  # raises if the labels are identifiers
        raise DataError(
            f"{table.name}: each of the {len(counts)} classes has too few rows for {folds} folds; give more "
            "rows or fewer folds"
        )
    return table.select(np.flatnonzero(~rare)), (rare_note(labels[rare].tolist()),)


def splitter(
    folds: int, seed: int, labels: object, groups: object
) -> KFold | GroupKFold | StratifiedKFold | StratifiedGroupKFold:
    """Return what divides rows into folds: by class if there are labels, with groups kept together."""
    how = {"n_splits": folds, "shuffle": True, "random_state": seed}
    if groups is None:
        return KFold(**how) if labels is None else StratifiedKFold(**how)
    return GroupKFold(**how) if labels is None else StratifiedGroupKFold(**how)
