"""Inputs of series: values equal to a plain reference for each series, refusals that name row and step."""

import json
import math
import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from throughtime.data import table as tables
from throughtime.data.inputs import InputShape, SeriesOptions, read_inputs
from throughtime.data.inputs.scaling import mean_and_scale_of_parts
from throughtime.data.table import Table
from throughtime.errors import DataError, ShapeError

NAN, INF = math.nan, math.inf
POLICIES = ("interpolate", "forward", "zero", "mean", "mask")


def table(kind=None, **columns):
    return Table(pa.table({name: pa.array(values, kind) for name, values in columns.items()}), "a.json")


def options(*columns, **entries):
    return SeriesOptions(columns=columns or ("x",), **{"blank": "empty", **entries})


def exactly(message):
    return f"^{re.escape(message)}$"


def encoded(rows, chosen, training=None):
    return [row.numpy() for row in chosen.fit(training or rows).encode(rows).to_list()]


# ------------------------------------------------------------------ reference


def filled_channel(values, policy, mean):
    """Fill in one channel of one series, step by step."""
    observed = [step for step, value in enumerate(values) if math.isfinite(value)]
    filled = []
    for step, value in enumerate(values):
        before = [at for at in observed if at < step]
        [at for at in observed if at > step]
        if math.isfinite(value):
            filled.append(value)
        elif policy == "zero":
            filled.append(0.0)
        elif policy in {"mean", "mask"} or not observed or (policy == "forward" and not before):
            filled.append(mean)
        elif policy == "forward":
            filled.append(values[before[-1]])
        else:
            filled.append(np.interp(step, observed, [values[at] for at in observed]))
    return filled


def reference(series, policy, scale):
    """Return each series (T, C) filled in and scaled; mean and deviation over all of them."""
    steps = np.concatenate(series)
    observed = [column[np.isfinite(column)] for column in steps.T]
    means = np.array([column.mean() for column in observed])
    scales = np.array([column.std() if np.ptp(column) else 1.0 for column in observed])
    results = []
    for values in series:
        filled = np.array(
            [filled_channel(column, policy, mean) for column, mean in zip(values.T, means, strict=True)]
        ).T.reshape(values.shape)
        if scale == "standard":
            filled = (filled - means) / scales
        elif scale == "series" and len(filled):
            deviation = filled.std(axis=0)
            deviation[np.ptp(filled, axis=0) == 0] = 1.0
            filled = (filled - filled.mean(axis=0)) / deviation
        mask = ~np.isfinite(values)
        results.append(np.concatenate((filled, mask), axis=1) if policy == "mask" else filled)
    return results


NUMBERS = st.integers(-8, 8).map(float) | st.sampled_from([NAN, NAN, INF, -INF])


@st.composite
def many_series(draw):
    channels = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    series = [
        np.array(draw(st.lists(NUMBERS, min_size=n * channels, max_size=n * channels))).reshape(n, channels)
        for n in lengths
    ]
    return [*series, np.array([[1.0] * channels, [-4.0] * channels])]  # every channel has a value


@settings(max_examples=200)
@given(many_series(), st.sampled_from(POLICIES), st.sampled_from(["standard", "series", "none"]))
def test_missing_values_and_scales_against_a_plain_reference(series, policy, scale):
    rows = table(pa.list_(pa.list_(pa.float64())), x=[values.tolist() for values in series])
    inputs = options(missing=policy, scale=scale).fit(rows)
    restored = read_inputs(json.loads(json.dumps(inputs.to_json())), inputs.tokenizer_json)
    assert restored == inputs
    expected = reference(series, policy, scale)
    channels = series[0].shape[1] * (2 if policy == "mask" else 1)
    assert inputs.shape == InputShape(channels=channels)
    assert inputs.token_names == ()
    for got, wanted in zip(restored.encode(rows).to_list(), expected, strict=True):
        assert got.dtype.is_floating_point
        assert got.shape == (len(wanted), channels)
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_standard_is_the_standard_scaler_of_scikit_learn():
    random = np.random.default_rng(0)
    training, later = random.normal(5, 3, (40, 7)), random.normal(5, 3, (9, 7))
    training[:, 2] = later[:, 2] = 0.1  # constant
    scaler = StandardScaler().fit(training)
    rows = [table(pa.list_(pa.list_(pa.float64())), x=[part.tolist()]) for part in (training, later)]
    (got,) = encoded(rows[1], options(), rows[0])
    np.testing.assert_allclose(got, scaler.transform(later), rtol=1e-5, atol=1e-6)


