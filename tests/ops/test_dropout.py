"""Dropout by a counter-based generator: known answers, every instruction set, statistics, derivatives, paths."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import throughtime as tt
from tests.ops.dropout_ladder import words
from throughtime import _native
from throughtime.errors import ShapeError
from throughtime.ops.dropout import layer
from throughtime.ops.dropout.layer import dropout
from throughtime.ops.dropout.reference import (
    dropout_reference,
    philox_reference,
    threshold,
    words_reference,
)

# Counter, key and words of philox4x32 with 10 rounds, from kat_vectors of the authors' library Random123.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_generator_gives_the_published_words(counter: str, key: str, expected: str) -> None:
    parts = [torch.tensor(int(word, 16)) for word in f"{counter} {key}".split()]
    found = philox_reference(tuple(parts[:4]), tuple(parts[4:]))  # type: ignore[arg-type]
    assert " ".join(f"{int(word):08x}" for word in found) == expected


@pytest.mark.parametrize("first", [0, 5, 2**36 - 70, 2**40])
def test_the_reference_numbers_words_as_numpy_does(first: int) -> None:
    seed = 0x0123456789ABCDEF
    found = words_reference(torch.tensor(seed), first, 300)
    assert np.array_equal(found.numpy(), words(seed, first, 300).astype(np.int64))


def drawn(x: Tensor, p: float, seed: int = 7) -> Tensor:
    torch.manual_seed(seed)
    return dropout(x, p)


def expected(x: Tensor, p: float, seed: int = 7) -> Tensor:
    """What the reference makes of the seed that a call draws."""
    torch.manual_seed(seed)
    return dropout_reference(x, torch.randint(2**63 - 1, ()), p)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (65, 3), (2, 3, 4, 5), (2, 1, 3, 2, 4), (0, 3)])
def test_values_and_gradients_are_the_references(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    ours, theirs = drawn(x, 0.3), expected(x, 0.3)
    assert torch.equal(ours, theirs)
    dy = torch.randn_like(x)
    assert torch.equal(*(torch.autograd.grad(y, x, dy)[0] for y in (ours, theirs)))


def test_positions_are_counted_in_row_major_order() -> None:
    x = torch.randn(40, 30)
    assert torch.equal(drawn(x.t(), 0.4), drawn(x.t().contiguous(), 0.4))
    assert torch.equal(drawn(x[:20], 0.4), drawn(x, 0.4)[:20])  # and depend on no later value


def test_bits_depend_on_no_number_of_threads() -> None:
    x, threads = torch.randn(3000, 65), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(drawn(x, 0.1))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_one_seed_of_torchs_generator_for_each_call() -> None:
    x = torch.ones(200)
    assert torch.equal(drawn(x, 0.5), drawn(x, 0.5))
    first, second = drawn(x, 0.5), dropout(x, 0.5)
    assert not torch.equal(first, second)
    after = torch.rand(())
    torch.manual_seed(7)
    torch.randint(2**63 - 1, (2,))
    assert torch.equal(after, torch.rand(()))


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_as_many_are_kept_as_the_probability_says(p: float) -> None:
    count = 2**20
    y = drawn(torch.ones(count), p)
    kept = y != 0
    deviation = math.sqrt(p * (1 - p) / count)
    assert float(kept.double().mean()) == pytest.approx(1 - p, abs=4 * deviation)
    torch.testing.assert_close(y[kept].unique(), torch.tensor([1 / (1 - p)]))


@pytest.mark.parametrize("lag", [1, 2, 15, 16, 17, 63, 64, 1024])
def test_positions_are_independent(lag: int) -> None:
    kept = (drawn(torch.ones(2**20), 0.5) != 0).double() * 2 - 1
    assert abs(float((kept[lag:] * kept[:-lag]).mean())) < 4 / math.sqrt(len(kept) - lag)


def test_seeds_that_follow_each_other_give_independent_masks() -> None:
    x = torch.ones(2**18)
    masks = [dropout_reference(x, torch.tensor(seed), 0.5) - 1 for seed in (0, 1, 2, 2**32, 2**32 + 1)]
    products = torch.stack(masks) @ torch.stack(masks).t() / len(x)
    assert float((products - torch.eye(len(masks))).abs().max()) < 4 / math.sqrt(len(x))


def test_words_from_the_threshold_on_are_kept() -> None:
    assert [threshold(p) for p in (2.0**-32, 0.25, 0.5, 1 - 2.0**-40)] == [1, 2**30, 2**31, 2**32 - 1]


def test_derivatives_of_first_and_second_order() -> None:
    x = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: drawn(x, 0.4), (x,), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: drawn(x.square(), 0.4), (x,))


def test_nothing_but_the_seed_is_saved_for_the_gradient() -> None:
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        dropout(torch.ones(50, requires_grad=True), 0.5)
    assert not saved


def test_dropped_values_that_are_not_finite_are_zeros() -> None:
    x = torch.full((200,), math.nan)
    y = drawn(x, 0.5)
    assert torch.equal(y.isnan(), drawn(torch.ones(200), 0.5) != 0)
    assert torch.equal(y.nan_to_num(1), expected(x, 0.5).nan_to_num(1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    x = torch.randn(500).to(dtype).requires_grad_()
    y = drawn(x, 0.3)
    assert y.dtype == dtype
    assert torch.equal(y, drawn(x.double(), 0.3).to(dtype))
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(dx, drawn(torch.ones_like(x), 0.3))


@pytest.mark.parametrize(
    ("x", "p", "training"),
    [
        (torch.ones(5), 0.0, True),
        (torch.ones(5), 1.0, True),
        (torch.ones(5), 0.5, False),
    ],
)
def test_the_rest_is_torchs(x: Tensor, p: float, training: bool) -> None:
    torch.manual_seed(7)
    theirs = F.dropout(x, p, training)
    torch.manual_seed(7)
    assert torch.equal(dropout(x, p, training), theirs)


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_probabilities_beyond_their_range_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        dropout(torch.ones(3), p)


def test_native_code_refuses_positions_below_zero() -> None:
    with pytest.raises(ShapeError, match="begin at 0, got -1"):
        _native.dropout(torch.ones(3), seed=1, threshold=1, scale=1.0, first=-1, threads=1, in_order=False)


@pytest.fixture
def native_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError("torch's dropout or the reference ran")

    monkeypatch.setattr(layer, "dropout_reference", refuse)
    monkeypatch.setattr(F, "dropout", refuse)


@pytest.mark.usefixtures("native_alone")
@pytest.mark.parametrize(
    "drop",
    [tt.nn.Dropout(0.5), tt.nn.LockedDropout(0.5), torch.nn.Dropout(0.5)],
    ids=lambda d: type(d).__module__,
)
def test_layers_on_ragged_batches_are_native(drop: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    if type(drop) is torch.nn.Dropout:
        monkeypatch.undo()  # it calls torch's function, whose implementation for a Ragged is ours
        monkeypatch.setattr(torch, "dropout", None)
    x = tt.Ragged.from_lengths(torch.ones(60, 4, requires_grad=True), [20, 40])
    y = drop(x).values
    assert sorted(set(y.flatten().tolist())) == [0.0, 2.0]
    y.sum().backward()


# ------------------------------------------------------------------- compilers, transforms, modes


class _Names(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func._schema.name)
        return func(*args, **(kwargs or {}))


def test_a_dispatch_mode_meets_the_operator() -> None:
    x = torch.randn(30, requires_grad=True)
    with _Names() as mode:
        y = drawn(x, 0.5)
        (dx,) = torch.autograd.grad(y.sum(), x)
    assert mode.names.count("throughtime::dropout") == 2
    assert torch.equal(y, expected(x, 0.5))
    assert torch.equal(dx != 0, y != 0)


def test_the_operator_keeps_torchs_rules() -> None:
    x = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(torch.ops.throughtime.dropout.default, (x, torch.tensor(3), 0.25))
    call = torch.ops.throughtime.dropout
    assert torch.autograd.gradcheck(lambda x: call(x, torch.tensor(3), 0.25), (x,))
    assert torch.autograd.gradgradcheck(lambda x: call(x.square(), torch.tensor(3), 0.25), (x,))


def test_a_compiled_graph_draws_another_mask_at_each_call() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(dropout, backend="eager", fullgraph=True)
    x = torch.randn(300, requires_grad=True)
    torch.manual_seed(7)
    first, second = compiled(x, 0.5), compiled(x, 0.5)
    assert torch.equal(first, expected(x, 0.5))
    assert not torch.equal(first != 0, second != 0)
    (dx,) = torch.autograd.grad(second.sum(), x)
    assert torch.equal(dx != 0, second != 0)


@pytest.mark.parametrize("drop", [tt.nn.Dropout(0.5), torch.nn.Dropout(0.5), tt.nn.LockedDropout(0.5)])
def test_layers_on_batches_are_compiled_as_one_graph(drop: torch.nn.Module) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(drop, backend="aot_eager", fullgraph=True)
    x = torch.randn(40, 6, requires_grad=True)
    batch = tt.Ragged.from_lengths(x, [30, 10])
    torch.manual_seed(7)
    y = compiled(batch).values
    torch.manual_seed(7)
    assert torch.equal(y, drop(batch).values)
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(dx != 0, y != 0)


def test_an_exported_program_draws_another_mask_at_each_call() -> None:
    program = torch.export.export(tt.nn.Dropout(0.5), (torch.ones(200),)).module()
    masks = [program(torch.ones(200)) for _ in range(2)]
    assert not torch.equal(*masks)
    assert all(sorted(set(mask.tolist())) == [0.0, 2.0] for mask in masks)


def test_vmap_draws_as_its_randomness_says() -> None:
    x = torch.ones(3, 200, dtype=torch.float64)

    def call(row: Tensor) -> Tensor:
        return dropout(row, 0.5)

    same = torch.vmap(call, randomness="same")(x)
    assert torch.equal(same[0], same[1])
    different = torch.vmap(call, randomness="different")(x)
    assert not torch.equal(different[0], different[1])
    assert sorted(set(different.flatten().tolist())) == [0.0, 2.0]
    with pytest.raises(RuntimeError, match="random"):
        torch.vmap(call)(x)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_transforms_run_the_reference() -> None:
    x, tangent = torch.randn(2, 40, dtype=torch.float64)
    y, dy = torch.func.jvp(lambda x: drawn(x, 0.5), (x,), (tangent,))
    assert torch.equal(y, drawn(x, 0.5))
    assert torch.equal(dy, drawn(tangent, 0.5))
    gradient = torch.func.grad(lambda x: drawn(x, 0.5).sum())(x)
    assert torch.equal(gradient, drawn(torch.ones_like(x), 0.5))


def test_on_the_meta_device() -> None:
    x = torch.empty(4, 3, device="meta", requires_grad=True)
    y = dropout(x, 0.5)
    assert y.is_meta
    assert torch.autograd.grad(y.sum(), x)[0].shape == (4, 3)
