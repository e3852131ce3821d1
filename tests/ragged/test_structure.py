"""Selecting, cutting, joining, moving, pickling and collating batches."""

import copy
import dataclasses
import pickle
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, default_collate

from tests.strategies import LENGTHS, SHAPES, raggeds
from throughtime import Ragged, collate
from throughtime.errors import InputTypeError, ShapeError


def lists(x: Ragged) -> list[Any]:
    return [part.tolist() for part in x]


@given(raggeds(), st.data())
def test_selecting_is_selecting_from_the_list(x: Ragged, data: st.DataObject) -> None:
    expected = lists(x)
    bound = st.integers(-7, 7)
    cut = slice(data.draw(bound), data.draw(bound), data.draw(st.sampled_from([None, 1, 2, -1, -3])))
    assert lists(x[cut]) == expected[cut]
    if len(x):
        index = data.draw(st.lists(st.integers(-len(x), len(x) - 1), max_size=8))
        assert (
            lists(x[index])
            == lists(x[torch.tensor(index, dtype=torch.int64)])
            == [expected[i] for i in index]
        )
        one = data.draw(st.integers(-len(x), len(x) - 1))
        assert x[one].tolist() == x[torch.tensor(one)].tolist() == expected[one]
    mask = data.draw(st.lists(st.booleans(), min_size=len(x), max_size=len(x)))
    assert lists(x[torch.tensor(mask, dtype=torch.bool)]) == [
        p for p, kept in zip(expected, mask, strict=True) if kept
    ]


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        (2, IndexError, "sequence 2 is out of range for a batch of 2 sequences"),
        (-3, IndexError, "sequence -3"),
        ([0, 2], IndexError, "sequence 2"),
        ([True], ShapeError, "1 entries for 2"),
        (torch.zeros(1, 1).long(), InputTypeError, "select sequences with"),
        (1.5, InputTypeError, "got float"),
        ("a", InputTypeError, "got str"),
        (True, InputTypeError, "single bool"),
    ],
)
def test_wrong_selections(index: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Ragged.from_lengths(torch.zeros(3), [1, 2])[index]


@given(raggeds(), st.data())
def test_split_and_cat_are_inverse(x: Ragged, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(x)))
    parts = x.split([first, 0, len(x) - first])
    assert [len(part) for part in parts] == [first, 0, len(x) - first]
    joined = Ragged.cat(parts)
    assert lists(joined) == lists(x)
    assert joined.shape == x.shape
    size = data.draw(st.integers(1, 4))
    assert [len(part) for part in x.split(size)] == [min(size, len(x) - i) for i in range(0, len(x), size)]


@given(raggeds(), st.data())
def test_split_time_and_cat_time_are_inverse(x: Ragged, data: st.DataObject) -> None:
    steps: Any = data.draw(
        st.one_of(st.integers(0, 8), st.lists(st.integers(0, 8), min_size=len(x), max_size=len(x)))
    )
    head, tail = x.split_time(steps)
    each = [steps] * len(x) if isinstance(steps, int) else steps
    assert lists(head) == [part[:n] for part, n in zip(lists(x), each, strict=True)]
    assert lists(tail) == [part[n:] for part, n in zip(lists(x), each, strict=True)]
    assert lists(Ragged.cat_time([head, tail])) == lists(x)
    assert lists(Ragged.cat_time([x, head, tail])) == [part * 2 for part in lists(x)]


@given(raggeds())
def test_derived_views(x: Ragged) -> None:
    assert lists(x.reverse()) == [part[::-1] for part in lists(x)]
    assert lists(x.reverse().reverse()) == lists(x)
    lengths = x.lengths.tolist()
    assert x.sequence_ids().tolist() == [b for b, n in enumerate(lengths) for _ in range(n)]
    assert x.positions().tolist() == [t for n in lengths for t in range(n)]
    assert x.longest == max(lengths, default=0)
    assert x.mask().tolist() == [[t < n for t in range(x.longest)] for n in lengths]
    rows = torch.arange(float(len(x)))
    assert lists(x.spread(rows)) == [[float(b)] * n for b, n in enumerate(lengths)]


def test_wrong_combinations() -> None:
    x = Ragged.from_lengths(torch.zeros(3), [1, 2])
    for call, error, words in (
        (lambda: Ragged.cat([]), ShapeError, "at least one"),
        (lambda: Ragged.cat([x, torch.zeros(1)]), InputTypeError, "batch 1 is a Tensor"),
        (lambda: Ragged.cat([x, x.double()]), InputTypeError, "batch 1 is torch.float64"),
        (lambda: Ragged.cat([x, Ragged.empty(2)]), ShapeError, r"batch 1 has feature shape \(2,\)"),
        (lambda: Ragged.cat_time([x, x[:1]]), ShapeError, "2 in batch 0 and 1 in batch 1"),
        (lambda: x.split([1]), ShapeError, "add up to 1, but there are 2"),
        (lambda: x.split(0), ShapeError, "at least 1"),
        (lambda: x.split_time([1]), ShapeError, "each of 2 sequences, got 1 lengths"),
        (lambda: x.split_time(-1), ShapeError, "not be negative"),
        (lambda: x.with_values(torch.zeros(2)), ShapeError, r"3 tokens along dim 0, got \(2,\)"),
        (lambda: x.spread(torch.zeros(3)), ShapeError, "each of 2 sequences"),
    ):
        with pytest.raises(error, match=words):
            call()


def test_it_is_frozen() -> None:
    x = Ragged.from_lengths(torch.zeros(3), [1, 2])
    with pytest.raises(dataclasses.FrozenInstanceError):
        x.values = torch.ones(3)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del x.offsets
    assert hash(x) == hash(x)