def test_mean_and_scale_do_not_depend_on_parts() -> None:
    random = np.random.default_rng(0)
    lengths = np.array([3, 0, 5000, 1, 40, 0, 7])
    values = random.normal(1e3, 1, (int(lengths.sum()), 2))
    values[random.random(values.shape) < 0.1] = np.nan
    ends = np.cumsum(lengths)
    whole = mean_and_scale_of_parts(lambda: [(values, lengths)])
    for bounds in ([0, 7], [0, 1, 2, 3, 4, 5, 6, 7], [0, 2, 5, 7]):
        parts = [(values[(ends - lengths)[a] : ends[b - 1]], lengths[a:b]) for a, b in pairwise(bounds)]
        for part, expected in zip(mean_and_scale_of_parts(lambda: parts), whole, strict=True):  # noqa: B023
            assert (part == expected).all()
    np.testing.assert_allclose(whole, (np.nanmean(values, 0), np.nanstd(values, 0)), rtol=1e-12)


def test_channels_that_differ_between_chunks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 2)
    rows = Table(pa.table({"x": [[[1.0, 2.0]], [[1.0, 3.0]], [], [[5.0]]]}), "a.json")
    with pytest.raises(DataError, match="^a.json: row 4 has 1 channel, but the first series has 2; "):
        SeriesOptions(columns=("x",), blank="empty").fit(rows)


@pytest.mark.parametrize("scale", ["standard", "series"])
def test_a_constant_channel_becomes_zero(scale):
    rows = table(x=[[0.1] * 7, [0.1] * 30])
    for values in encoded(rows, options(scale=scale)):
        assert (np.abs(values) < 1e-7).all()


@settings(max_examples=100)
@given(many_series())
def test_padding_is_dropped_and_other_missing_values_are_refused(series):
    rows = table(pa.list_(pa.list_(pa.float64())), x=[values.tolist() for values in series])
    chosen = options(missing="padding", scale="none")
    shortened = []
    for values in series:
        steps = list(values)
        while steps and not np.isfinite(steps[-1]).any():
            steps.pop()
        shortened.append(steps)
    assert chosen.blank_rows(rows).tolist() == [row for row, steps in enumerate(shortened) if not steps]
    if all(np.isfinite(steps).all() for steps in shortened):
        got = encoded(rows, chosen)
        assert [row.tolist() for row in got] == [[step.tolist() for step in steps] for steps in shortened]
    else:
        with pytest.raises(DataError, match="has (no|an infinite) value"):
            chosen.fit(rows)


def test_padding_of_a_wide_table_is_dropped():
    rows = table(a=[1.0, 2.0], b=[3.0, NAN], c=[NAN, NAN])
    got = encoded(rows, options("a", "b", "c", missing="padding", scale="none"))
    assert [row.ravel().tolist() for row in got] == [[1, 3], [2]]
    with pytest.raises(DataError, match=r"a.json: row 2 has no value \(null or NaN\) in column 'b'"):
        options("a", "b", "c", missing="padding").fit(table(a=[1.0, 2.0], b=[3.0, NAN], c=[1.0, 1.0]))


def test_missing_values_of_a_known_series():
    rows = table(x=[[NAN, 1.0, NAN, NAN, 4.0, None], [NAN], [9.0]])
    mean = 14 / 3
    expected = {
        "interpolate": [[1, 1, 2, 3, 4, 4], [mean], [9]],
        "forward": [[mean, 1, 1, 1, 4, 4], [mean], [9]],
        "zero": [[0, 1, 0, 0, 4, 0], [0], [9]],
        "mean": [[mean, 1, mean, mean, 4, mean], [mean], [9]],
    }
    for policy, series in expected.items():
        got = encoded(rows, options(missing=policy, scale="none"))
        assert [row.ravel().tolist() for row in got] == [np.float32(row).tolist() for row in series]
    masked = encoded(rows, options(missing="mask", scale="none"))
    assert masked[0][:, 1].tolist() == [1, 0, 1, 1, 0, 1]


# ------------------------------------------------------------------ layouts

SERIES = [[[1, 2], [3, 4], [5, 6]], [], [[7, 8]]]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.list_(pa.float64())),
        pa.list_(pa.list_(pa.float32(), 2)),
        pa.large_list(pa.list_(pa.int16(), 2)),
        pa.list_view(pa.large_list(pa.uint8())),
        pa.large_list_view(pa.list_(pa.float16(), 2)),
    ],
    ids=str,
)
def test_every_layout_of_lists_holds_series(kind):
    values = [[[np.float16(v) for v in step] for step in row] for row in SERIES]
    rows = table(kind, x=values if "half" in str(kind) else SERIES)
    assert [row.tolist() for row in encoded(rows, options(scale="none"))] == SERIES
    later = Table(rows.content.slice(1), "a")
    assert [row.tolist() for row in encoded(later, options(scale="none"), rows)] == SERIES[1:]


