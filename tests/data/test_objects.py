"""`as_table`: Python objects give the rows that they hold, and errors name the item."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from throughtime.data.objects import as_table
from throughtime.errors import DataError, InputTypeError, ThroughtimeError
from throughtime.ragged import Ragged


class Stream:
    """Only the Arrow PyCapsule protocol, as polars has it."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._content.__arrow_c_stream__(requested_schema)


class Array:
    """Only the Arrow protocol of one array."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self._content.__arrow_c_array__(requested_schema)


class Interchange:
    """Only the dataframe interchange protocol, as older pandas has it."""

    def __init__(self, content: pa.Table) -> None:
        self._content = content

    def __dataframe__(self, *arguments: Any, **options: Any) -> object:
        return self._content.__dataframe__(*arguments, **options)


class Lazy:
    """Converts to NumPy when asked, as JAX and xarray do."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._content, dtype)


class MixedFrame:
    """A frame of pandas of which Arrow cannot convert one column."""

    columns = ("text", "mixed")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise pa.ArrowTypeError("Expected bytes, got a 'int' object", "Conversion failed for column mixed")

    def __getitem__(self, column: str) -> list[Any]:
        columns: dict[str, list[Any]] = {"text": ["a", "b"], "mixed": ["x", 1]}
        return columns[column]


class HuggingFace:
    """The part of a Hugging Face data set that is used."""

    column_names = ("text", "label")

    def with_format(self, name: str) -> dict[Any, pa.Table]:
        assert name == "arrow"
        return _Rows()


class _Rows(dict[Any, pa.Table]):
    def __getitem__(self, rows: Any) -> pa.Table:
        assert rows == slice(None)
        return FRAME


FRAME = pa.table({"text": ["a", "b"], "label": pa.array(["x", "y"]).dictionary_encode()})
CUBE = np.arange(12.0).reshape(2, 2, 3)
STEPS = CUBE.transpose(0, 2, 1).tolist()
TEXTS, TOKENS = {"text": ["a", "b"]}, {"tokens": [["a", "b"], []]}
NUMBERS = {"series": [[1.0, 2.0], [3.0]]}

