"""Folds of the rows for training and validation."""

import numpy as np
import torch

from throughtime.learn import Prepared, Recipe, prepare
from throughtime.learn.auto.pool import may_fold, pool_of
from throughtime.learn.split import Parts

ROWS = {
    "text": [f"word{i % 7} other{i % 5} third" for i in range(60)],
    "label": ["a" if i % 3 else "b" for i in range(60)],
    "user": [f"u{i // 4}" for i in range(60)],
    "day": list(range(60)),
}


def _prepared(**options: object) -> Prepared:
    return prepare(Recipe.of("classification", text=["text"], **options), ROWS)


def test_every_row_is_held_out_by_one_fold_and_trained_on_by_the_others() -> None:
    pool = pool_of(_prepared(), 5)
    held_out = torch.cat([fold.held_out for fold in pool.folds])
    assert sorted(held_out.tolist()) == list(range(len(pool.examples)))
    for fold in pool.folds:
        assert sorted([*fold.training.tolist(), *fold.held_out.tolist()]) == list(range(len(pool.examples)))


def test_classes_are_spread_evenly_over_folds() -> None:
    pool = pool_of(_prepared(), 5)
    counts = [torch.bincount(pool.examples.labels[fold.held_out], minlength=2) for fold in pool.folds]
    for column in torch.stack(counts).T:
        assert column.max() - column.min() <= 1


def test_rows_of_a_group_are_in_one_fold() -> None:
    prepared = _prepared(group="user")
    pool = pool_of(prepared, 3)
    users = np.concatenate([np.array(table.column("user").to_pylist()) for table in prepared.tables[:2]])
    of_folds = [set(users[fold.held_out.numpy()]) for fold in pool.folds]
    assert sum(map(len, of_folds)) == len(set().union(*of_folds))


def test_one_fold_has_the_parts_as_they_are() -> None:
    prepared = _prepared()
    pool = pool_of(prepared, 1)
    (fold,) = pool.folds
    training, validation = prepared.source.training(0), prepared.source.validation
    assert torch.equal(pool.examples.inputs[fold.training].values, training.inputs.values)
    assert torch.equal(pool.examples.inputs[fold.held_out].values, validation.inputs.values)
    assert torch.equal(pool.validation, fold.held_out)


def test_later_given_and_repeated_validation_rows_are_not_trained_on() -> None:
    assert may_fold(_prepared())
    assert not may_fold(_prepared(time="day"))
    recipe = Recipe.of("classification", text=["text"])
    assert not may_fold(prepare(recipe, ROWS, validation_data=ROWS))
    every = np.arange(60)
    assert not may_fold(prepare(recipe, ROWS, rows=Parts(every, every, every[:0])))


def test_weights_of_classes_count_in_training_alone() -> None:
    prepared = _prepared(class_weight="balanced")
    pool = pool_of(prepared, 4)
    fold = pool.folds[0]
    weights, labels = pool.training(fold.training).weights, pool.examples.labels[fold.training]
    assert weights is not None
    shares = [float(weights[labels == label].sum()) for label in (0, 1)]
    assert abs(shares[0] - shares[1]) < 0.1 * sum(shares)
    assert pool.examples.select(fold.held_out).weights is None