@given(raggeds())
def test_it_is_a_pytree(x: Ragged) -> None:
    leaves, spec = pytree.tree_flatten(x)
    assert [leaf is kept for leaf, kept in zip(leaves, (x.values, x.offsets), strict=True)] == [True, True]
    assert lists(pytree.tree_unflatten(leaves, spec)) == lists(x)
    doubled = pytree.tree_map(lambda leaf: leaf * 2 if leaf.is_floating_point() else leaf, {"a": [x]})
    assert lists(doubled["a"][0]) == lists(2 * x)
    assert pytree.tree_unflatten(["anything", "at all"], spec).values == "anything"


@given(raggeds())
def test_copies_and_pickles(x: Ragged) -> None:
    x.layout.longest  # noqa: B018 - a cache that must not matter
    for again in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), x.clone()):
        assert lists(again) == lists(x)
        assert again.lengths.tolist() == x.lengths.tolist()
        assert again.values.data_ptr() != x.values.data_ptr() or not x.values.numel()


@given(raggeds())
def test_dtypes_and_devices(x: Ragged) -> None:
    assert x.float().dtype == torch.float32
    assert x.double().values is x.values
    for moved in (x.to("meta"), x.to(torch.device("meta"), torch.float16)):
        assert moved.device.type == "meta" == moved.offsets.device.type
        assert moved.offsets.dtype == torch.int64
        # What is known on the host stays known: no sync, and no values to ask for on meta.
        assert moved.lengths.tolist() == x.lengths.tolist()
        assert torch.tanh(moved.to(torch.float64)).shape == x.shape
    assert x.to(torch.int64).lengths.tolist() == x.lengths.tolist()
    assert x.detach().layout is x.layout
    assert torch.relu(x).layout is x.layout


def test_pinning_goes_through_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        x = Ragged.from_lengths(torch.zeros(3), [1, 2]).pin_memory()
        assert x.is_pinned()
        assert x.offsets.is_pinned()
        return
    # Without an accelerator torch cannot pin; what matters is that both parts are asked to.
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    from torch.utils.data._utils.pin_memory import pin_memory

    x = Ragged.from_lengths(torch.zeros(3), [1, 2])
    again = pin_memory({"x": x})["x"]
    assert isinstance(again, Ragged)
    assert [id(tensor) for tensor in pinned] == [id(x.values), id(x.offsets)]


Pair = namedtuple("Pair", ["tokens", "label"])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), SHAPES)
def test_collation_follows_its_table(lengths: list[int], shape: tuple[int, ...]) -> None:
    samples = [
        {
            "tensor": torch.full((n, *shape), float(n)),
            "array": np.arange(n),
            "ragged": Ragged.from_lengths(torch.arange(2 * n), [n, n]),
            "number": n,
            "float": n / 2,
            "bool": n > 2,
            "scalar": torch.tensor(n),
            "numpy scalar": np.float32(n),
            "text": str(n),
            "none": None,
            "pair": Pair(torch.arange(n), n),
            "list": [n, (torch.arange(n),)],
        }
        for n in lengths
    ]
    found = collate(samples)
    assert found["tensor"].lengths.tolist() == lengths
    assert found["tensor"].shape == (sum(lengths), *shape)
    assert found["array"].lengths.tolist() == lengths
    assert found["ragged"].lengths.tolist() == [n for n in lengths for _ in range(2)]
    for key in ("number", "scalar", "numpy scalar"):
        assert found[key].tolist() == lengths
    assert found["float"].tolist() == [n / 2 for n in lengths]
    assert found["bool"].tolist() == [n > 2 for n in lengths]
    assert found["text"] == [str(n) for n in lengths]
    assert found["none"] == [None] * len(lengths)
    assert isinstance(found["pair"], Pair)
    assert found["pair"].tokens.lengths.tolist() == lengths
    assert found["list"][1][0].lengths.tolist() == lengths


@pytest.mark.parametrize(
    ("samples", "error", "words"),
    [
        ([], ShapeError, "no samples"),
        ([1, "a"], ShapeError, r"sample 1 \(str\).*sample 0 \(int\)"),
        ([(1, 2), (1,)], ShapeError, "tuple of 1"),
        ([{"a": 1}, {"b": 1}], ShapeError, "keys"),
        ([object()], InputTypeError, "does not support object"),
        ([torch.zeros(1), torch.zeros(())], ShapeError, "single number"),
    ],
)
def test_collation_refuses(samples: list[Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        collate(samples)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_loader(workers: int) -> None:
    samples = [(torch.arange(n), n) for n in (3, 0, 2, 5, 1)]
    loader: Any = DataLoader(samples, batch_size=2, collate_fn=collate, num_workers=workers)  # type: ignore[arg-type]
    batches = list(loader)
    assert [lists(tokens) for tokens, _ in batches] == [[[0, 1, 2], []], [[0, 1], [0, 1, 2, 3, 4]], [[0]]]
    assert [labels.tolist() for _, labels in batches] == [[3, 0], [2, 5], [1]]


def test_torchs_own_collation_joins_batches() -> None:
    x = Ragged.from_lengths(torch.arange(3), [1, 2])
    assert lists(default_collate([{"x": x}, {"x": x}])["x"]) == [[0], [1, 2], [0], [1, 2]]


@given(LENGTHS)
def test_its_repr_says_what_it_is(lengths: list[int]) -> None:
    shown = repr(Ragged.from_lengths(torch.zeros(sum(lengths), 2), lengths))
    assert shown == f"Ragged(lengths={lengths}, features=(2,), dtype=float32)"


def test_a_long_repr_is_cut() -> None:
    assert "… 20 sequences" in repr(Ragged.from_lengths(torch.zeros(20), [1] * 20))
