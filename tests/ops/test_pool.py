"""Native pooling against torch, with each instruction set: derivatives, extreme values, dispatch paths."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.ops.pool_ladder import WHOLE, Pooling, layout_of, max_pooling, mean_pooling
from throughtime.errors import ShapeError
from throughtime.ops.pool import autograd, layer
from throughtime.ops.window_layouts import windows_laid_out
from throughtime.ops.windows import Windows
from throughtime.ragged import Layout

POOLINGS = (
    *WHOLE,
    max_pooling(Windows(2, 2), ceil=True),
    max_pooling(Windows(3, 2, 2, 1, 1), ceil=False),
    mean_pooling(Windows(2, 2), ceil=True, count_padding=True),
    mean_pooling(Windows(3, 1, 1, 1, 1), ceil=False, count_padding=False),
)
LENGTHS = [4, 0, 1, 6]


def named(pooling: Pooling) -> str:
    return pooling.name


@pytest.fixture
def native_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the compositions in torch would run instead."""

    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError("the plain composition ran")

    for module, names in (
        (layer, ("max_over_time_reference", "mean_over_time_reference", "sum_over_time_reference")),
        (layer, ("max_over_windows_reference", "mean_over_windows_reference")),
        (autograd, ("max_gradient_reference", "mean_gradient_reference")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, refuse)


@pytest.mark.usefixtures("native_alone")
@pytest.mark.parametrize("pooling", POOLINGS, ids=named)
def test_derivatives_of_first_and_second_order(pooling: Pooling) -> None:
    torch.manual_seed(2)
    x = torch.randn(11, 3, dtype=torch.float64, requires_grad=True)

    def call(values: Tensor) -> Tensor:
        y, _ = pooling.native(values.square(), layout_of(LENGTHS))
        return torch.where(y.isinf(), 0, y).square()

    assert torch.autograd.gradcheck(call, x)
    assert torch.autograd.gradgradcheck(call, x)


@pytest.mark.usefixtures("native_alone")
@pytest.mark.parametrize("pooling", POOLINGS, ids=named)
def test_tokens_of_any_shape_and_strides(pooling: Pooling) -> None:
    layout = layout_of(LENGTHS)
    flat = torch.randn(11, 6, dtype=torch.float64, requires_grad=True)
    expected, _ = pooling.native(flat, layout)
    (wanted,) = torch.autograd.grad(expected.sum(), flat)
    wide = flat.detach().t().contiguous().t().requires_grad_()
    assert not wide.is_contiguous()
    y, _ = pooling.native(wide.unflatten(1, (2, 3)), layout)
    assert torch.equal(y, expected.unflatten(1, (2, 3)))
    assert torch.equal(torch.autograd.grad(y.sum(), wide)[0], wanted)
    single, _ = pooling.native(flat[:, 4], layout)
    assert torch.equal(single, expected[:, 4])


@pytest.mark.usefixtures("native_alone")
@pytest.mark.parametrize("pooling", POOLINGS, ids=named)
def test_nothing_to_pool(pooling: Pooling) -> None:
    for lengths, shape in (([], (0, 3)), ([0, 0], (0, 3)), ([3, 2], (5, 0)), ([0], (0, 2, 0))):
        x = torch.ones(shape, requires_grad=True)
        y, out = pooling.native(x, layout_of(lengths))
        assert y.shape == (out.total, *shape[1:])
        assert not y.any()
        assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.zeros(shape))
    with torch.inference_mode():
        x = torch.arange(3.0)[:, None]
        assert pooling.native(x, layout_of([3]))[0].isfinite().any()


@pytest.mark.usefixtures("native_alone")
@pytest.mark.parametrize("pooling", [WHOLE[0], max_pooling(Windows(3, 3), ceil=False)], ids=named)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_nan_is_the_largest(pooling: Pooling, dtype: torch.dtype) -> None:
    nan, inf = torch.nan, torch.inf
    columns = torch.tensor(
        [[nan, 1, 2], [1, nan, nan], [inf, 2, nan], [3, 3, 1], [-inf, -inf, -inf], [-inf, -inf, nan]],
        dtype=dtype,
    )
    x = torch.cat([columns.T.repeat(1, 7), columns.T.repeat(1, 7).flip(1)]).requires_grad_()
    y, _ = pooling.native(x, layout_of([3, 3]))
    row = torch.tensor([nan, nan, nan, 3, -inf, nan], dtype=dtype).repeat(7)
    torch.testing.assert_close(y, torch.stack([row, row.flip(0)]), equal_nan=True, rtol=0, atol=0)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    first = torch.tensor([0, 1, 2, 0, 0, 2]).repeat(7)
    assert torch.equal(dx[:3].argmax(0), first)
    assert torch.equal(dx[3:].argmax(0), first.flip(0))
    assert dx.sum() == 2 * 42


