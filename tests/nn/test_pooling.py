"""Pooling: the element that has the gradient, extreme values, plain tensors, and errors."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import ShapeError


def _batch(lengths: list[int], features: int = 3) -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(lengths), features, dtype=torch.float64), lengths)


def _gradient(pool: nn.Module, x: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    values = x.clone().requires_grad_()
    y = pool(Ragged.from_lengths(values, lengths))
    y = y.values if isinstance(y, Ragged) else y
    return torch.autograd.grad((y * torch.arange(1.0, y.numel() + 1).view(y.shape)).sum(), values)[0]


def test_of_equal_maxima_the_first_has_the_gradient_as_in_torch() -> None:
    x = torch.zeros(6, 1)
    found = _gradient(tt.nn.Pool("max"), x, [4, 2])
    assert found.flatten().tolist() == [1, 0, 0, 0, 2, 0]
    values = x.clone().requires_grad_()
    y = F.max_pool1d(values[:4].t()[None], 3, 1)
    (expected,) = torch.autograd.grad((y * torch.tensor([1.0, 2.0])).sum(), values)
    found = _gradient(tt.nn.MaxPool1d(3, 1), x[:4], [4, 0])
    torch.testing.assert_close(found, expected[:4])


@pytest.mark.parametrize("pool", [tt.nn.Pool("max"), tt.nn.MaxPool1d(2, 1), tt.nn.Pool("top-k", k=1)])
def test_a_nan_shows_in_its_own_sequence_alone(pool: nn.Module) -> None:
    x = torch.tensor([[1.0], [torch.nan], [3.0], [4.0], [5.0]])
    y = pool(Ragged.from_lengths(x, [3, 2]))
    first, second = y[0].flatten(), y[1].flatten()
    assert first.isnan().any()
    assert second.tolist() == [5.0]


def test_infinities_are_values() -> None:
    x = Ragged.from_lengths(torch.tensor([[-torch.inf], [-torch.inf], [torch.inf], [1.0]]), [2, 2])
    assert tt.nn.Pool("max")(x).flatten().tolist() == [-torch.inf, torch.inf]
    assert tt.nn.MaxPool1d(2)(x).values.flatten().tolist() == [-torch.inf, torch.inf]


def test_a_window_whose_taps_are_all_in_the_border_is_what_torch_has() -> None:
    pool = tt.nn.MaxPool1d(2, stride=1, padding=1, dilation=3)
    x = torch.randn(2, 1, dtype=torch.float64)
    expected = F.max_pool1d(x.t()[None], 2, 1, 1, 3)[0].t()
    assert torch.equal(pool(Ragged.from_lengths(x, [2, 0]))[0], expected)
    assert expected.isinf().any()


def test_top_k_keeps_the_order_of_time_feature_by_feature() -> None:
    x = Ragged.from_list([torch.tensor([[5.0, 1.0], [1.0, 2.0], [3.0, 3.0], [4.0, 0.0]]), torch.ones(1, 2)])
    y = tt.nn.Pool("top-k", k=3)(x)
    assert y[0].t().tolist() == [[5.0, 3.0, 4.0], [1.0, 2.0, 3.0]]
    assert y[1].tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_attention_weights_are_a_distribution_over_each_sequence() -> None:
    pool, x = tt.nn.AttentionPool(3).double(), _batch([4, 0, 1])
    weights = pool.weights(x)
    torch.testing.assert_close(tt.nn.Pool("sum")(weights), torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))
    huge = tt.nn.AttentionPool(3)
    with torch.no_grad():
        huge.context.weight.fill_(1e4)
    assert huge(x.float()).isfinite().all()


@pytest.mark.parametrize(
    "make", [lambda kind: kind.MaxPool1d(3, 2, 1, 2), lambda kind: kind.AvgPool1d(3, 2, 1, ceil_mode=True)]
)
def test_windows_on_plain_tensors_are_torchs(make) -> None:
    x = torch.randn(2, 3, 11)
    assert torch.equal(make(tt.nn)(x), make(nn)(x))


@pytest.mark.parametrize("kind", ["max", "mean", "std", "sum", "last", "top-k"])
def test_whole_sequences_of_plain_tensors(kind: str) -> None:
    x = torch.randn(2, 3, 7)
    expected = {
        "max": x.amax(2),
        "mean": x.mean(2),
        "std": x.std(2, correction=0),
        "sum": x.sum(2),
        "last": x[:, :, -1],
        "top-k": x.gather(2, x.topk(2).indices.sort().values).transpose(1, 2),
    }[kind]
    pool = tt.nn.Pool(kind, k=2 if kind == "top-k" else None)
    torch.testing.assert_close(pool(x), expected)
    assert pool(x[:0]).shape[0] == 0
    assert not pool(x[:, :, :0]).any()


def test_attention_over_plain_tensors_is_that_over_each_alone() -> None:
    pool, x = tt.nn.AttentionPool(3), torch.randn(2, 3, 7)
    torch.testing.assert_close(pool(x), pool(Ragged.from_list([one.t() for one in x])))


@pytest.mark.parametrize("pool", ["max", "mean", "std", "sum", "last", "top-k"])
def test_tokens_may_have_any_shape_and_gradients_of_gradients(pool: str) -> None:
    layer = tt.nn.Pool(pool, k=2 if pool == "top-k" else None)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)

    def pooled(values: torch.Tensor) -> torch.Tensor:
        return layer(Ragged.from_lengths(values.square(), [3, 0, 2]))

    assert torch.autograd.gradcheck(pooled, x)
    assert torch.autograd.gradgradcheck(pooled, x)


def test_second_derivatives_of_windows_and_attention() -> None:
    attention = tt.nn.AttentionPool(2, 3).double()
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    for layer in (tt.nn.MaxPool1d(2, 1), tt.nn.AvgPool1d(3, 1, 1), attention):

        def pooled(values: torch.Tensor, layer: nn.Module = layer) -> torch.Tensor:
            y = layer(Ragged.from_lengths(values.square(), [3, 0, 2]))
            return y.values if isinstance(y, Ragged) else y

        assert torch.autograd.gradgradcheck(pooled, x)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tt.nn.MaxPool1d(0), "kernel_size is at least 1, got 0"),
        (lambda: tt.nn.MaxPool1d(2, stride=-1), "stride is at least 1, got -1"),
        (lambda: tt.nn.MaxPool1d(2, dilation=0), "dilation is at least 1, got 0"),
        (lambda: tt.nn.AvgPool1d(3, padding=2), "half of kernel_size 3, got 2"),
        (lambda: tt.nn.MaxPool1d(2, return_indices=True)(_batch([3])), "return_indices"),
        (lambda: tt.nn.Pool("top-k"), "'top-k' with k=None"),
        (lambda: tt.nn.Pool("max", k=3), "'max' with k=3"),
        (lambda: tt.nn.Pool("top-k", k=0), "k=0"),
        (lambda: tt.nn.AttentionPool(4).double()(_batch([3])), "AttentionPool expects 4 features"),
        (lambda: tt.nn.GroupNorm(2, 4).double()(_batch([3])), "GroupNorm expects 4 features"),
        (lambda: tt.nn.InstanceNorm1d(3, track_running_stats=True)(_batch([3])), "track_running_stats"),
    ],
)
def test_what_cannot_be_pooled_is_named(call, words) -> None:
    with pytest.raises(ShapeError, match=words):
        call()