GOOD: dict[str, tuple[Callable[[], Any], dict[str, list[Any]]]] = {
    "texts": (lambda: ["a", "b"], TEXTS),
    "tuple": (lambda: ("a", "b"), TEXTS),
    "generator": (lambda: iter(["a", "b"]), TEXTS),
    "array of texts": (lambda: np.array(["a", "b"]), TEXTS),
    "array of objects": (lambda: np.array(["a", "b"], object), TEXTS),
    "missing text": (lambda: ["a", None], {"text": ["a", None]}),
    "tokens": (lambda: [["a", "b"], []], TOKENS),
    "tuples of tokens": (lambda: [("a", "b"), ()], TOKENS),
    "array of lists": (lambda: np.array([["a", "b"], []], object), TOKENS),
    "arrays of tokens": (lambda: [np.array(["a", "b"]), []], TOKENS),
    "event numbers": (lambda: [[3, 1], [2]], {"tokens": [[3, 1], [2]]}),
    "lists of numbers": (lambda: [[1.0, 2], [3]], NUMBERS),
    "lists with a gap": (lambda: [[1.0, None], [3]], {"series": [[1.0, None], [3.0]]}),
    "arrays": (lambda: [np.array([1.0, 2.0]), np.array([3.0])], NUMBERS),
    "arrays of integers": (lambda: [np.array([1, 2]), np.array([3])], {"series": [[1, 2], [3]]}),
    "tensors": (lambda: [torch.tensor([1.0, 2.0]), torch.tensor([3.0], dtype=torch.bfloat16)], NUMBERS),
    "lazy arrays": (lambda: [Lazy([1.0, 2.0]), Lazy([3.0])], NUMBERS),
    "array": (lambda: CUBE[:, 0], {"series": CUBE[:, 0].tolist()}),
    "array of channels": (lambda: CUBE, {"series": STEPS}),
    "array of one channel": (lambda: CUBE[:, :1], {"series": CUBE[:, 0].tolist()}),
    "tensor": (lambda: torch.from_numpy(CUBE).requires_grad_(), {"series": STEPS}),
    "lists of an array": (CUBE.tolist, {"series": STEPS}),
    "list of channels": (lambda: [CUBE[0], CUBE[1, :, :2]], {"series": [STEPS[0], STEPS[1][:2]]}),
    "booleans": (lambda: np.array([[True, False]]), {"series": [[1, 0]]}),
    "float16, other order": (lambda: CUBE[:, 0].astype(">f2"), {"series": CUBE[:, 0].tolist()}),
    "ragged": (lambda: Ragged.from_list([torch.tensor([1.0, 2.0]), torch.tensor([3.0])]), NUMBERS),
    "ragged of channels": (lambda: Ragged.from_list(list(torch.tensor(STEPS))), {"series": STEPS}),
    "ragged of tokens": (lambda: Ragged.from_lengths(torch.tensor([3, 1, 2]), [2, 1]), {"tokens": [[3, 1], [2]]}),
    "columns": (
        lambda: {"text": ("a", "b"), "x": CUBE, "n": np.array([1, 2], ">i4"), "t": torch.ones(2)},
        {**TEXTS, "x": STEPS, "n": [1, 2], "t": [1.0, 1.0]},
    ),
    "columns of series": (lambda: {"x": [[1.0, 2.0], [3.0]], 7: pa.array([1, 2])}, {"x": [[1.0, 2.0], [3.0]], "7": [1, 2]}),
    "dates": (lambda: {"d": np.array(["2020-01-01"], "M8[D]")}, {"d": [dt.date(2020, 1, 1)]}),
    "dicts": (lambda: [{"text": "a"}, {"text": "b", "n": 1}], {**TEXTS, "n": [None, 1]}),
    "dicts of arrays": (lambda: [{"x": CUBE[0]}, {"x": CUBE[1]}], {"x": STEPS}),
    "pyarrow table": (lambda: FRAME, {**TEXTS, "label": ["x", "y"]}),
    "pyarrow batch": (lambda: FRAME.to_batches()[0], {**TEXTS, "label": ["x", "y"]}),
    "pyarrow array": (lambda: pa.array(["a", "b"]).dictionary_encode(), TEXTS),
    "stream": (lambda: Stream(FRAME), {**TEXTS, "label": ["x", "y"]}),
    "stream of views": (lambda: Stream(pa.table({"text": pa.array(["a", "b"], pa.string_view())})), TEXTS),
    "stream of a column": (lambda: Stream(pa.chunked_array([["a"], ["b"]])), TEXTS),
    "stream of lists": (lambda: Stream(pa.chunked_array([[[1.0, 2.0]], [[3.0]]])), NUMBERS),
    "stream as a column": (lambda: {"c": Stream(FRAME.column("label"))}, {"c": ["x", "y"]}),
    "categories of views": (
        lambda: Stream(pa.table({"c": pa.DictionaryArray.from_arrays([0, 1, 0], pa.array(["a", "b"], pa.string_view()))})),
        {"c": ["a", "b", "a"]},
    ),
    "index of pandas": (lambda: Stream(pa.table({"text": ["a", "b"], "__index_level_0__": [5, 3]})), TEXTS),
    "array protocol": (lambda: Array(FRAME.to_batches()[0]), {**TEXTS, "label": ["x", "y"]}),
    "array protocol of lists": (lambda: Array(pa.array([[1.0, 2.0], [3.0]])), NUMBERS),
    "interchange": (lambda: Interchange(FRAME.select(["text"])), TEXTS),
    "Hugging Face": (HuggingFace, {**TEXTS, "label": ["x", "y"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_objects_give_their_rows(name: str) -> None:
    make, expected = GOOD[name]
    table = as_table(make(), "X")
    assert table.content.to_pydict() == expected
    assert table.place(0) == "X: item 0"
    assert as_table(table) is table
    assert table.select(np.array([len(table) - 1])).place(0) == f"X: item {len(table) - 1}"


ACCEPTED = (
    "; expected a list of texts, of lists of tokens or of arrays, an array (n, T) or (n, C, T), a dict of columns, "
    "a list of dicts, or a data frame"
)
BAD: dict[str, tuple[Callable[[], Any], type[ThroughtimeError], str]] = {
    "one text": (lambda: "to be", InputTypeError, f"X is a str{ACCEPTED}"),
    "bytes": (lambda: b"to be", InputTypeError, f"X is a bytes{ACCEPTED}"),
    "None": (lambda: None, InputTypeError, f"X is a NoneType{ACCEPTED}"),
    "numbers": (lambda: [1, 2], InputTypeError, f"X has items of type int64{ACCEPTED}"),
    "list of bytes": (lambda: [b"a"], InputTypeError, f"X has items of type binary{ACCEPTED}"),
    "stream of numbers": (lambda: Stream(pa.chunked_array([[1]])), InputTypeError, f"X has items of type int64{ACCEPTED}"),
    "nothing": (list, DataError, "X has no rows; give at least one"),
    "no columns": (dict, DataError, "X has no rows; give at least one"),
    "no series": (lambda: np.zeros((0, 3)), DataError, "X has no rows; give at least one"),
    "kinds": (lambda: ["a", 3], DataError, "X: item 1 has a number (3) in column 'text', but X: item 0 has text; give one kind"),
    "text among tokens": (
        lambda: [["a"], "b"],
        DataError,
        "X: item 1 has text ('b') in column 'tokens', but X: item 0 has a list of texts; give one kind",
    ),
    "kinds of tokens": (lambda: [["a", 1]], DataError, "X: item 0 has a list of numbers and texts in column 'tokens'; give one kind"),
    "text among arrays": (lambda: [np.zeros(2), "b"], DataError, "X: item 1 is a str, but others are arrays; give one kind"),
    "missing array": (lambda: [np.zeros(2), None], DataError, "X: item 1 is a NoneType, but others are arrays; give one kind"),
    "channels": (
        lambda: [np.zeros((2, 3)), np.zeros((3, 3))],
        DataError,
        ("X: item 1 has the shape (3, 3), which is 3 channels, but X: item 0 has the shape (2, 3), which is 2 channels; "
        "give all series the same channels, as arrays (C, T)"),
    ),
    "one channel among two": (
        lambda: [np.zeros((2, 3)), np.zeros(3)],
        DataError,
        ("X: item 1 has the shape (3,), which is one channel, but X: item 0 has the shape (2, 3), which is 2 channels; "
        "give all series the same channels, as arrays (C, T)"),
    ),
    "unequal channels": (
        lambda: [[[1.0, 2.0], [3.0]]],
        DataError,
        "X: item 0 has channels of 1, 2 steps; give all channels of a series the same length",
    ),
    "1-D": (
        lambda: np.zeros(3),
        DataError,
        "X has the shape (3,), expected (n, T) for n series of T steps, or (n, C, T) for C channels; reshape it",
    ),
    "4-D": (
        lambda: [np.zeros((2, 3, 4))],
        DataError,
        "X: item 0 has the shape (2, 3, 4), expected (T,) for T steps, or (C, T) for C channels; reshape it",
    ),
    "complex": (lambda: np.zeros((1, 1), complex), DataError, "X has the dtype complex128, expected real numbers; convert it"),
    "strings among arrays": (
        lambda: [np.zeros(1), np.array(["a"])],
        DataError,
        "X: item 1 has the dtype <U1, expected real numbers; convert it",
    ),
    "lengths of columns": (
        lambda: {"a": [1, 2], "b": [1]},
        DataError,
        "X: column 'b' has 1 row, but 'a' has 2; give all columns the same number",
    ),
    "complex column": (
        lambda: {"a": np.zeros(1, complex)},
        DataError,
        "X: column 'a' (complex128) cannot be stored: Unsupported numpy type 15; convert it",
    ),
    "scalar column": (lambda: {"a": 7}, InputTypeError, f"X: column 'a' is a int{ACCEPTED}"),
    "tables in a dict": (
        lambda: {"train": FRAME},
        DataError,
        "X: column 'train' is a table, expected a column; give one table, not a dict of them",
    ),
    "a column of two kinds": (
        MixedFrame,
        DataError,
        "X: item 1 has a number (1) in column 'mixed', but X: item 0 has text; give one kind",
    ),
    "integer": (
        lambda: {"a": [2**64]},
        DataError,
        "X: item 0 has an integer of 65 bits in column 'a', expected 64 at most; write it as text, or with a decimal point",
    ),
    "surrogate": (
        lambda: ["a", "b\ud800"],
        DataError,
        "X: item 1, column 'text', contains an unpaired surrogate (\\ud800); write the whole character or remove it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_named(name: str) -> None:
    make, error, message = BAD[name]
    with pytest.raises(error) as caught:
        as_table(make(), "X")
    assert str(caught.value) == message


@given(
    st.integers(1, 3).flatmap(
        lambda channels: st.lists(
            st.integers(0, 5).flatmap(
                lambda steps: hnp.arrays(
                    np.float32, (channels, steps), elements=st.floats(width=32, allow_nan=False)
                )
            ),
            min_size=1,
            max_size=6,
        )
    )
)
def test_a_series_becomes_a_batch_with_time_first(parts: list[Any]) -> None:
    column = as_table(parts).column("series")
    batch = Ragged.from_arrow(column)
    values = np.concatenate([part.T for part in parts])
    np.testing.assert_array_equal(batch.values.numpy().reshape(values.shape), values)
    assert batch.lengths.tolist() == [part.shape[1] for part in parts]


def test_an_array_is_not_copied() -> None:
    values = np.arange(6.0).reshape(3, 2)
    column = as_table(values).column("series")
    values[2, 1] = 9.0
    assert column.to_pylist()[2] == [4.0, 9.0]
    assert Ragged.from_arrow(column.chunk(0)).values.data_ptr() == values.ctypes.data