def test_an_array_of_equal_lengths_and_chunks():
    flat = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float64(), 2))
    rows = Table(pa.table({"x": pa.chunked_array([flat, flat[1:]])}), "a")
    got = encoded(rows, options(scale="none"))
    assert [row.ravel().tolist() for row in got] == [[1, 2], [3, 4], [3, 4]]


def test_several_columns_are_channels():
    rows = table(x=[[1, 2], [3]], y=[[4.5, 5], [6]])
    got = encoded(rows, options("y", "x", scale="none"))
    assert [row.tolist() for row in got] == [[[4.5, 1], [5, 2]], [[6, 3]]]


def test_columns_of_numbers_are_steps():
    rows = table(a=[1, 2], b=[3, 4], c=[5.5, 6])
    got = encoded(rows, options("a", "b", "c", scale="none"))
    assert [row.ravel().tolist() for row in got] == [[1, 3, 5.5], [2, 4, 6]]


def test_a_step_that_is_null_misses_all_channels():
    rows = table(pa.list_(pa.list_(pa.float64())), x=[[[1, 2], None, [3, 6]]])
    (got,) = encoded(rows, options(missing="interpolate", scale="none"))
    assert got.tolist() == [[1, 2], [2, 4], [3, 6]]


def test_words_are_numbers_of_steps():
    rows = table(x=[[5.0, 6.0], [], [7.0]])
    assert options().fit(rows).words(rows) == [["1", "2"], [], ["1"]]


def test_rows_without_steps():
    rows = table(x=[[1.0], [], None])
    assert options().blank_rows(rows).tolist() == [1, 2]
    assert options().fit(rows).encode(rows).lengths.tolist() == [1, 0, 0]
    nothing = Table(pa.table({"x": pa.nulls(2)}), "a")
    multivariate = table(x=[[[1.0, 2.0]]])
    assert options().fit(multivariate).encode(nothing).values.shape == (0, 2)


def test_lists_in_texts_are_json():
    lists = {"x": [[1.0, 2.5], [], [3.0]], "y": [[[1, 2], [3, 4]], None, [[5, 6]]]}
    texts = {"x": ["[1, 2.5]", "[]", " [3]"], "y": ["[[1, 2], [3, 4]]", " ", "[[5, 6]]"]}
    for name in ("x", "y"):
        options = SeriesOptions(columns=(name,), blank="empty")
        written, parsed = (table(**{name: rows[name]}) for rows in (lists, texts))
        inputs = options.fit(written)
        assert inputs.encode(parsed).lengths.tolist() == inputs.encode(written).lengths.tolist()
        assert torch.equal(inputs.encode(parsed).values, inputs.encode(written).values)


# ------------------------------------------------------------------ refusals

FILL = (
    "; fill in missing values with missing= (--missing): interpolate, forward, zero, mean, mask, or padding for "
    "steps at the end"
)

CORRECT = FILL.replace("fill in missing values", "correct it, or treat infinite values as missing")

REFUSED = {
    "number among JSON lists": (
        table(x=["[1]", "2"]),
        "a.json: row 2: '2' in column 'x' is not a JSON list; write it as [1, 2] or [\"a\", \"b\"]",
    ),
    "kinds in JSON lists": (
        table(x=["[1]", '["a"]']),
        "a.json: row 2 has a list of texts in column 'x', but a.json: row 1 has a list of numbers; give one kind",
    ),
    "null": (
        table(x=[[1.0], [2.0, None, None]]),
        "a.json: row 2 has no value (null or NaN) at step 2 (and at 1 more place)" + FILL,
    ),
    "infinity": (table(x=[[1.0, -INF]]), "a.json: row 1 has an infinite value (-inf) at step 2" + CORRECT),
    "channel": (
        table(x=[[[1.0, 2.0]], [[1.0, 2.0], [1.0, NAN]]]),
        "a.json: row 2 has no value (null or NaN) at step 2 of channel 2" + FILL,
    ),
    "blank": (
        table(x=[[1.0], []]),
        (
            "a.json: row 2 has no steps in column 'x'; fill it in, or drop such rows with skip_blank=True "
            "(--skip-blank)"
        ),
    ),
    "unequal channels": (
        table(x=[[[1.0, 2.0]], [[1.0, 2.0], [3.0]]]),
        (
            "a.json: row 2 has 1 channel at step 2 of column 'x', but the first step of all has 2; each step must "
            "have as many"
        ),
    ),
    "no channels": (
        table(pa.list_(pa.list_(pa.float64())), x=[[[], []]]),
        "a.json: the steps of column 'x' are empty lists; give numbers",
    ),
    "text": (
        table(x=["1 2 3"]),
        (
            "a.json: column 'x' holds texts, not lists of numbers; use it with text='x' (--text x), or "
            "convert it to lists of numbers"
        ),
    ),
    "tokens": (
        table(x=[["a"]]),
        (
            "a.json: column 'x' holds lists of texts, not lists of numbers; use it with tokens='x' (--tokens x), or convert it "
            "to numbers"
        ),
    ),
    "a number": (
        table(x=[1.5]),
        (
            "a.json: column 'x' holds numbers (float64), not lists of numbers; name several, one per step, or use "
            "it beside a text or series with numeric='x' (--numeric x)"
        ),
    ),
    "large": (
        table(x=[[1.0], [1e39]]),
        (
            "a.json: row 2 has 1e+39 at step 1, which is out of the range of float32; correct it or use larger "
            "units"
        ),
    ),
    "no steps": (
        table(pa.list_(pa.float64()), x=[]),
        "a.json: no row has steps to learn from; give rows with series",
    ),
    "absent": (table(y=[[1.0]]), "a.json has no column 'x'; its columns are 'y'"),
}


