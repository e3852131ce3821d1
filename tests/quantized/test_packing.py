"""Weights as integers: the scale of each row, and the layout that the kernels read."""

import numpy as np
import pytest
import torch

from throughtime import _native
from throughtime.ops.quantized import native
from throughtime.ops.quantized.packing import from_panels, in_panels, packed, rounded, unpacked, vectors_of


def test_rows_are_rounded_as_numpy_rounds_them() -> None:
    matrix = torch.randn(9, 31) * torch.logspace(-3, 3, 9)[:, None]
    values, scale = rounded(matrix)
    most = matrix.abs().amax(1).numpy()
    expected = np.rint(matrix.numpy() * (np.float32(127) / most)[:, None])
    assert np.array_equal(values.numpy(), expected)
    assert values.abs().amax(1).tolist() == [127] * 9
    assert np.array_equal(scale.numpy(), most / np.float32(127))
    assert (values * scale[:, None] - matrix).abs().le(scale[:, None] * 0.5001).all()


def test_a_row_of_zeros_or_of_tiny_numbers_is_zeros() -> None:
    values, scale = rounded(torch.tensor([[0.0, 0.0], [1e-31, -1e-38]]))
    assert not values.any()
    assert scale.tolist() == [0, 0]


@pytest.mark.parametrize("columns", [1, 16, 17, 33, 48, 64, 65, 100, 129])
def test_panels_are_few_and_not_wasteful(columns: int) -> None:
    width = 16 * vectors_of(columns)
    panels = -(-columns // width)
    assert width <= 64
    assert panels == -(-columns // 64)
    assert panels * width - columns < 16 * panels


@pytest.mark.parametrize(
    ("blocks", "height", "taps", "features"), [(1, 1, 1, 1), (4, 17, 1, 9), (1, 70, 3, 5)]
)
def test_packed_weights_are_laid_out_as_documented(
    blocks: int, height: int, taps: int, features: int
) -> None:
    rows = torch.randint(-127, 128, (blocks, height, taps, features), dtype=torch.int8)
    vectors = 1 if blocks > 1 else vectors_of(height)
    weight = packed(rows, vectors)
    units, groups = 16 * vectors, -(-features // 4)
    assert weight.shape == (-(-height // units), taps * groups, blocks * units, 4)
    for block, unit, tap, feature in (
        torch.cartesian_prod(*map(torch.arange, rows.shape)).view(-1, 4).tolist()
    ):
        panel, column = unit // units, block * units + unit % units
        entry = weight[panel, tap * groups + feature // 4, column, feature % 4]
        assert entry == rows[block, unit, tap, feature]
    assert weight.count_nonzero() == rows.count_nonzero()
    assert torch.equal(unpacked(weight, blocks, height, taps, features), rows)


def test_panels_are_undone() -> None:
    rows = torch.randn(3, 37, 2)
    assert torch.equal(from_panels(in_panels(rows, 1), 3, 37), rows)


@pytest.mark.parametrize("features", [1, 3, 4, 64, 130, 1500])
def test_sums_of_integers_are_exact(features: int) -> None:
    """With scales of 1 the result is the sum itself: extremes and random integers against numpy."""
    generator = torch.Generator().manual_seed(features)
    x, weight = (
        torch.where(
            torch.rand(rows, features, generator=generator) < 0.5,
            torch.randint(-127, 128, (rows, features), generator=generator),
            127 * (1 - 2 * torch.randint(0, 2, (rows, features), generator=generator)),
        )
        for rows in (9, 75)
    )
    x[:, 0], weight[:, 0] = 127, -127
    columns = len(weight)
    vectors = vectors_of(columns)
    ones = in_panels(torch.ones(1, columns), vectors).flatten()
    weights = native.PackedMap(packed(weight.to(torch.int8)[None, :, None], vectors), ones, ones * 0)
    y = native.linear(x.float(), weights, columns)
    expected = x.numpy().astype(np.int32) @ weight.numpy().astype(np.int32).T
    assert np.array_equal(y.numpy(), expected.astype(np.float32))


def test_the_set_in_use_is_the_best_of_the_instruction_set() -> None:
    sets = _native.quantized_sets()
    assert _native.quantized_set() in sets
    assert set(_native.instruction_sets()) <= set(sets)
