"""Indexing a Ragged: as a list of its sequences, as a dense tensor, or refused by name."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.strategies import raggeds
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError, ThroughtimeError, UnsupportedError

FEATURES = (3, 2)


def bounds(size: int) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(-size - 2, size + 2))


def slices(size: int) -> st.SearchStrategy[slice]:
    return st.builds(slice, bounds(size), bounds(size), st.sampled_from([None, 1, 2, 3]))


def numbers(size: int) -> st.SearchStrategy[int]:
    return st.integers(-size, size - 1)


def lists(size: int, longest: int = 4) -> st.SearchStrategy[list[int]]:
    return st.lists(numbers(size), max_size=longest) if size else st.just([])


def same(found: Any, expected: list[Tensor] | Tensor) -> None:
    if isinstance(expected, Tensor):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        return
    assert isinstance(found, Ragged)
    assert found.lengths.tolist() == [len(part) for part in expected]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def stacked(parts: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    return torch.stack(parts) if parts else torch.zeros(0, *shape, dtype=torch.float64)


@given(raggeds(shapes=st.just(FEATURES)), st.data())
def test_rows_and_steps_are_those_of_the_list(x: Ragged, data: st.DataObject) -> None:
    parts, shortest = x.to_list(), int(x.lengths.min()) if len(x) else 0
    rows = data.draw(st.one_of(slices(len(x)), lists(len(x))))
    chosen = parts[rows] if isinstance(rows, slice) else [parts[i] for i in rows]
    cut = data.draw(slices(6))
    same(x[rows, cut], [part[cut] for part in chosen])
    same(x[rows, cut, 1:, -1], [part[cut, 1:, -1] for part in chosen])
    same(x[rows, ..., None], [part[..., None] for part in chosen])
    same(x[rows, ..., [1, 0]], [part[..., [1, 0]] for part in chosen]) if isinstance(rows, slice) else None
    if shortest:
        step, steps = data.draw(numbers(shortest)), data.draw(lists(shortest))
        same(x[rows, step], stacked([part[step] for part in chosen], FEATURES))
        same(x[rows, step, :, 0], stacked([part[step, :, 0] for part in chosen], FEATURES[:1]))
        if isinstance(rows, slice):
            same(x[rows, steps], stacked([part[steps] for part in chosen], (len(steps), *FEATURES)))
        else:
            pairs = data.draw(st.lists(numbers(shortest), min_size=len(rows), max_size=len(rows)))
            each = [part[t] for part, t in zip(chosen, pairs, strict=True)]
            same(x[torch.tensor(rows).long(), torch.tensor(pairs).long()], stacked(each, FEATURES))


@given(raggeds(shapes=st.just(FEATURES)), st.data())
def test_one_sequence_takes_any_index_of_a_tensor(x: Ragged, data: st.DataObject) -> None:
    for b, part in enumerate(x.to_list()):
        for one in (b, b - len(x), np.int32(b), torch.tensor(b), torch.tensor(b, dtype=torch.int32)):
            same(x[one], part)
        for index in (slice(1, None), (..., 0), None, (slice(None), [2, 0]), part[:, 0, 0] > 0, ()):
            rest = index if isinstance(index, tuple) else (index,)
            same(x[(b, *rest)], part[index])
        if len(part):
            step = data.draw(numbers(len(part)))
            same(x[b, step], part[step])


@given(st.integers(0, 3), st.integers(0, 4), st.data())
def test_a_batch_of_equal_lengths_is_indexed_as_the_dense_tensor(
    count: int, length: int, data: st.DataObject
) -> None:
    """Whatever the index: the same elements in the same shape, or a refusal."""
    dense = torch.randn(count, length, *FEATURES, dtype=torch.float64)
    x = Ragged.from_padded(dense, lengths=[length] * count)
    shape = list(dense.shape)
    entries: list[Any] = []
    for size in shape[: data.draw(st.integers(0, 4))]:
        kinds: list[st.SearchStrategy[Any]] = [
            slices(size),
            lists(size, 2).map(lambda n: torch.tensor(n).long()),
        ]
        kinds += [numbers(size)] if size else []
        kinds += [st.lists(st.booleans(), min_size=size, max_size=size).map(lambda n: torch.tensor(n).bool())]
        entries.append(data.draw(st.one_of(*kinds)))
    for extra in data.draw(st.sampled_from([(), (None,), (Ellipsis,), (Ellipsis, None)])):
        entries.insert(data.draw(st.integers(0, len(entries))), extra)
    index = tuple(entries)
    try:
        found = x[index]
    except (ThroughtimeError, IndexError):
        return
    expected = dense[index]
    if isinstance(found, Ragged):
        assert found.numel() == expected.numel()
        assert len(found) == len(expected)
        found = found.to_padded(length=expected.shape[1])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_what_the_dense_test_covers_is_not_refused() -> None:
    x = Ragged.from_lengths(torch.randn(8, 3, 2), [3, 1, 4])
    last = x.lengths - 1
    for index in (
        ...,
        (),
        (slice(None), 0),
        (slice(None), -1),
        (slice(None), slice(None, -1)),
        (..., 0),
        (..., [2, 0], 1),
        (..., None),
        (torch.arange(3), last),
        ([True, False, True], slice(1, 3)),
        (np.array([2, 0]), 0),
        (range(2), slice(None), 1),
    ):
        x[index]
    torch.testing.assert_close(x[torch.arange(3), last], x[:, -1])


@given(raggeds(shapes=st.sampled_from([(), (3,)])))
def test_a_ragged_mask_takes_elements_as_a_mask_of_the_padded_batch(x: Ragged) -> None:
    whole, tokens = x > 0, x.with_values(x.values.unsqueeze(-1).flatten(1).sum(1) > 0)
    real = x.mask()
    for mask in (whole, tokens):
        padded = mask.to_padded(0)
        same(x[mask], x.to_padded()[padded & (real if padded.dim() == 2 else real[..., None])])


def test_gradients_go_through_an_index() -> None:
    leaf = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)

    def function(values: Tensor) -> tuple[Tensor, ...]:
        x = Ragged.from_lengths(values, [3, 2])
        return x[:, -1], x[0, 1], x[:, 1:].values, x[[1, 1], ..., 0].values, x[x > 0]

    assert torch.autograd.gradcheck(function, leaf)


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        ((slice(None), 1), IndexError, "step 1 is out of range for sequence 0, which has 1 steps"),
        ((slice(None), -2), IndexError, "step -2 is out of range for sequence 0"),
        (([1, 0], [0, 1]), IndexError, "step 1 is out of range for sequence 0"),
        ((0, 1), IndexError, "out of bounds"),
        (
            ([0, 1, 0], [0, 0]),
            IndexError,
            r"3 sequences and 2 steps select pairs.*x\[rows\]\[:, steps\]",
        ),
        ((0, 0, 0, 0), IndexError, "4 indices.*3 dimensions"),
        ((..., 0, ...), IndexError, "2 ellipses"),
        (None, UnsupportedError, r"x\.to_padded\(\)\[None\]"),
        ((slice(None), None), UnsupportedError, r"x\[\.\.\., None\]"),
        ((slice(None), slice(None, None, -1)), UnsupportedError, r"x\.reverse\(\)"),
        (([0], slice(None), [0]), UnsupportedError, r"x\[rows\]\[:, :, features\]"),
        ((slice(None), [True]), InputTypeError, "select steps.*by a mask.*Ragged of bool"),
        (torch.ones(2, 2, dtype=torch.bool), InputTypeError, "Ragged of bool"),
        (torch.tensor([1, 0], dtype=torch.uint8), InputTypeError, r"\.bool\(\).*\.long\(\)"),
        (np.array([1, 0], np.uint8), InputTypeError, r"\.bool\(\).*\.long\(\)"),
        (torch.tensor(True), InputTypeError, "single bool"),
        ((slice(None), slice(None), True), InputTypeError, "single bool"),
        (torch.tensor(0.0), InputTypeError, "select sequences"),
        ({0}, InputTypeError, "got set"),
        (
            Ragged.from_lengths(torch.tensor([0, 1, 0]), [1, 2]),
            InputTypeError,
            "must be bool, got torch.int64",
        ),
        (Ragged.from_lengths(torch.ones(3) > 0, [2, 1]), ShapeError, "other lengths"),
        ((Ragged.from_lengths(torch.ones(2).long(), [1, 1]), 0), InputTypeError, "got Ragged"),
    ],
)
def test_refusals_name_the_alternative(index: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Ragged.from_lengths(torch.zeros(3, 2), [1, 2])[index]


def test_numbers_of_sequences_look_for_elements() -> None:
    x = Ragged.from_lengths(torch.arange(4.0), [1, 3])
    assert 2 in x
    assert torch.tensor(3.0) in x
    assert np.int64(1) in x
    assert 9.5 not in x
    for element in (x[0], x, "a", None):
        with pytest.raises(UnsupportedError, match=r"any\(torch.equal"):
            element in x  # noqa: B015
    assert [part.tolist() for part in reversed(x)] == [[1.0, 2.0, 3.0], [0.0]]


def test_comparison_is_elementwise_and_no_number_is_not_equal() -> None:
    x = Ragged.from_lengths(torch.arange(4.0), [1, 3])
    assert (x == 2).values.tolist() == [False, False, True, False]
    assert (x == None) is False  # noqa: E711 - as a tensor's
    assert (x != "a") is True
    assert torch.equal(x, x.clone())
    assert not torch.equal(x, Ragged.from_lengths(x.values, [2, 2]))
    assert not torch.equal(x, x + 1)
    assert torch.allclose(x, x + 1e-9)
    assert not torch.allclose(x, x + 1)
    for other in (None, "a", [1.0]):
        with pytest.raises(TypeError, match="'Ragged' and"):
            x + other  # type: ignore[operator]


# Of equal lengths, so that numpy could make an array of the sequences: what it is may not depend on that.
SQUARE = Ragged.from_lengths(torch.arange(4.0), [2, 2])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: np.asarray(x), r"x\.values\.numpy\(\).*to_padded"),
        (lambda x: np.concatenate([x, x]), r"x\.values\.numpy\(\)"),
        (lambda x: np.ones(2) + x, "torch.as_tensor"),
        (lambda x: x + np.ones(2), "torch.as_tensor"),
        (lambda x: np.ones(2) == x, "torch.as_tensor"),
        (lambda x: np.sin(x), "does not support ufuncs"),
        (lambda x: float(x), r"x\.values\.item\(\)"),
        (lambda x: int(x), r"x\.values\.item\(\)"),
        (lambda x: complex(x), r"x\.values\.item\(\)"),
        (lambda x: bool(x), r"len\(x\) > 0"),
        (lambda x: x @ torch.ones(2, 2), "functional.linear"),
        (lambda x: torch.ones(2, 2) @ x, "functional.linear"),
        (lambda x: x.__setitem__(0, 1), "torch.where"),
    ],
)
def test_what_would_need_a_rectangle_is_refused(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call(SQUARE)


def test_numbers_of_numpy_are_numbers() -> None:
    for number in (np.float64(2), np.float32(2), np.int64(2)):
        assert torch.equal(number * SQUARE, SQUARE * 2)
        assert torch.equal(SQUARE * number, SQUARE * 2)


def test_attributes_of_tensors_that_are_no_functions() -> None:
    with pytest.raises(AttributeError, match=r"no 'grad'; use x.values.grad"):
        SQUARE.grad  # noqa: B018