@pytest.mark.parametrize(("rows", "message"), REFUSED.values(), ids=REFUSED)
def test_series_that_cannot_be_read_are_refused_with_their_place(rows, message):
    with pytest.raises(DataError, match=exactly(message)):
        options(blank="refuse").fit(rows)


SEVERAL = {
    "unequal steps": (
        table(x=[[1], [1, 2]], y=[[1], [1]]),
        "a.json: row 2 has 2 steps in column 'x', but 1 in 'y'; the series of a row must have equally many",
    ),
    "missing in a channel": (
        table(x=[[1.0]], y=[[NAN]]),
        "a.json: row 1 has no value (null or NaN) at step 1 of column 'y'" + FILL,
    ),
    "missing in a wide table": (
        table(x=[1.0, 2.0], y=[1.0, NAN]),
        "a.json: row 2 has no value (null or NaN) in column 'y'" + FILL,
    ),
    "text in a wide table": (
        table(x=[1.0], y=["a"]),
        (
            "a.json: column 'y' holds texts, not numbers or lists of numbers; use it with text='y' (--text y), or convert it "
            "to lists of numbers"
        ),
    ),
    "a list and a number": (
        table(x=[[1.0]], y=[1.0]),
        (
            "a.json: column 'y' holds numbers (float64), not lists of numbers, as the other columns; name several, "
            "one per step, or use it beside a text or series with numeric='y' (--numeric y)"
        ),
    ),
}


@pytest.mark.parametrize(("rows", "message"), SEVERAL.values(), ids=SEVERAL)
def test_columns_that_do_not_match_are_refused(rows, message):
    with pytest.raises(DataError, match=exactly(message)):
        options("x", "y").fit(rows)


def test_a_channel_without_values_is_refused():
    message = "a.json: channel 2 has no value in any series for training; remove it"
    with pytest.raises(DataError, match=exactly(message)):
        options(missing="mean").fit(table(x=[[[1.0, NAN]]]))


def test_other_channels_than_in_training_are_refused():
    inputs = options().fit(table(x=[[[1.0, 2.0]]]))
    message = "a.json: series have 1 channel, but those in training had 2; give the same channels"
    with pytest.raises(DataError, match=exactly(message)):
        inputs.encode(table(x=[[1.0]]))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"columns": ()}, "columns is empty; name at least one column"),
        ({"columns": "x"}, "columns must be a list, got 'x'"),
        ({"scale": "min-max"}, "scale must be one of 'standard', 'series', 'none', got 'min-max'"),
        (
            {"missing": "guess"},
            "missing must be one of 'interpolate', 'forward', 'zero', 'mean', 'mask', 'padding', got 'guess'",
        ),
    ],
)
def test_options_that_are_not_allowed_are_refused(entries, message):
    with pytest.raises(ShapeError, match=exactly(message)):
        SeriesOptions(**{"columns": ("x",), **entries})


LEARNED = options().fit(table(x=[[1.0, 2.0]])).to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"means": []}, "there are 0 means and 1 scales; there must be one of each per channel"),
        ({"means": [None]}, "means must be a list of numbers, got [None]"),
        ({"scales": [0.0]}, "scales must be positive, got 0"),
        ({"options": {**LEARNED["options"], "missing": "guess"}}, "options.missing must be one of"),
        ({"options": {**LEARNED["options"], "columns": "x"}}, "options.columns must be a list, got 'x'"),
    ],
)
def test_damaged_json_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        read_inputs({**LEARNED, **changes}, None)
