"""Receptive fields against the steps with a non-zero gradient."""

import math

import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.inputs.output import unwrapped

from .blocks import wavenet_layer

C = 3


def _positive(module: nn.Module) -> nn.Module:
    """With positive weights and inputs no path cancels another, and no ReLU is shut."""
    for parameter in module.parameters():
        with torch.no_grad():
            parameter.abs_().add_(0.01)
    return module.double().eval()


def _reach(module: nn.Module, length: int, t: int) -> list[int]:
    """The input steps that output step t really depends on."""
    values = torch.rand(length, C, dtype=torch.float64).add_(0.1).requires_grad_()
    y = unwrapped(module(Ragged.from_lengths(values, [length])))
    (gradient,) = torch.autograd.grad(y.values[t].sum(), values)
    return gradient.abs().sum(1).nonzero().flatten().tolist()


STACKS = {
    "valid": lambda: tt.nn.Conv1d(C, 4, 3),
    "same, even": lambda: tt.nn.Conv1d(C, 4, 4, padding="same"),
    "causal, dilated": lambda: tt.nn.Conv1d(C, 4, 3, padding="causal", dilation=3),
    "strided": lambda: nn.Sequential(
        tt.nn.Conv1d(C, 4, 3, stride=2, padding=1), tt.nn.Conv1d(4, 4, 3, padding=1)
    ),
    "pooled": lambda: nn.Sequential(
        tt.nn.ConvBlock(C, 4, 3, padding="same", norm="batch", pool=tt.nn.AvgPool1d(2)),
        tt.nn.ConvBlock(4, 4, 3, padding="same", norm="layer", pool=tt.nn.AvgPool1d(3, 2, 1)),
        nn.Linear(4, 2),
    ),
    "stack": lambda: tt.nn.ConvStack(
        C, [4] * 4, 2, dilations=tt.nn.dilation_schedule(4), padding="causal", activation=None
    ),
    "wide": lambda: tt.nn.WideConv(C, 4, (1, 2, 5)),
    "wide causal": lambda: nn.Sequential(
        tt.nn.WideConv(C, 4, (1, 3), padding="causal"), tt.nn.Conv1d(8, 2, 3, padding="same")
    ),
    "temporal": lambda: nn.Sequential(tt.nn.TemporalBlock(C, 4, 2), tt.nn.TemporalBlock(4, 4, 3, dilation=2)),
    "resnet": lambda: tt.nn.ResNetBlock(C, 4),
    "gated": wavenet_layer,
    "recurrent": lambda: nn.Sequential(tt.nn.Conv1d(C, 4, 3, padding="same"), tt.nn.GRU(4, 4)),
}


@pytest.mark.parametrize("make", STACKS.values(), ids=STACKS.keys())
@pytest.mark.parametrize("later", [0, 1, 3])
def test_is_what_gradients_reach(make, later: int) -> None:
    torch.manual_seed(0)
    module, length = _positive(make()), 50
    field = tt.nn.receptive_field(module)
    # From here on the whole window lies in the sequence; what begins in the border may have gaps at 0.
    t = later + (4 if math.isinf(field.first) else max(0, math.ceil(-field.first / field.stride)))
    seen = _reach(module, length, t)
    assert min(seen) == max(0, t * field.stride + field.first)
    assert max(seen) == t * field.stride + field.last


def test_has_a_size_an_offset_and_a_lookahead() -> None:
    field = tt.nn.receptive_field(tt.nn.Conv1d(C, 4, 5, padding="same"))
    assert (field.size, field.offset, field.lookahead) == (5, -2, 2)
    assert tt.nn.receptive_field(tt.nn.Conv1d(C, 4, 5, padding="causal")).lookahead == 0


def test_a_doubling_stack_has_the_size_of_its_formula() -> None:
    for n in range(1, 8):
        stack = tt.nn.ConvStack(C, [2] * n, 3, dilations=tt.nn.dilation_schedule(n), padding="causal")
        assert tt.nn.receptive_field(stack).size == 1 + 2 * (2**n - 1)


@pytest.mark.parametrize(
    "layer",
    [tt.nn.Pool("max"), tt.nn.GRU(4, 4, bidirectional=True), tt.nn.GroupNorm(1, 4), tt.nn.AttentionPool(4)],
)
def test_what_reads_everything_sees_everything(layer: nn.Module) -> None:
    field = tt.nn.receptive_field(nn.Sequential(tt.nn.Conv1d(C, 4, 3), layer))
    assert (field.first, field.last) == (-math.inf, math.inf)


def test_torchs_own_layers_count() -> None:
    stack = nn.Sequential(
        nn.Conv1d(C, 4, 4, padding="same"), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 4, 3, dilation=2)
    )
    values = torch.rand(1, C, 40, dtype=torch.float64, requires_grad=True)
    stack = _positive(stack)
    stack[2] = nn.AvgPool1d(2)  # a maximum depends on one of its steps at a time
    field = tt.nn.receptive_field(stack)
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # else only the first such layer of a process warns
    try:
        with pytest.warns(UserWarning, match="even kernel"):
            y = stack(values)
    finally:
        torch.set_warn_always(always)
    (gradient,) = torch.autograd.grad(y[0, :, 3].sum(), values)
    seen = gradient[0].sum(0).nonzero().flatten().tolist()
    assert (min(seen), max(seen)) == (3 * field.stride + field.first, 3 * field.stride + field.last)


def test_what_is_not_known_is_named() -> None:
    class Mine(nn.Module):
        pass

    with pytest.raises(InputTypeError, match=r"1 \(Mine\).*has no description.*describe\(\)"):
        tt.nn.receptive_field(nn.Sequential(nn.ReLU(), Mine()))
    uneven = tt.nn.Residual(tt.nn.Conv1d(C, C, 3, stride=2))
    with pytest.raises(ShapeError, match="body: 2, shortcut: 1"):
        tt.nn.receptive_field(uneven)


def test_a_causal_field_warns_of_batch_norm_in_training() -> None:
    stack = nn.Sequential(tt.nn.Conv1d(3, 4, 2, padding="causal"), nn.BatchNorm1d(4))
    with pytest.warns(UserWarning, match=r"1 \(BatchNorm1d\) takes its statistics .* later ones included"):
        field = tt.nn.receptive_field(stack)
    assert field == tt.nn.receptive_field(stack.eval()) == (-1, 0, 1)
    centred = nn.Sequential(tt.nn.Conv1d(3, 4, 3, padding="same"), nn.BatchNorm1d(4))
    assert tt.nn.receptive_field(centred).lookahead == 1  # claims nothing of later steps
