"""The reader of .mat files against SciPy, which implements the whole format."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from throughtime.data.files import most_unpacked
from throughtime.data.matlab import read_cells
from throughtime.errors import DataError

NAMES = ("traindata", "validdata", "testdata")


def cell(matrices: list[Any]) -> Any:
    made = np.empty((1, len(matrices)), dtype=object)
    made[0] = [*matrices]
    return made


def saved(*, compressed: bool = False, **variables: Any) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compressed)
    return file.getvalue()


ROLLS = [np.eye(4, dtype=np.uint8)[[i] * (i + 2)] for i in range(3)]


@given(
    shapes=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=4),
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]),
    compressed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_cells_are_those_that_scipy_wrote(
    shapes: list[tuple[int, int]], dtype: str, compressed: bool, seed: int, tmp_path_factory: Any
) -> None:
    random = np.random.default_rng(seed)
    matrices = [random.integers(0, 100, shape).astype(dtype) for shape in shapes]
    path = tmp_path_factory.getbasetemp() / "cells.mat"
    path.write_bytes(
        saved(
            compressed=compressed,
            other=np.ones(3),
            word="x",
            traindata=cell(matrices),
            deep=cell([cell([1])]),
        )
    )
    found = read_cells(path, NAMES, 100)
    assert list(found) == ["traindata"]
    for got, expected in zip(found["traindata"], matrices, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (np.ones((2, 3)), "traindata is a variable of class 6, expected a cell array"),
        ({"a": 1}, "traindata is a variable of class 2"),
        (cell(["text"]), "cell 1 of traindata is not a real matrix"),
        (cell([ROLLS[0], {"a": 1}]), "cell 2 of traindata is not a real matrix"),
        (cell([cell(ROLLS)]), "cell 1 of traindata is not a real matrix"),
        (cell([np.ones((2, 2)) * 1j]), "cell 1 of traindata is not a real matrix"),
        (cell([np.ones((2, 2, 2))]), "cell 1 of traindata is not a real matrix"),
    ],
)
def test_variables_of_other_kinds_are_named(variable: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(saved(traindata=variable))
    with pytest.raises(DataError, match=message):
        read_cells(path, NAMES, 100)


def _with(place: int, content: bytes) -> bytes:
    whole = bytearray(saved(**{name: cell(ROLLS) for name in NAMES}))
    whole[place : place + len(content)] = content
    return bytes(whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # Each of the first two ends the process in SciPy's reader.
        (_with(377, b"\1"), "cell 3 of traindata has numbers of type 258"),
        (_with(913, b"\2"), "cell 3 of testdata has numbers of type 514"),
        (_with(380, b"\17"), r"cell 3 of traindata has 15 bytes, which does not match its shape \(4, 4\)"),
        (_with(0, b"")[:-9], "cut short"),
        (_with(0, b"")[:100], "it has 100 bytes, fewer than the 128 of a header"),
        (_with(124, b"\0\2"), r"version 7\.3, which is HDF5, is not read; save it with -v7"),
        (_with(126, b"MI"), "not a little-endian MAT-file of version 5 to 7"),
        (_with(128, struct.pack("<I", 9)), "a variable is an element of type 9, expected 14"),
        (saved(compressed=True, traindata=cell(ROLLS))[:-12], "cut short"),
    ],
)
def test_damage_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.mat cannot be read as \.mat \(.*({message})"):
        read_cells(path, NAMES, 100)


def test_what_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    packed = zlib.compress(bytes(most_unpacked(1) + 1), 1)
    path.write_bytes(saved(other=1)[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(DataError, match="unpacks to more than 100 times its size"):
        read_cells(path, NAMES, 100)
