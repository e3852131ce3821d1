"""Native normalisation against torch, with each instruction set: derivatives, extreme values, dispatch paths."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt
from tests.ops.norm_ladder import layout_of
from throughtime.ops.norm import layer
from throughtime.ops.norm.layer import batch_norm, normalize_sequences

LAYOUT = layout_of([4, 0, 1, 6])
MEAN, VARIANCE = torch.tensor([0.3, -1.0]).double(), torch.tensor([0.5, 2.0]).double()

Norm = Callable[[Tensor, Tensor, Tensor], Tensor]
NORMS: dict[str, Norm] = {
    "batch": lambda x, w, b: batch_norm(x, None, None, w, b, training=True),
    "batch, relu": lambda x, w, b: batch_norm(x, None, None, w, b, training=True, relu=True),
    "given statistics": lambda x, w, b: batch_norm(x, MEAN, VARIANCE, w, b),
    "given statistics, relu": lambda x, w, b: batch_norm(x, MEAN, VARIANCE, w, b, relu=True),
    "group": lambda x, w, b: normalize_sequences(x, LAYOUT, 1, 1e-2, w, b),
    "instance": lambda x, w, b: normalize_sequences(x, LAYOUT, 2, 1e-2, w, b),
}


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    x, weight, bias = torch.randn(11, 2), torch.rand(2) + 0.5, torch.randn(2)
    return tuple(part.double().requires_grad_() for part in (x, weight, bias))  # type: ignore[return-value]


@pytest.fixture
def native_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the compositions in torch would run instead."""

    def refuse(*_: Any, **__: Any) -> Tensor:
        raise AssertionError("the plain composition ran")

    for name in ("batch_norm_reference", "normalize_sequences_reference"):
        monkeypatch.setattr(layer, name, refuse)
    monkeypatch.setattr(F, "batch_norm", refuse)


@pytest.mark.parametrize("name", NORMS)
def test_derivatives_of_first_and_second_order(name: str) -> None:
    assert torch.autograd.gradcheck(NORMS[name], inputs(), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(NORMS[name], inputs())


@pytest.mark.usefixtures("native_alone")
@pytest.mark.parametrize("name", NORMS)
def test_a_training_step_is_native(name: str) -> None:
    given = inputs()
    torch.autograd.grad(NORMS[name](*given).sum(), given)


@pytest.mark.parametrize("name", NORMS)
def test_each_gradient_alone_is_that_of_all(name: str) -> None:
    given = inputs()
    seed = torch.randn(11, 2).double()
    wanted = torch.autograd.grad(NORMS[name](*given), given, seed)
    for index, gradient in enumerate(wanted):
        alone = [part.detach().requires_grad_(i == index) for i, part in enumerate(inputs())]
        (found,) = torch.autograd.grad(NORMS[name](*alone), alone[index], seed)
        assert torch.equal(found, gradient)


@pytest.mark.parametrize("name", NORMS)
def test_function_transforms_and_compilers_run_the_composition(name: str) -> None:
    given, one = inputs(), torch.ones(11, 2).double()
    expected = torch.autograd.grad(NORMS[name](*given), given, one)
    found = torch.func.vjp(NORMS[name], *(part.detach() for part in given))[1](one)
    torch.testing.assert_close(found, expected)
    compiled = torch.compile(NORMS[name], backend="aot_eager")
    torch.testing.assert_close(compiled(*given), NORMS[name](*given))


def test_strides_do_not_matter() -> None:
    wide = torch.randn(2, 11).double()
    x, weight, bias = wide.t(), torch.randn(4).double()[::2], torch.randn(4).double()[1::2]
    for call in NORMS.values():
        assert torch.equal(
            call(x, weight, bias), call(x.contiguous(), weight.contiguous(), bias.contiguous())
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("training", [True, False])
def test_what_is_not_finite_passes_through_as_in_torch(value: float, training: bool) -> None:
    x = torch.randn(9, 3)
    x[4, 1] = value
    statistics = torch.zeros(3), torch.ones(3)
    found = batch_norm(x, *statistics, training=training, momentum=0.0)
    torch.testing.assert_close(
        found, F.batch_norm(x, *statistics, training=training, momentum=0.0), equal_nan=True
    )
    y = normalize_sequences(x, layout_of([4, 3, 2]), 3, 1e-5)
    assert y[4:7, 1].isnan().all()
    assert y[:4].isfinite().all()
    assert y[:, ::2].isfinite().all()
    assert y[7:].isfinite().all()


def test_digits_survive_a_mean_far_from_zero() -> None:
    torch.manual_seed(0)
    exact = torch.randn(100_000, 3, dtype=torch.float64) + 3000
    x = exact.float()
    wanted = F.batch_norm(x.double(), None, None, training=True, eps=1e-12)
    found = batch_norm(x, None, None, training=True, eps=1e-12).double()
    torchs = F.batch_norm(x, None, None, training=True, eps=1e-12).double()
    ours, theirs = (found - wanted).abs().max(), (torchs - wanted).abs().max()
    assert ours < 5e-4
    assert ours <= theirs * 1.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_single(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = (torch.randn(5000, 4) + 5).to(dtype).requires_grad_()
    layer = tt.nn.GroupNorm(2, 4)
    found = layer(tt.Ragged.from_lengths(x, [3000, 2000])).values
    wanted = layer(tt.Ragged.from_lengths(x.float(), [3000, 2000])).values
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted.to(dtype))
    seed = torch.randn_like(found)
    gradients = (torch.autograd.grad(y, x, seed.to(y.dtype))[0] for y in (found, wanted))
    torch.testing.assert_close(*gradients)


def test_a_module_trains_as_on_plain_tensors_step_by_step() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.BatchNorm1d(5, momentum=None) for _ in range(2))
    for lengths in ([3, 2], [1, 0, 6], [2]):
        values = torch.randn(sum(lengths), 5)
        found = ours(tt.Ragged.from_lengths(values, lengths)).values
        torch.testing.assert_close(found, theirs(values))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_one_token_alone_has_no_variance() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        nn.BatchNorm1d(3)(tt.Ragged.from_lengths(torch.randn(1, 3), [1]))