def test_windows_are_counted_as_torch_counts_them() -> None:
    lengths = list(range(14))
    for size, stride, dilation, ceil in itertools.product((1, 2, 3, 5), (1, 2, 3, 7), (1, 3), (False, True)):
        for padding in range(size // 2 + 1):
            windows = Windows(size, stride, dilation, padding, padding)
            out = windows_laid_out(layout_of(lengths), windows, ceil_mode=ceil)
            counted = windows.output_lengths(torch.tensor(lengths), ceil_mode=ceil)
            assert torch.equal(out.lengths, counted), windows
            for length, count in zip(lengths, counted.tolist(), strict=True):
                if count:
                    y = F.max_pool1d(torch.ones(1, 1, length), size, stride, padding, dilation, ceil)
                    assert y.shape[2] == count, (windows, ceil, length)


@pytest.mark.usefixtures("native_alone")
def test_a_long_sum_rounds_no_worse_than_torchs() -> None:
    torch.manual_seed(0)
    x = torch.rand(200_000, 2)
    exact = x.double().mean(0)
    found = layer.mean_over_time(x, layout_of([len(x)]))[0]
    errors = [(mean.double() - exact).abs().max() for mean in (found, x.mean(0))]
    assert errors[0] <= 2 * errors[1] + torch.finfo(torch.float32).eps


@pytest.mark.usefixtures("native_alone")
@pytest.mark.parametrize("pooling", POOLINGS, ids=named)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(pooling: Pooling, dtype: torch.dtype) -> None:
    x = torch.randn(11, 5).to(dtype).requires_grad_()
    wide = x.detach().float().requires_grad_()
    y, expected = (pooling.native(values, layout_of(LENGTHS))[0] for values in (x, wide))
    assert torch.equal(y, expected.to(dtype))
    seed = torch.randn_like(y)
    found = torch.autograd.grad(y, x, seed)[0]
    assert torch.equal(found, torch.autograd.grad(expected, wide, seed.float())[0].to(dtype))


@pytest.mark.parametrize("kind", ["max", "sum"])
def test_integers_are_pooled_over_whole_sequences(kind: str) -> None:
    x = torch.tensor([[3], [5], [4]])
    pooled = {"max": layer.max_over_time, "sum": layer.sum_over_time}[kind](x, layout_of([2, 0, 1]))
    assert pooled.flatten().tolist() == {"max": [5, 0, 4], "sum": [8, 0, 4]}[kind]


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, at its first import
@pytest.mark.parametrize("pooling", POOLINGS, ids=named)
def test_transforms_and_many_gradients_at_once(pooling: Pooling) -> None:
    layout = layout_of(LENGTHS)
    x = torch.randn(11, 2, dtype=torch.float64)

    def call(values: Tensor) -> Tensor:
        y = pooling.native(values, layout)[0]
        return torch.where(y.isinf(), 0, y)

    one_by_one = torch.autograd.functional.jacobian(call, x)
    at_once = torch.autograd.functional.jacobian(call, x, vectorize=True)
    torch.testing.assert_close(at_once, one_by_one)
    torch.testing.assert_close(torch.func.jacrev(call)(x), one_by_one)
    torch.testing.assert_close(torch.func.jacfwd(call)(x), one_by_one)
    many = torch.randn(3, 11, 2, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(call)(many), torch.stack([call(one) for one in many]))


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # dynamo's, where a graph breaks
@pytest.mark.parametrize("pooling", POOLINGS[::3], ids=named)  # tests/nn compiles the layers of all
def test_compiled_it_gives_the_same(pooling: Pooling) -> None:
    layout = layout_of(LENGTHS)
    x = torch.randn(11, 2, dtype=torch.float64, requires_grad=True)
    out = pooling.native(x, layout)[1]

    def call(values: Tensor) -> Tensor:
        return pooling.plain(values, layout, out)

    y, expected = pooling.native(x, layout)[0], call(x)
    torch.testing.assert_close(y, expected)
    torch._dynamo.reset()
    compiled: Any = torch.compile(lambda values: pooling.native(values, layout)[0], backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)
    seed = torch.randn_like(y)
    torch.testing.assert_close(
        torch.autograd.grad(compiled(x), x, seed), torch.autograd.grad(expected, x, seed)
    )


def test_offsets_that_do_not_fit_are_named() -> None:
    with pytest.raises(ShapeError, match="do not match its 5 tokens"):
        layer.max_over_time(torch.randn(5, 2), Layout(torch.tensor([0, 4, 99])))


def test_another_default_device_changes_nothing() -> None:
    values, layout = (
        torch.randn(5, 3, requires_grad=True),
        Layout.from_lengths(torch.tensor([3, 2]), torch.device("cpu")),
    )
    expected = [one(values, layout) for one in (layer.max_over_time, layer.sum_over_time)]
    with torch.device("meta"):
        found = [one(values, layout) for one in (layer.max_over_time, layer.sum_over_time)]
        windows, _ = layer.max_over_windows(values, layout, Windows(2, 2))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    (dx,) = torch.autograd.grad(windows.sum(), values)
    assert dx.sum() == windows.numel()
