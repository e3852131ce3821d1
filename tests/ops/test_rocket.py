"""MiniRocket's features: native and reference against plain loops, the same bits in any batch, and torch's rules."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from throughtime import Ragged, _native
from throughtime.errors import ShapeError, UnsupportedError
from throughtime.ops.rocket import layer
from throughtime.ops.rocket.kernels import KERNELS, Kernels
from throughtime.ops.rocket.layer import rocket
from throughtime.ops.rocket.reference import rocket_reference

from .rocket_problems import features_by_loops, kernels_of

LENGTHS = [20, 0, 1, 8, 9, 37, 2, 150]
DILATIONS = [[1, 1, 2, 4], [1, 3, 3, 18]]


def batch(channels: int = 2, dtype: torch.dtype = torch.float32) -> Ragged:
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(sum(LENGTHS), channels, generator=generator)
    return Ragged.from_lengths(values.to(dtype), LENGTHS)


def kernels(channels: int = 2) -> Kernels:
    torch.manual_seed(3)
    return kernels_of(DILATIONS, channels, random.Random(3))


def by_loops(x: Ragged, of: Kernels) -> Tensor:
    features = [features_by_loops(series.numpy(), of) for series in x.to_list()]
    return torch.from_numpy(np.stack(features)).flatten(1)


def test_the_84_kernels_of_the_paper() -> None:
    """Nine weights of −1 and 2 whose sum is 0: 84 ways."""
    weights = {tuple(2 if tap in taps else -1 for tap in range(9)) for taps in KERNELS}
    assert len(weights) == 84
    assert {sum(weight) for weight in weights} == {0}


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_are_those_of_plain_loops(channels: int, dtype: torch.dtype) -> None:
    x, of = batch(channels, dtype), kernels(channels)
    found = rocket(x.values, x.layout, of, all_statistics=True)
    assert found.dtype == dtype
    torch.testing.assert_close(found, by_loops(x, of).to(dtype), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("all_statistics", [True, False])
def test_the_reference_and_the_kernel_agree(all_statistics: bool) -> None:
    x, of = batch(), kernels()
    found = rocket(x.values, x.layout, of, all_statistics=all_statistics)
    reference = rocket_reference(x.values, x.layout, of, all_statistics=all_statistics)
    torch.testing.assert_close(found, reference, rtol=1e-5, atol=1e-6)
    if not all_statistics:
        assert torch.equal(found, reference)


def test_an_empty_series_has_the_numbers_that_are_documented() -> None:
    of = Kernels(
        torch.ones(1, 1, dtype=torch.int64), torch.full((1, 84), -100.0), torch.zeros(1, 84, 1).long()
    )
    x = Ragged.from_lengths(torch.ones(1, 1), [0, 1])
    empty, one_step = rocket(x.values, x.layout, of, all_statistics=True).view(2, 4, 84)
    assert torch.equal(empty, torch.tensor([0.0, 0.0, -1.0, 0.0])[:, None].expand(4, 84))
    assert torch.equal(one_step[[0, 2, 3]], torch.tensor([1.0, 0.0, 1.0])[:, None].expand(3, 84))


def test_all_outputs_count_where_less_than_half_are_without_zeros() -> None:
    """With dilation 2, 16 outputs of 32 steps and 15 of 31 read no zero: these 16 count, and all 31."""
    of = Kernels(torch.full((1, 1), 2), torch.full((1, 84), 0.0), torch.zeros(1, 84, 1).long())
    for steps, outputs in ((32, 16), (31, 31), (16, 16)):
        x = Ragged.from_lengths(torch.randn(steps, 1), [steps])
        counts = rocket(x.values, x.layout, of)[0, 1::2] * outputs
        torch.testing.assert_close(counts, counts.round(), atol=1e-4, rtol=0)
        assert len(counts.round().unique()) > 5


@pytest.mark.parametrize("all_statistics", [True, False])
def test_the_same_bits_alone_in_any_batch_and_with_any_threads(all_statistics: bool) -> None:
    x, of, threads = batch(), kernels(), torch.get_num_threads()
    many = x[[i % len(LENGTHS) for i in range(200)]]
    alone = torch.cat([_features(x[[b]], of, all_statistics) for b in range(len(LENGTHS))])
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            expected = alone[[i % len(LENGTHS) for i in range(200)]]
            assert torch.equal(_features(many, of, all_statistics), expected)
    finally:
        torch.set_num_threads(threads)


def _features(x: Ragged, of: Kernels, all_statistics: bool) -> Tensor:
    return rocket(x.values, x.layout, of, all_statistics=all_statistics)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_stay_in_their_series(value: float) -> None:
    x, of = batch(), kernels()
    values = x.values.clone()
    values[25, 1] = value
    found = rocket(values, x.layout, of)
    assert torch.equal(found, rocket_reference(values, x.layout, of, all_statistics=False))
    same = (found == rocket(x.values, x.layout, of)).all(1)
    assert same.tolist() == [n != 3 for n in range(len(LENGTHS))]


def test_an_infinite_bias_is_exceeded_by_no_output() -> None:
    x, of = batch(), kernels()
    none = rocket(x.values, x.layout, of._replace(biases=torch.full_like(of.biases, torch.inf)))
    assert not none.any()
    every = rocket(x.values, x.layout, of._replace(biases=torch.full_like(of.biases, -torch.inf)))
    assert set(every.unique().tolist()) == {0.0, 1.0}


def test_values_in_another_order_of_memory() -> None:
    x, of = batch(), kernels()
    turned = x.values.t().contiguous().t()
    assert torch.equal(rocket(turned, x.layout, of), rocket(x.values, x.layout, of))


def test_half_precision_is_computed_in_float32() -> None:
    x, of = batch(dtype=torch.bfloat16), kernels()
    found = rocket(x.values, x.layout, of)
    assert torch.equal(found, rocket(x.values.float(), x.layout, of).bfloat16())


def test_the_gradient_of_proportions_is_zero() -> None:
    x, of = batch(), kernels()
    values = x.values.clone().requires_grad_()
    found = rocket(values, x.layout, of)
    assert torch.equal(found, rocket(x.values, x.layout, of))
    (gradient,) = torch.autograd.grad(found.sum(), values)
    assert not gradient.any()


def test_the_gradient_of_means_is_refused() -> None:
    x, of = batch(), kernels()
    with pytest.raises(UnsupportedError, match="mean of positive values has no gradient here; detach"):
        rocket(x.values.requires_grad_(), x.layout, of, all_statistics=True)


def test_the_native_kernel_runs_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError("the reference ran")

    monkeypatch.setattr(layer, "rocket_reference", refuse)
    x, of = batch(), kernels()
    assert len(rocket(x.values, x.layout, of)) == len(LENGTHS)


REFUSED: dict[str, tuple[dict[str, Tensor], str]] = {
    "no channel": ({"x": torch.zeros(5, 0)}, "at least one channel"),
    "dilation of 0": ({"dilations": torch.tensor([[0]])}, "begin at 1 and do not decrease, got 0 after 1"),
    "falling": ({"dilations": torch.tensor([[2, 1]]), "biases": torch.zeros(1, 168)}, "got 1 after 2"),
    "three rows": ({"dilations": torch.ones(3, 1).long()}, r"\(R, S\) with R = 1 or 2, got \(3, 1\)"),
    "biases": ({"biases": torch.zeros(1, 85)}, r"are float32 \(R, 84 S\).*got \(1, 85\)"),
    "channels": ({"channels": torch.zeros(1, 83, 1).long()}, "for G = 1 different dilations"),
    "a channel": ({"channels": torch.full((1, 84, 1), 2)}, "reads channel 2 of 2; channels are 0 to 1"),
    "a first of none": ({"channels": torch.full((1, 84, 1), -1)}, "reads channel -1 of 2"),
    "offsets": ({"offsets": torch.tensor([0, 4])}, "do not match its 5 tokens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_native_code_refuses_sizes_and_numbers_that_do_not_fit(case: str) -> None:
    changed, message = REFUSED[case]
    tensors = {
        "x": torch.zeros(5, 2),
        "offsets": torch.tensor([0, 5]),
        "dilations": torch.tensor([[1]]),
        "biases": torch.zeros(1, 84),
        "channels": torch.zeros(1, 84, 1, dtype=torch.int64),
    }
    with pytest.raises(ShapeError, match=message):
        _native.rocket(**{**tensors, **changed}, all_statistics=False, threads=1, in_order=True)


# ------------------------------------------------------------------- compilers, transforms, modes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_operator_keeps_torchs_rules(dtype: torch.dtype) -> None:
    x, of = batch(dtype=dtype), kernels()
    arguments = (x.values, x.offsets, *of, True)
    utils = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.throughtime.rocket.default, arguments, test_utils=utils)
    expected = rocket(x.values, x.layout, of, all_statistics=True)
    assert torch.equal(torch.ops.throughtime.rocket(*arguments), expected)


def test_compiled_as_one_graph() -> None:
    torch._dynamo.reset()
    of = kernels()
    compiled = torch.compile(lambda x: rocket(x.values, x.layout, of), backend="eager", fullgraph=True)
    x = batch()
    assert torch.equal(compiled(x), rocket(x.values, x.layout, of))


def test_on_the_meta_device() -> None:
    x, of = batch(), kernels()
    y = rocket(x.values.to("meta"), x.layout, Kernels(*(part.to("meta") for part in of)))
    assert y.is_meta
    assert y.shape == (len(LENGTHS), of.features)
