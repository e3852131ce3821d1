"""`Pool`: the rows of training and validation together, and their folds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from throughtime.data.examples import Examples
from throughtime.learn.auto.candidates import Sizes
from throughtime.learn.folds import splitter
from throughtime.learn.groups import group_numbers
from throughtime.learn.prepared import Prepared, in_training


@dataclass(frozen=True)
class Fold:
    """The numbers of examples that a copy of a model is trained on, and of those held out, ascending."""

    training: Tensor
    held_out: Tensor


@dataclass(frozen=True)
class Pool:
    """Examples, and the folds that models are trained on.

    Parameters
    ----------
    examples : Examples
        Those of the training part, then those of the validation part, with their weights in validation.
    validation : Tensor
        Numbers of the examples of the validation part.
    folds : sequence of Fold
        Of a single fold, the two parts.
    class_weights : Tensor or None
        (C,): by which weights of examples are multiplied in training.
    """

    examples: Examples
    validation: Tensor
    folds: Sequence[Fold]
    class_weights: Tensor | None = None

    def training(self, rows: Tensor) -> Examples:
        """Return the examples of these numbers with their weights in training."""
        chosen = self.examples.select(rows)
        return replace(chosen, weights=in_training(chosen.targets, chosen.weights, self.class_weights))

    @property
    def held_out(self) -> Tensor:
        """Numbers of all examples that some fold holds out, ascending."""
        return torch.cat([fold.held_out for fold in self.folds]).sort().values


def is_in_memory(prepared: Prepared) -> bool:
    """Return whether the examples are in memory, each of a row of its own."""
    parts = (prepared.source.training(0), prepared.source.validation)
    return all(isinstance(part, Examples) and part.rows is None for part in parts)


def sizes_of(prepared: Prepared) -> Sizes:
    """Return the sizes of the training and validation examples."""
    parts = (prepared.source.training(0), prepared.source.validation)
    lengths = torch.cat([part.lengths for part in parts])
    return Sizes(
        rows=len(lengths),
        steps=max(1, int(lengths.sum())),
        outputs=prepared.task.outputs or 1,
        longest=int(lengths.max()) if len(lengths) else 0,
        channels=prepared.source.shape.get("channels"),
    )


def may_fold(prepared: Prepared) -> bool:
    """Return whether validation rows may be trained on: not where they are later, given, or the same."""
    rows = prepared.rows
    if rows is None or not prepared.drew_validation or not is_in_memory(prepared):
        return False
    return not np.intersect1d(rows.training, rows.validation).size


def pool_of(prepared: Prepared, folds: int) -> Pool:
    """Return the pool of prepared data; with one fold, its training and validation parts as they are.

    Several folds are drawn by class, and with groups all rows of a group are in the same fold.
    """
    training, validation = prepared.source.training(0), prepared.source.validation
    count, every = len(training), len(training) + len(validation)
    numbers = torch.arange(every)
    # Weights of classes are those of training alone.
    training = replace(training, weights=prepared.row_weights)
    if (training.weights is None) != (validation.weights is None):
        training, validation = (_with_weights(part) for part in (training, validation))
    examples = Examples.cat([training, validation])
    parts = [Fold(numbers[:count], numbers[count:])]
    if folds > 1:
        held_out = _fold_numbers(prepared, examples, folds)
        parts = [
            Fold(numbers[torch.from_numpy(held_out != k)], numbers[torch.from_numpy(held_out == k)])
            for k in range(folds)
        ]
    return Pool(examples, numbers[count:], parts, prepared.class_weights)


def _with_weights(examples: Examples) -> Examples:
    return replace(examples, weights=torch.ones(len(examples))) if examples.weights is None else examples


def _fold_numbers(prepared: Prepared, examples: Examples, folds: int) -> Any:
    """Return the number of the fold that holds out each example."""
    seed, group = prepared.recipe.optimizer.seed, prepared.recipe.split.group
    has_classes = getattr(prepared.task, "has_classes", False)
    labels = examples.labels.numpy() if has_classes else np.zeros(len(examples), dtype=np.int64)
    if group is None:
        return _dealt(labels, folds, seed)
    groups = group_numbers(prepared.tables[:2], group)
    divided = splitter(folds, seed, labels if has_classes else None, groups)
    numbers = np.zeros(len(examples), dtype=np.int64)
    for k, (_, held_out) in enumerate(divided.split(np.zeros(len(labels)), labels, groups)):
        numbers[held_out] = k
    return numbers


def _dealt(labels: Any, folds: int, seed: int) -> Any:
    """Return folds by dealing out shuffled rows, class by class, so that sizes and classes are even."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    numbers = np.empty(len(labels), dtype=np.int64)
    numbers[order] = np.arange(len(labels)) % folds
    return numbers
