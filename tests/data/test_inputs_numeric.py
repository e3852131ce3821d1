"""Numeric columns beside sequences: scikit-learn's scaler, missing values, refusals by name."""

import json
import math
import re

import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import StandardScaler

from throughtime.data.inputs import NumericColumns, NumericOptions
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError


def table(**columns):
    return Table(pa.table(columns), "shop.csv")


ROWS = table(age=[20, 30, 70], price=[1.5, None, 2.5], sold=[True, False, True], name=["a", "b", "c"])


def exactly(message):
    return f"^{re.escape(message)}$"


def again(columns):
    return NumericColumns.from_json(json.loads(json.dumps(columns.to_json())))


def test_columns_are_standardized_as_scikit_learn_does():
    columns = again(NumericOptions(columns=("age", "sold")).fit(ROWS))
    expected = StandardScaler().fit_transform([[20, 1], [30, 0], [70, 1]])
    np.testing.assert_allclose(columns.encode(ROWS).numpy(), expected, rtol=1e-6)
    assert columns.names == ("age", "sold")


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("mean", [[-1], [0], [1]]),
        ("zero", [[-1], [-4], [1]]),
        ("mask", [[-1, 0], [0, 1], [1, 0]]),
    ],
)
def test_missing_values_are_filled_in(missing, expected):
    columns = again(NumericOptions(columns=("price",), missing=missing).fit(ROWS))
    assert columns.encode(ROWS).tolist() == expected
    assert len(columns.names) == len(expected[0])


@pytest.mark.parametrize(
    ("rows", "column", "message"),
    [
        (
            ROWS,
            "price",
            (
                "shop.csv: row 2 has no value (null or NaN) in column 'price'; fill in missing values with missing= "
                "(--missing): zero, mean or mask"
            ),
        ),
        (
            ROWS,
            "name",
            "shop.csv: column 'name' holds texts, not numbers; use it with text='name' (--text name), or convert it to numbers",
        ),
        (
            table(x=[[1]]),
            "x",
            "shop.csv: column 'x' holds lists of numbers (int64), not numbers; convert it to numbers",
        ),
        (
            table(x=[1.0, -1e300]),
            "x",
            (
                "shop.csv: row 2 has -1e+300 in column 'x', which is out of the range of float32; correct it or use "
                "larger units"
            ),
        ),
        (ROWS, "cost", "shop.csv has no column 'cost'; its columns are 'age', 'price', 'sold', 'name'"),
    ],
)
def test_other_columns_are_refused(rows, column, message):
    with pytest.raises(DataError, match=exactly(message)):
        NumericOptions(columns=(column,)).fit(rows)


def test_a_column_without_values_is_refused():
    message = "shop.csv: column 'x' has no value in the rows for training; remove it"
    with pytest.raises(DataError, match=exactly(message)):
        NumericOptions(columns=("x",), missing="mean").fit(table(x=[math.nan, math.inf]))


def test_no_columns_are_refused():
    with pytest.raises(ShapeError, match="columns is empty"):
        NumericOptions(columns=())


def test_damaged_json_is_refused():
    content = NumericOptions(columns=("age",)).fit(ROWS).to_json()
    with pytest.raises(ValueError, match="there are 2 means for 1 columns"):
        NumericColumns.from_json({**content, "means": [1, 2], "scales": [1, 2]})
