"""The native loop with bfloat16 products against the cells' equations in PyTorch, rounded in the same places."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

import throughtime as tt
from throughtime.ops.recurrent.autograd import differentiable_layer
from throughtime.ops.recurrent.reference import recurrent_layer_reference
from throughtime.ops.recurrent.steps import Steps, ragged_steps

LENGTHS = [5, 0, 9, 1, 3, 0, 7]

CASES: dict[str, dict[str, Any]] = {
    "LSTM": {},
    "GRU": {},
    "RNN": {},
    "MGU": {},
    "LSTM, projection": {"proj_size": 5},
    "LSTM, wide projection": {"proj_size": 18},
    "LSTM, peepholes": {"peephole": True},
    "LSTM, coupled": {"coupled": True},
    "LSTM, without biases": {"bias": False},
    "GRU, reset before": {"reset_after": False},
    "RNN, softsign": {"nonlinearity": "softsign"},
    "LayerNormLSTM": {},
}


def _layer(case: str, inputs: int, hidden: int, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(tt.nn, case.partition(",")[0])(inputs, hidden, **CASES[case], **options)


def _rounded(x: Tensor) -> Tensor:
    return x.float().bfloat16().to(x.dtype)


class _Product(torch.autograd.Function):
    """x Wᵀ of rounded factors, and in the backward pass of the rounded gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(_rounded(x), _rounded(weight))
        return _rounded(x) @ _rounded(weight).T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return _rounded(gradient) @ weight, _rounded(gradient).T @ x


class _RoundedProducts(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not linear:
            return func(*args, **(kwargs or {}))
        x, weight, *bias = args
        product = _Product.apply(x, weight)
        return product + bias[0] if bias and bias[0] is not None else product


def _sources(layer: Any, tokens: int, batch: int) -> list[Tensor]:
    """The tokens, the initial states, and all weights."""
    state = layer.proj_size or layer.hidden_size
    directions = 2 if layer.bidirectional else 1
    x, h = torch.randn(tokens, layer.input_size), torch.randn(directions, batch, state)
    c = [torch.randn(directions, batch, layer.hidden_size)] if layer.spec.has_c else []
    return [x, h, *c, *(parameter.detach() for parameter in layer.parameters())]


def _ours(steps: Steps, spec: Any, x: Tensor, h: Tensor, c: Tensor | None, weights: Any) -> Any:
    return differentiable_layer(x, steps, spec.in_bfloat16, h, c, weights, save=True)


def _float32(steps: Steps, spec: Any, x: Tensor, h: Tensor, c: Tensor | None, weights: Any) -> Any:
    return differentiable_layer(x, steps, spec, h, c, weights, save=True)


def _expected(steps: Steps, spec: Any, x: Tensor, h: Tensor, c: Tensor | None, weights: Any) -> Any:
    with _RoundedProducts():
        return recurrent_layer_reference(x, steps, spec, h, c, weights)


def _all_values(
    run: Any, layer: Any, steps: Steps, sources: list[Tensor], dtype: torch.dtype
) -> list[Tensor]:
    """Outputs, and the gradients of all sources for a fixed random loss, in float64."""
    given = [part.to(dtype).requires_grad_() for part in sources]
    x, h, *others = given
    c, parameters = (others[0], others[1:]) if layer.spec.has_c else (None, others)
    with torch.no_grad():
        for parameter, values in zip(layer.parameters(), parameters, strict=True):
            parameter.copy_(values)
    module = layer.to(dtype)
    (weights,) = module.weight_plan.weights(module, dtype, None)
    outputs = [part for part in run(steps, layer.spec, x, h, c, weights) if part.numel()]
    generator = torch.Generator().manual_seed(1)
    loss = sum((part * torch.randn(part.shape, generator=generator)).sum() for part in outputs)
    gradients = torch.autograd.grad(loss, [x, h, *([] if c is None else [c]), *module.parameters()])
    return [part.detach().double() for part in (*outputs, *gradients)]


def _errors(found: list[Tensor], expected: list[Tensor]) -> list[Tensor]:
    """Differences of all entries, by the size of each tensor's entries."""
    return [(a - b).abs() / (1 + b.abs().max()) for a, b in zip(found, expected, strict=True)]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("inputs", "hidden"), [(3, 5), (17, 18), (33, 40), (40, 70)])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case: str, inputs: int, hidden: int, *, bidirectional: bool) -> None:
    layer = _layer(
        case, inputs, max(hidden, 19) if "wide" in case else max(hidden, 6), bidirectional=bidirectional
    )
    steps = ragged_steps(tt.Ragged.from_lengths(torch.zeros(sum(LENGTHS)), LENGTHS).layout)
    sources = _sources(layer, sum(LENGTHS), len(LENGTHS))
    ours = _all_values(_ours, layer, steps, sources, torch.float32)
    expected = _all_values(_expected, layer, steps, sources, torch.float64)
    float32 = _all_values(_float32, layer, steps, sources, torch.float32)
    # The loop's float32 may lie on the other side of a tie than the reference's float64, and a rounding differs.
    # A normalisation makes such a difference larger at every step.
    largest, share = (3e-2, 0.5) if "LayerNorm" in case else (4e-3, 0.25)
    for part, unrounded in zip(_errors(ours, expected), _errors(float32, expected), strict=True):
        assert part.max() < largest
        assert part.mean() < share * unrounded.mean()
