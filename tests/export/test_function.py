"""Functions of tensors that state no operators, recorded while they run."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.description import OfTokens, Series
from throughtime.ops.recurrent.activations import ACTIVATIONS

from .runtime import close, padded, run, session


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_of_a_cell(name: str) -> None:
    torch.manual_seed(0)
    layer = tt.nn.RNN(3, 4, nonlinearity=name, clip=3.0).eval()
    x = Ragged.from_lengths(2 * torch.randn(11, 3), [4, 7])
    outputs = run(
        session(tt.export.onnx(layer, intermediates=True)), x=padded(x, batch_first=False), lengths=x.lengths
    )
    with torch.no_grad():
        close(outputs["output"], layer(x).output.to_padded(length=8, batch_first=False))


class _Model(nn.Module):
    """A function of tokens behind a linear layer."""

    def __init__(self, function: Callable[[Tensor], Tensor], features: int = 4) -> None:
        super().__init__()
        self.linear, self.function, self.features = nn.Linear(3, 4), function, features

    def describe(self) -> Series:
        return Series.of(linear=self.linear, function=OfTokens(self.function, self.features))

    def forward(self, x: Ragged) -> Ragged:
        return self.describe()(x)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sums": lambda x: torch.add(2 * x - 1, x.exp(), alpha=0.5) + (1 - x) / 4,
    "differences": lambda x: torch.sub(x, x.tanh(), alpha=3.0) - torch.rsub(x, x * x, alpha=2.0),
    "bounds": lambda x: x.clamp(-0.5, 0.3) * x.clamp(min=-0.1) + x.clamp(max=0.2),
    "unary": lambda x: torch.log(x.abs() + 1) + torch.neg(x).relu() + torch.sigmoid(x),
    "softplus": lambda x: nn.functional.softplus(x, beta=2.0),
    "halves": lambda x: x.chunk(2, -1)[1] * x.chunk(2, 1)[0],
    "unequal parts": lambda x: x.split(3, 1)[0] * x.split(3, 1)[1],
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "stacked": lambda x: torch.stack(x.chunk(2, -1), -2),
    "matrices": lambda x: nn.functional.linear(x @ torch.eye(4, 2), torch.ones(3, 2), torch.arange(3.0)),
    "normalized": lambda x: nn.functional.layer_norm(x, (4,), torch.arange(4.0), torch.ones(4)),
    "nothing": lambda x: x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_tokens(name: str) -> None:
    torch.manual_seed(0)
    model = _Model(FUNCTIONS[name]).eval()
    x = Ragged.from_lengths(torch.randn(11, 3), [4, 0, 7])
    outputs = run(session(tt.export.onnx(model)), x=padded(x, batch_first=True), lengths=x.lengths)
    with torch.no_grad():
        close(outputs["output"], model(x).to_padded(length=8, batch_first=True))


def _into_a_part(x: Tensor) -> Tensor:
    y = x + 1
    y[:, :1].zero_()
    return y


@pytest.mark.parametrize(
    ("function", "features", "error", "words"),
    [
        (torch.erfinv, 4, InputTypeError, "function: the operator aten::erfinv has no form in ONNX here"),
        (lambda x: torch.erfinv(x).chunk(2, 1)[0] + 1, 4, InputTypeError, "aten::erfinv has no form"),
        (lambda x: torch.ones(len(x), 4), 4, InputTypeError, "function returns what no operator of torch"),
        (lambda x: x * float(x[0, 0]), 4, InputTypeError, "aten::_local_scalar_dense has no form"),
        (lambda x: x.mul_(2), 4, InputTypeError, "aten::mul_.Tensor has no form"),
        (
            lambda x: x - x.mean(0),
            4,
            InputTypeError,
            "function gives a token another result in another batch",
        ),
        (lambda x: x.unfold(0, 2, 1), 4, InputTypeError, "function"),
        (_into_a_part, 4, InputTypeError, "aten::zero_ has no form"),
        (lambda x: x, 5, ShapeError, "function reads 5 features, but gets 4"),
    ],
)
def test_what_cannot_be_recorded_is_named(
    function: Callable[[Tensor], Tensor], features: int, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        tt.export.onnx(_Model(function, features))


def test_an_operator_that_no_result_needs_may_have_no_form() -> None:
    model = _Model(lambda x: (torch.erfinv(x), x + 1)[1]).eval()
    x = Ragged.from_lengths(torch.randn(2, 3), [2])
    outputs = run(session(tt.export.onnx(model)), x=x.to_padded(batch_first=True), lengths=x.lengths)
    close(outputs["output"][0], model.linear(x.values).detach() + 1)


@pytest.mark.parametrize("tied", [True, False])
def test_an_adaptive_softmax(tied: bool) -> None:
    torch.manual_seed(0)
    model = tt.models.LanguageModel(40, embedding_size=16, hidden_size=16, cutoffs=(3, 8), tied=tied).eval()
    for parameter in model.softmax.parameters():
        parameter.data.normal_()
    tokens = Ragged.from_lengths(torch.arange(40), [25, 0, 15])
    outputs = run(
        session(tt.export.onnx(model)), tokens=padded(tokens, batch_first=True), lengths=tokens.lengths
    )
    with torch.no_grad():
        close(outputs["output"], model(tokens).to_padded(length=26, batch_first=True))


def test_tied_weights_are_kept_once() -> None:
    model = tt.models.LanguageModel(40, embedding_size=6, hidden_size=6, num_layers=1)
    sizes = [math.prod(constant.dims) for constant in tt.export.onnx(model, streaming=True).graph.initializer]
    assert sorted(sizes)[-3:] == [4 * 6 * 6, 4 * 6 * 6, 40 * 6]


def test_variances_of_a_forecast_are_those_of_the_model() -> None:
    torch.manual_seed(0)
    model = tt.models.ForecastModel(2, hidden_size=4).eval()
    runtime = session(tt.export.onnx(model))
    assert runtime.get_outputs()[0].shape == ["batch", "length", 2, 2]
    x = torch.randn(1, 5, 2)
    (output,) = runtime.run(None, {"x": x.numpy(), "lengths": np.array([5])})
    with torch.no_grad():
        np.testing.assert_allclose(output[0], model(Ragged.from_list([x[0]])).values, rtol=1e-5, atol=2e-6)
