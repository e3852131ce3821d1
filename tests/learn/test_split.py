"""Rows are split by class, group or time; folds hold every row once."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughtime._words import counted
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError
from throughtime.learn import Recipe
from throughtime.learn.folds import fold_parts, without_rare_classes
from throughtime.learn.split import rare_rows, split_rows


def table(**columns):
    return Table(pa.table(columns), "rows.csv")


def numbered(count):
    return table(x=list(range(count)))


def whole(parts, count):
    return sorted(np.concatenate(parts).tolist()) == list(range(count))


@given(st.lists(st.sampled_from("abc"), min_size=12, max_size=60), st.integers(0, 5))
def test_every_class_is_in_every_part(labels, seed):
    labels = [*"aaabbbccc", *labels]
    parts = split_rows(numbered(len(labels)), 0.2, 0.3, seed, classes=labels)
    assert whole(parts, len(labels))
    for part in parts:
        assert {labels[row] for row in part} == set("abc")
    for name in "abc":
        count = labels.count(name)
        sizes = [sum(labels[row] == name for row in part) for part in parts]
        assert abs(sizes[2] - 0.3 * count) <= 1
        assert abs(sizes[1] - 0.2 * count) <= 1


def test_a_split_is_a_function_of_the_seed():
    first, again, other = (split_rows(numbered(50), 0.2, 0.2, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.test, other.test)


@given(st.lists(st.integers(0, 6), min_size=20, max_size=60), st.integers(0, 3))
def test_groups_are_not_divided(groups, seed):
    groups = [0, 1, 2, *groups]
    rows = table(user=[f"u{group}" for group in groups])
    parts = split_rows(rows, 0.2, 0.2, seed, group="user")
    assert whole(parts, len(groups))
    sets = [{groups[row] for row in part} for part in parts]
    assert all(sets)
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]


def test_the_latest_rows_are_the_test_part():
    times = [5, 3, 9, 1, 7, 2, 8, 4, 6, 0]
    parts = split_rows(table(day=times), 0.2, 0.3, 0, time="day")
    assert [sorted(times[row] for row in part) for part in parts] == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"validation": 0.6, "test": 0.4}, "fractions of 0.6 and 0.4 leave no training data"),
        ({"group": "user"}, "rows.csv has 2 groups in column 'user', but each of 3 parts needs one"),
        ({"group": "gap"}, "rows.csv: row 2 has no group in column 'gap'"),
        ({"time": "gap"}, "rows.csv: row 2 has no time in column 'gap'"),
        ({"group": "user", "time": "gap"}, r"by group= \(--group\) or by time= \(--time\), not by both"),
        ({"classes": ["a", "a", "a", "b"]}, "class 'b' has 1 row .rows.csv: row 4.; it needs 3"),
    ],
)
def test_what_cannot_be_split(more, message):
    rows = table(user=["a", "a", "b", "b"], gap=[1, None, 2, 3])
    with pytest.raises(DataError, match=message):
        split_rows(rows, **{"validation": 0.25, "test": 0.25, "seed": 0, **more})


def test_times_as_texts_have_the_order_of_time() -> None:
    days = ["2024-02-01", "2023-12-31", "2024-01-10 08:30", "2024-01-11T09:30:00.5"]
    parts = split_rows(table(day=days), 0.25, 0.25, 0, time="day")
    assert [part.tolist() for part in parts] == [[1, 2], [3], [0]]
    with pytest.raises(DataError, match=r"rows.csv: row 2 has the time '9.1.2024' in column 'day'; write"):
        split_rows(table(day=["2024-01-10", "9.1.2024", "10.1.2024"]), 0.3, 0.3, 0, time="day")


def test_rare_classes_are_those_with_fewer_rows_than_parts():
    assert rare_rows(["a", "b", "a", "a", "b", "c"], 0.1, 0.1).tolist() == [1, 4, 5]
    assert rare_rows(["a", "b", "a", "a", "b", "c"], 0.1, 0.0).tolist() == [5]


def test_folds_hold_every_row_once():
    rows = table(text=["x"] * 30, label=["a", "b", "b"] * 10, user=[f"u{i // 3}" for i in range(30)])
    recipe = Recipe.of("classification", text=["text"], target=["label"], group="user")
    parts = list(fold_parts(recipe, rows, 5))
    assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(30))
    for part in parts:
        assert whole(part, 30)
        users = [{int(row) // 3 for row in rows_of} for rows_of in part]
        assert not users[0] & users[2] | users[1] & users[2] | users[0] & users[1]


@pytest.mark.parametrize(("folds", "rare"), [(2, 3), (3, 2), (5, 4)])
def test_folds_leave_out_rare_classes(folds: int, rare: int) -> None:
    rows = table(label=["a"] * 20 + ["b"] * (rare + 1) + ["c"] * rare)
    recipe = Recipe.of("classification", target=["label"], rare_classes="drop")
    common, notes = without_rare_classes(recipe, rows, folds)
    assert notes == (f"{counted(rare, 'row')} of 1 rare class left out: c",)
    assert common.column("label").to_pylist() == ["a"] * 20 + ["b"] * (rare + 1)
    assert len(list(fold_parts(recipe, common, folds))) == folds
    assert without_rare_classes(recipe.changed(rare_classes="refuse"), rows, folds) == (rows, ())


@pytest.mark.parametrize("rare_classes", ["refuse", "drop"])
def test_identifiers_are_named_before_they_are_split_into_folds(rare_classes: str) -> None:
    rows = table(label=[f"id {i}" for i in range(30)])
    recipe = Recipe.of("classification", target=["label"], rare_classes=rare_classes)
    with pytest.raises(DataError, match="the 30 rows have 30 different labels, as a column of identifiers"):
        list(fold_parts(recipe, without_rare_classes(recipe, rows, 5)[0], 5))


def test_classes_that_are_all_too_rare_for_folds_are_counted() -> None:
    recipe = Recipe.of("classification", target=["label"], rare_classes="drop")
    with pytest.raises(DataError, match="rows.csv: each of the 3 classes has too few rows for 5 folds"):
        without_rare_classes(recipe, table(label=["a", "b", "c"] * 4), 5)


def test_folds_take_the_place_of_a_split_by_time():
    rows = table(text=["x"] * 4, label=["a", "b"] * 2, day=[1, 2, 3, 4])
    with pytest.raises(ShapeError, match="folds take the place of time="):
        list(fold_parts(Recipe.of("classification", target=["label"], time="day"), rows, 2))
    with pytest.raises(DataError, match="rows.csv: 3 folds are too many"):
        list(fold_parts(Recipe.of("classification", target=["label"]), rows, 3))
