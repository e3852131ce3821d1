"""Labels as text, and columns of them that hold no classes."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from throughtime.data.table import Table
from throughtime.errors import DataError
from throughtime.tasks.labels import class_names, encode_classes, label_texts


def table(labels):
    return Table(pa.table({"c": labels}), "rows.csv")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "01", "null"], ["1", "01", "null"]),
        (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        ([1, -3], ["1", "-3"]),
        ([True, False], ["true", "false"]),
        (pa.array([0.5, 2.0], pa.float32()), ["0.5", "2.0"]),
        ([Decimal("1.0"), Decimal("2.5")], ["1.0", "2.5"]),
    ],
)
def test_texts_numbers_and_booleans_are_labels(values, expected):
    assert label_texts(table(values), "c") == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", " "], "rows.csv: row 2 has no label in column 'c'"),
        ([1, None], "rows.csv: row 2 has no label in column 'c'"),
        (pa.array([0.5, float("nan")]), "rows.csv: row 2 has no label in column 'c'"),
        ([["a"], ["b"]], "rows.csv: row 1 has a list in column 'c', expected a class"),
    ],
)
def test_rows_without_a_label_are_named(values, message):
    with pytest.raises(DataError, match=message):
        label_texts(table(values), "c")


@pytest.mark.parametrize(
    ("classes", "rows", "message"),
    [
        (1, 9, "all 9 rows have the label '0', but a classifier needs two classes"),
        (100_000, 100_000, "the 100,000 rows have 100,000 different labels, as a column of identifiers"),
        (100_000, 300_000, "the 300,000 rows have 100,000 different labels, but at most 10,000 classes"),
        (21, 41, "the 41 rows have 21 different labels, as a column of identifiers"),
    ],
)
def test_labels_that_are_no_classes_are_refused(classes, rows, message):
    with pytest.raises(DataError, match=message):
        class_names(table((np.arange(rows) % classes).astype(str)), "c")


def test_many_numbers_with_decimals_are_a_regression_target():
    tenths = np.arange(210) % 21 / 10
    with pytest.raises(DataError, match="21 different numbers with decimals.* use task='regression'"):
        class_names(table(tenths), "c")
    assert len(class_names(table(tenths[tenths < 2]), "c")) == 20
    assert len(class_names(table(np.round(10 * tenths)), "c")) == 21


def test_as_many_classes_as_there_may_be():
    assert len(class_names(table((np.arange(20_000) % 10_000).astype(str)), "c")) == 10_000
    assert class_names(table([str(i) for i in range(20)]), "c")[:3] == ("0", "1", "10")


def test_labels_differ_by_characters_that_arrays_of_text_drop():
    names = class_names(table(["a", "a\0"] * 2), "c")
    assert names == ("a", "a\0")
    assert encode_classes(table(["a\0", "a"]), "c", names).tolist() == [1, 0]


def test_labels_that_training_never_saw_are_named():
    message = "rows.csv: row 2 has the label 'c', which is not a class of the training data: a, b;"
    with pytest.raises(DataError, match=message):
        encode_classes(table(["a", "c"]), "c", ("a", "b"))
