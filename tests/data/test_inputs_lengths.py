"""Limits of length: truncation, refusal with the place, windows that leave no step out."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from throughtime.data.inputs import LengthLimit, windows
from throughtime.errors import DataError, ShapeError
from throughtime.ragged import Ragged

LENGTHS = st.lists(st.integers(0, 12), max_size=6)


def batch(lengths, features=2):
    return Ragged.from_lengths(torch.arange(sum(lengths) * features).reshape(-1, features), lengths)


def plain_windows(steps, length, stride):
    starts = [0]
    while starts[-1] + length < len(steps):
        starts.append(starts[-1] + stride)
    return [steps[start : start + length] for start in starts]


@settings(max_examples=100)
@given(LENGTHS, st.integers(1, 5), st.data())
def test_windows_against_plain_slices(lengths, length, data):
    stride = data.draw(st.integers(1, length))
    x = batch(lengths)
    parts, rows = windows(x, length, stride)
    expected = [
        (row, part) for row, steps in enumerate(x.to_list()) for part in plain_windows(steps, length, stride)
    ]
    assert rows.tolist() == [row for row, _ in expected]
    assert [part.tolist() for part in parts.to_list()] == [part.tolist() for _, part in expected]
    for row, steps in enumerate(x.to_list()):
        covered = {
            int(step[0]) for part in parts[(rows == row).nonzero().flatten()].to_list() for step in part
        }
        assert covered == {int(step[0]) for step in steps}


@settings(max_examples=100)
@given(LENGTHS, st.integers(1, 5))
def test_truncated_sequences_are_the_first_steps(lengths, length):
    x = batch(lengths)
    limited, rows = LengthLimit(length=length, longer="truncate").apply(x, str)
    assert rows.tolist() == list(range(len(lengths)))
    assert [part.tolist() for part in limited.to_list()] == [part[:length].tolist() for part in x.to_list()]


def test_windows_overlap_by_half_by_default():
    x = batch([7])
    limited, rows = LengthLimit(length=4, longer="windows").apply(x, str)
    assert limited.lengths.tolist() == [4, 4, 3]
    assert rows.tolist() == [0, 0, 0]


def test_longer_sequences_are_refused_with_their_place():
    limit = LengthLimit(length=5)
    x = batch([5, 0])
    assert limit.apply(x, str)[0].values.tolist() == x.values.tolist()
    message = (
        "a.csv: row 2 has 9 steps (and 1 other row more than 5), but at most 5 are allowed; raise "
        "max_length= (--max-length), truncate longer sequences with longer='truncate' (--longer truncate), or cut "
        "them with longer='windows' (--longer windows)"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        limit.apply(batch([5, 9, 6]), lambda row: f"a.csv: row {row + 1}")


@pytest.mark.parametrize("stride", [6, 99])
def test_strides_that_leave_steps_out_are_refused(stride):
    message = (
        f"stride = {stride}, but windows of 5 steps need a stride from 1 to 5, so that no step is left out"
    )
    with pytest.raises(ShapeError, match=message):
        LengthLimit(length=5, longer="windows", stride=stride)
    with pytest.raises(ShapeError, match=message):
        windows(batch([3]), 5, stride)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"length": 0}, "length must be a whole number from 1, got 0"),
        ({"stride": 0}, "stride must be a whole number from 1, got 0"),
        ({"longer": "cut"}, "longer must be one of 'refuse', 'truncate', 'windows', got 'cut'"),
    ],
)
def test_limits_that_are_not_allowed_are_refused(entries, message):
    with pytest.raises(ShapeError, match=f"^{message}$"):
        LengthLimit(**{"length": 3, **entries})


def test_windows_without_steps_are_refused():
    with pytest.raises(ShapeError, match="length = 0; a window has at least 1 step"):
        windows(batch([3]), 0, 1)
    with pytest.raises(ShapeError, match="stride = 0, but windows of 2 steps"):
        windows(batch([3]), 2, 0)
