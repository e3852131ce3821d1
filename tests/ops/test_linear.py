"""`linear` and `sigmoid` against torch, in values and gradients; a row has the same bits in any batch."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import throughtime as tt
from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops.linear import linear
from throughtime.ops.sigmoid import sigmoid

SIZES = [(1, 1, 1), (3, 5, 2), (13, 16, 33), (50, 37, 17), (200, 64, 65), (130, 300, 70)]
each_size = pytest.mark.parametrize("sizes", SIZES, ids=str)


def _leaf(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@each_size
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_torchs(sizes: tuple[int, int, int], biased: bool) -> None:
    rows, features, outputs = sizes
    x, weight, bias = _leaf(rows, features), _leaf(outputs, features), _leaf(outputs) if biased else None
    inputs = [part for part in (x, weight, bias) if part is not None]
    found, right = linear(x, weight, bias), F.linear(x, weight, bias)
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
    seed = torch.randn_like(right)
    torch.testing.assert_close(
        torch.autograd.grad(found, inputs, seed),
        torch.autograd.grad(right, inputs, seed),
        rtol=1e-12,
        atol=1e-11,
    )


def test_second_derivatives_and_many_gradients_at_once() -> None:
    x, weight, bias = _leaf(5, 4), _leaf(3, 4), _leaf(3)
    assert torch.autograd.gradgradcheck(linear, (x, weight, bias))
    seeds = torch.randn(7, 5, 3, dtype=torch.float64)
    found = torch.autograd.grad(linear(x, weight, bias), (x, weight, bias), seeds, is_grads_batched=True)
    right = torch.autograd.grad(F.linear(x, weight, bias), (x, weight, bias), seeds, is_grads_batched=True)
    torch.testing.assert_close(found, right)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 3, 4), (2, 0, 4), (3, 2, 2, 4)], ids=str)
def test_any_number_of_dimensions(shape: tuple[int, ...]) -> None:
    x, weight, bias = _leaf(*shape), _leaf(3, 4), _leaf(3)
    found, right = linear(x, weight, bias), F.linear(x, weight, bias)
    torch.testing.assert_close(found, right)
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), (x, weight, bias)),
        torch.autograd.grad(right.sum(), (x, weight, bias)),
    )


def test_views_and_transposed_weights() -> None:
    x, weight = _leaf(4, 9).t(), _leaf(4, 3).t()
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))


@each_size
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_bits_of_a_row_and_of_gradients(sizes: tuple[int, int, int], dtype: torch.dtype) -> None:
    rows, features, outputs = sizes
    x, weight, bias = torch.randn(rows, features).to(dtype), torch.randn(outputs, features).to(dtype), None
    whole, before = linear(x, weight, bias), torch.get_num_threads()
    seed = torch.randn_like(whole)

    def gradients() -> tuple[torch.Tensor, ...]:
        inputs = x.clone().requires_grad_(), weight.clone().requires_grad_()
        return torch.autograd.grad(linear(*inputs), inputs, seed)

    expected = gradients()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(linear(x, weight, bias), whole)
            assert all(map(torch.equal, gradients(), expected))
            for row in range(0, rows, 7):
                assert torch.equal(linear(x[row : row + 3], weight, bias), whole[row : row + 3])
    finally:
        torch.set_num_threads(before)


def test_half_precision_autocast_and_transforms_are_torchs() -> None:
    x, weight = torch.randn(5, 4), torch.randn(3, 4)
    low = linear(x.bfloat16(), weight.bfloat16())
    assert torch.equal(low, F.linear(x.bfloat16(), weight.bfloat16()))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
    per_row = torch.func.vmap(torch.func.grad(lambda row: linear(row, weight).sum()))(x)
    torch.testing.assert_close(per_row, weight.sum(0).expand(5, 4))


@pytest.mark.parametrize(
    ("x", "weight", "bias", "error", "said"),
    [
        (torch.ones(2, 5), torch.ones(3, 4), None, ShapeError, r"takes \(\*, 4\), got \(2, 5\)"),
        (torch.ones(2, 4), torch.ones(3, 4), torch.ones(4), ShapeError, r"has shape \(3,\), got \(4,\)"),
        (
            torch.ones(2, 4),
            torch.ones(3, 4).double(),
            None,
            InputTypeError,
            "float32 on cpu, the weight torch.float64",
        ),
    ],
)
def test_what_does_not_fit_is_named(x, weight, bias, error, said) -> None:
    with pytest.raises(error, match=said):
        linear(x, weight, bias)


def test_the_layer_is_torchs_linear_on_every_kind_of_input() -> None:
    layer, torchs = tt.nn.Linear(4, 3), nn.Linear(4, 3)
    layer.load_state_dict(torchs.state_dict())
    x = tt.Ragged.from_lengths(torch.randn(5, 4), [3, 0, 2])
    torch.testing.assert_close(layer(x).values, torchs(x.values))
    torch.testing.assert_close(layer(input=x.values), torchs(x.values))
    recurrent = tt.nn.GRU(2, 4)(torch.randn(6, 2))
    torch.testing.assert_close(layer(recurrent), torchs(recurrent.output))
    torch.testing.assert_close(
        torch.compile(layer, backend="eager", fullgraph=True)(x).values, torchs(x.values)
    )
    with pytest.raises(InputTypeError, match="Linear takes a Tensor or a Ragged, got list"):
        layer([1.0])


@pytest.mark.parametrize("make", [tt.nn.Linear, nn.Linear, lambda n, m: tt.nn.Readout(n, m).logits])
def test_tokens_without_features_are_refused_though_sizes_fit(make: Any) -> None:
    """As many tokens as features of the input and the output: no shape shows that sequences would mix."""
    x = tt.Ragged.from_lengths(torch.randn(6), [2, 4])
    with pytest.raises(ShapeError, match="linear needs 1 feature dimensions, but tokens have 0"):
        make(6, 6)(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_the_layer_cannot_read_is_named_in_every_precision(dtype: torch.dtype) -> None:
    layer = tt.nn.Linear(4, 3, dtype=dtype)
    for x in (torch.ones(2, 5, dtype=dtype), torch.tensor(1.0, dtype=dtype)):
        with pytest.raises(ShapeError, match=r"Linear expects 4 features, got a tensor of shape"):
            layer(x)
    with pytest.raises(ShapeError, match=r"Linear expects 4 features, got a Ragged of shape \(6, 5\)"):
        layer(tt.Ragged.from_lengths(torch.ones(6, 5, dtype=dtype), [2, 4]))
    with pytest.raises(InputTypeError, match=rf"Linear: the input is torch.float64, the weights are {dtype}"):
        layer(torch.ones(2, 4, dtype=torch.float64))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(2, 4)).dtype == torch.bfloat16


def test_sigmoid_is_torchs_in_values_and_derivatives() -> None:
    x = torch.cat([torch.linspace(-700, 700, 41), torch.tensor([0.0, math.inf, -math.inf, -90, 90])]).double()
    x.requires_grad_()
    torch.testing.assert_close(sigmoid(x), torch.sigmoid(x), rtol=1e-14, atol=0)
    found, right = (torch.autograd.grad(function(x).sum(), x)[0] for function in (sigmoid, torch.sigmoid))
    torch.testing.assert_close(found, right)
    assert torch.autograd.gradgradcheck(sigmoid, (torch.randn(9, dtype=torch.float64, requires_grad=True),))
    assert sigmoid(torch.tensor(math.nan)).isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_sigmoid_has_the_bits_of_each_number_alone(dtype: torch.dtype) -> None:
    x = torch.randn(1003, dtype=dtype) * 5
    assert torch.equal(sigmoid(x), torch.cat([sigmoid(one) for one in x.split(1)]))
