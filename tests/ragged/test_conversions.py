"""Conversions to and from a Ragged: values, lengths, gradients, and errors."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from tests.strategies import LENGTHS, raggeds
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError

FULL = st.lists(st.integers(1, 6), min_size=1, max_size=6)
"""Lengths that a PackedSequence can hold."""


def same(found: Ragged, expected: Ragged) -> None:
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=0)
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert found.offsets.tolist() == expected.offsets.tolist()
    assert found.dtype == expected.dtype


def weights_like(values: Tensor) -> Tensor:
    return torch.arange(1, values.numel() + 1, dtype=values.dtype).cos().view(values.shape)


@given(raggeds())
def test_lists(x: Ragged) -> None:
    parts = x.to_list()
    assert [len(part) for part in parts] == x.lengths.tolist()
    assert len(x) == len(parts)
    if parts:
        same(Ragged.from_list(parts), x)
    else:
        same(Ragged.empty(*x.shape[1:], dtype=x.dtype), x)


@given(raggeds(), st.integers(0, 3), st.booleans())
def test_padded_by_lengths(x: Ragged, more: int, batch_first: bool) -> None:
    width = x.longest + more
    padded = x.to_padded(float("nan"), length=width, batch_first=batch_first)
    shape = (len(x), width) if batch_first else (width, len(x))
    assert padded.shape == (*shape, *x.shape[1:])
    same(Ragged.from_padded(padded, lengths=x.lengths, batch_first=batch_first), x)
    rows = padded if batch_first else padded.transpose(0, 1)
    for row, sequence in zip(rows, x, strict=True):
        torch.testing.assert_close(row[: len(sequence)], sequence, rtol=0, atol=0)
        assert row[len(sequence) :].isnan().all()


@given(raggeds(), st.booleans())
def test_padded_by_mask(x: Ragged, batch_first: bool) -> None:
    padded, mask = x.to_padded(batch_first=batch_first), x.mask()
    mask = mask if batch_first else mask.t()
    same(Ragged.from_padded(padded, mask=mask, batch_first=batch_first), x)


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=5), st.booleans())
def test_a_mask_keeps_runs_of_tokens_and_refuses_holes(rows: list[list[bool]], batch_first: bool) -> None:
    mask = torch.tensor(rows)
    padded = torch.arange(mask.numel()).view(mask.shape)
    expected = [
        [int(v) for v, kept in zip(line, keep, strict=True) if kept]
        for line, keep in zip(padded.tolist(), rows, strict=True)
    ]
    joined = Ragged.from_lengths(padded[mask], mask.sum(1))
    assert [part.tolist() for part in joined] == expected
    holes = [i for i, line in enumerate(expected) if line and line[-1] - line[0] + 1 != len(line)]
    given = (padded, mask) if batch_first else (padded.t(), mask.t())
    if holes:
        with pytest.raises(
            ShapeError, match=rf"row {holes[0]} of the mask.*Ragged.from_lengths\(padded\[mask\]"
        ):
            Ragged.from_padded(given[0], mask=given[1], batch_first=batch_first)
    else:
        same(Ragged.from_padded(given[0], mask=given[1], batch_first=batch_first), joined)


@given(raggeds(lengths=FULL, shapes=st.sampled_from([(), (3,), (2, 3)])), st.booleans())
def test_packed_against_torchs_own_packing(x: Ragged, enforce_sorted: bool) -> None:
    if enforce_sorted:
        x = x[torch.argsort(x.lengths, descending=True)]
    expected = pack_sequence(x.to_list(), enforce_sorted=enforce_sorted)
    same(Ragged.from_packed(expected), x)
    found = x.to_packed()
    assert found.batch_sizes.tolist() == expected.batch_sizes.tolist()
    same(Ragged.from_packed(found), x)
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(found, batch_first=True)
    same(Ragged.from_padded(padded, lengths=lengths), x)
    assert found.sorted_indices is not None
    torch.testing.assert_close(found.data, expected.data, rtol=0, atol=0)


@given(raggeds(shapes=st.sampled_from([(1,), (3,), (2, 3)])))
def test_nested(x: Ragged) -> None:
    nested = x.to_nested()
    assert nested.values().data_ptr() == x.values.data_ptr()
    same(Ragged.from_nested(nested), x)
    for part, sequence in zip(nested.unbind(), x, strict=True):
        torch.testing.assert_close(part, sequence, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")  # of the strided layout
def test_nested_with_holes_and_transposed() -> None:
    base = torch.randn(3, 5, 2)
    starts, lengths = torch.tensor([0, 1, 2]), torch.tensor([3, 0, 2])
    narrowed = torch.nested.narrow(base, 1, starts, lengths, layout=torch.jagged)
    assert narrowed.lengths() is not None
    expected = Ragged.from_list([base[0, :3], base[1, 1:1], base[2, 2:4]])
    same(Ragged.from_nested(narrowed), expected)
    nested = torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)], layout=torch.jagged)
    with pytest.raises(ShapeError, match="ragged dimension second"):
        Ragged.from_nested(nested.transpose(1, 2))
    with pytest.raises(InputTypeError, match=r"torch.jagged, got torch.strided"):
        Ragged.from_nested(torch.nested.nested_tensor([torch.randn(2, 3)], layout=torch.strided))
    with pytest.raises(InputTypeError, match="got Tensor"):
        Ragged.from_nested(torch.randn(2, 3))


@given(
    raggeds(shapes=st.sampled_from([(), (3,), (2, 3)])),
    st.sampled_from([torch.float32, torch.float64, torch.float16, torch.int64, torch.int8, torch.uint8]),
)
def test_arrow(x: Ragged, dtype: torch.dtype) -> None:
    x = x.to(dtype)
    array = x.to_arrow()
    assert pa.types.is_large_list(array.type)
    same(Ragged.from_arrow(array), x)
    assert len(array) == len(x)
    if not x.shape[1:]:
        assert [row.as_py() for row in array] == [part.tolist() for part in x]


@given(st.lists(st.lists(st.integers(-9, 9), max_size=4), max_size=6), st.data())
def test_arrow_slices_chunks_and_kinds(rows: list[list[int]], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    for kind in (pa.list_(pa.int32()), pa.large_list(pa.float32()), pa.list_(pa.int64())):
        array = pa.array(rows, kind)[start:stop]
        assert [part.tolist() for part in Ragged.from_arrow(array)] == rows[start:stop]
    chunked = pa.chunked_array(
        [pa.array(rows[:start], pa.list_(pa.int64())), pa.array(rows[start:], pa.list_(pa.int64()))]
    )
    assert [part.tolist() for part in Ragged.from_arrow(chunked)] == rows
    flags = [[value > 0 for value in row] for row in rows]
    assert [part.tolist() for part in Ragged.from_arrow(pa.array(flags, pa.list_(pa.bool_())))] == flags


def test_arrow_values_are_not_copied() -> None:
    array = pa.array([[1.0, 2.0], [], [3.0]], pa.list_(pa.float64()))
    x = Ragged.from_arrow(array)
    assert x.values.data_ptr() == array.values.buffers()[1].address
    values = torch.randn(3, 2)
    out = Ragged.from_lengths(values, [1, 2]).to_arrow()
    assert out.values.values.buffers()[1].address == values.data_ptr()
    sliced = Ragged.from_arrow(array[2:])
    assert sliced.values.tolist() == [3.0]
    assert sliced.offsets.tolist() == [0, 1]


def test_arrow_from_anything_with_its_interface() -> None:
    class Foreign:
        def __init__(self, array: pa.Array) -> None:
            self.array = array

        def __arrow_c_array__(self, requested_schema: object = None) -> object:
            return self.array.__arrow_c_array__(requested_schema)

    assert Ragged.from_arrow(Foreign(pa.array([[1], [2, 3]]))).lengths.tolist() == [1, 2]
    fixed = pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int64(), 2))
    assert [part.tolist() for part in Ragged.from_arrow(fixed[1:])] == [[3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        (pa.array([1, 2]), InputTypeError, "list array, got int64"),
        (pa.array([["a"]]), InputTypeError, "elements of string"),
        (pa.array([[1], None]), ShapeError, "1 nulls.*first at row 1"),
        (pa.array([[1, None]]), ShapeError, "1 nulls.*fill_null"),
        (pa.array([[[1], [2]]]), InputTypeError, "only fixed-size lists"),
        ([[1]], InputTypeError, "got list"),
    ],
)
def test_arrow_refusals(array: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Ragged.from_arrow(array)


def test_arrow_carries_no_gradients() -> None:
    with pytest.raises(InputTypeError, match="values require gradients.*call .detach"):
        Ragged.from_lengths(torch.randn(2, requires_grad=True), [2]).to_arrow()
    with pytest.raises(InputTypeError, match="values are bfloat16"):
        Ragged.from_lengths(torch.zeros(2, dtype=torch.bfloat16), [2]).to_arrow()


@given(
    raggeds(lengths=FULL, shapes=st.sampled_from([(2,), (2, 3)])),
    st.sampled_from(["padded", "packed", "nested", "list", "mask"]),
)
def test_gradients_flow_through_conversions(x: Ragged, kind: str) -> None:
    weights = weights_like(x.values)
    leaf = x.values.clone().requires_grad_()
    moved = x.with_values(leaf)
    if kind == "padded":
        back = Ragged.from_padded(moved.to_padded(), lengths=x.lengths)
    elif kind == "mask":
        back = Ragged.from_padded(moved.to_padded(), mask=x.mask())
    elif kind == "packed":
        back = Ragged.from_packed(moved.to_packed())
    elif kind == "nested":
        back = Ragged.from_nested(moved.to_nested())
    else:
        back = Ragged.from_list(moved.to_list())
    (gradient,) = torch.autograd.grad((back.values * weights).sum(), leaf)
    torch.testing.assert_close(gradient, weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Ragged.from_list([]), ShapeError, r"Ragged.empty"),
        (lambda: Ragged.from_list([torch.zeros(2), 3]), InputTypeError, "sequence 1 is a int"),
        (lambda: Ragged.from_list([torch.zeros(())]), ShapeError, "sequence 0 is a single number"),
        (lambda: Ragged.from_list([torch.zeros(1, 2), torch.zeros(1, 3)]), ShapeError, r"sequence 1.*\(3,\)"),
        (
            lambda: Ragged.from_list([torch.zeros(1), torch.zeros(1).long()]),
            InputTypeError,
            "sequence 1.*int64",
        ),
        (lambda: Ragged.from_lengths(torch.zeros(3), [1, 1]), ShapeError, "add up to 2, but there are 3"),
        (lambda: Ragged.from_lengths(torch.zeros(3), [4, -1]), ShapeError, r"lengths\[1\] = -1"),
        (lambda: Ragged.from_lengths(torch.zeros(3), [1.5, 1.5]), InputTypeError, "sequence of integers"),
        (lambda: Ragged.from_lengths(torch.zeros(1), torch.tensor([True])), InputTypeError, "integers"),
        (lambda: Ragged.from_padded(torch.zeros(2, 3)), ShapeError, "either lengths or mask, got neither"),
        (lambda: Ragged.from_padded(torch.zeros(3), lengths=[1]), ShapeError, r"\(B, length, \*features\)"),
        (
            lambda: Ragged.from_padded(torch.zeros(2, 3), lengths=[1]),
            ShapeError,
            "each of 2 sequences, got 1 lengths",
        ),
        (
            lambda: Ragged.from_padded(torch.zeros(2, 3), lengths=[1, 4]),
            ShapeError,
            r"lengths\[1\] = 4.*3 steps",
        ),
        (lambda: Ragged.from_padded(torch.zeros(2, 3), mask=torch.ones(2, 3)), ShapeError, "must be bool"),
        (lambda: Ragged.from_packed(torch.zeros(2)), InputTypeError, "takes a PackedSequence, got Tensor"),
        (lambda: Ragged.empty(2).to_packed(), ShapeError, "cannot be an empty batch"),
        (
            lambda: Ragged.from_lengths(torch.zeros(2), [2, 0]).to_packed(),
            ShapeError,
            "sequence 1 has length 0",
        ),
        (
            lambda: Ragged.from_lengths(torch.zeros(2), [2]).to_padded(length=1),
            ShapeError,
            "longest sequence, 2",
        ),
        (lambda: Ragged(torch.zeros(2), [0, 2]), InputTypeError, "int64 tensor, got list"),
        (
            lambda: Ragged(torch.zeros(2), torch.tensor([0, 2], dtype=torch.int32)),
            InputTypeError,
            "torch.int32",
        ),
        (lambda: Ragged(torch.zeros(2), torch.zeros(0).long()), ShapeError, r"offsets \[0\]"),
        (lambda: Ragged(torch.zeros(()), torch.tensor([0])), InputTypeError, "a single number"),
        (
            lambda: Ragged(torch.zeros(2, device="meta"), torch.tensor([0, 2])),
            InputTypeError,
            "on meta.*on cpu",
        ),
    ],
)
def test_refusals_say_what_came_and_what_to_do(make, error, words) -> None:
    with pytest.raises(error, match=words):
        make()


def fault(offsets: list[int], total: int) -> str | None:
    """The check of offsets in plain Python."""
    if offsets[0] != 0:
        return "must start at 0"
    for i in range(1, len(offsets)):
        if offsets[i] < offsets[i - 1]:
            return rf"offsets\[{i}\] = {offsets[i]} follows {offsets[i - 1]}"
    return None if offsets[-1] == total else f"end at the number of values, {total}"


INT64 = st.one_of(st.integers(0, 6), st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), 2**63 - 1]))


@given(
    st.one_of(st.lists(INT64, min_size=1, max_size=6), LENGTHS.map(lambda n: [0, *np.cumsum(n).tolist()])),
    st.integers(0, 12),
)
def test_offsets_are_checked(offsets: list[int], total: int) -> None:
    expected = fault(offsets, total)
    if expected is None:
        assert Ragged(torch.zeros(total), torch.tensor(offsets)).offsets.tolist() == offsets
    else:
        with pytest.raises(ShapeError, match=expected):
            Ragged(torch.zeros(total), torch.tensor(offsets))


def test_offsets_that_are_a_strided_view() -> None:
    offsets = torch.tensor([0, 9, 2, 9, 3])[::2]
    assert Ragged(torch.zeros(3), offsets).lengths.tolist() == [2, 1]


@given(raggeds(lengths=FULL, shapes=st.just((2,))))
def test_a_packed_sequence_from_torch_in_any_form(x: Ragged) -> None:
    assume(len(x) > 1)
    packed = pack_padded_sequence(x.to_padded(), x.lengths, batch_first=True, enforce_sorted=False)
    bare = PackedSequence(packed.data, packed.batch_sizes)
    same(Ragged.from_packed(bare), x[packed.sorted_indices])
