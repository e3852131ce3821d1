"""torch.jit.trace and the ONNX exporter on top of it: the right model, or a refusal that names what to use instead."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime.errors import UnsupportedError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


class _Cell(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Any:
        return self.cell(x[0])


class _Ragged(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        result = self.layer(tt.Ragged.from_padded(x, lengths=[x.shape[1]] * x.shape[0]))
        return result if isinstance(result, Tensor) else result.values


REFUSED: dict[str, Callable[[], nn.Module]] = {
    "RNN": lambda: tt.nn.RNN(3, 4),
    "LSTM": lambda: tt.nn.LSTM(3, 4),
    "GRU of two layers": lambda: tt.nn.GRU(3, 4, num_layers=2, bidirectional=True),
    "GRU with the reset before": lambda: tt.nn.GRU(3, 4, reset_after=False),
    "RNNCell": lambda: _Cell(tt.nn.RNNCell(3, 4)),
    "LSTMCell": lambda: _Cell(tt.nn.LSTMCell(3, 4)),
    "GRUCell": lambda: _Cell(tt.nn.GRUCell(3, 4)),
    "Recurrence": lambda: tt.nn.Recurrence(lambda h, x: torch.tanh(h + x), state=3),
    "Bidirectional": lambda: tt.nn.Bidirectional(tt.nn.LSTM(3, 4)),
    "Conv1d of a Ragged": lambda: _Ragged(tt.nn.Conv1d(3, 4, 3, padding="same")),
    "Pool": lambda: tt.nn.Pool("max"),
    "AttentionPool": lambda: tt.nn.AttentionPool(2),
    "GroupNorm of a Ragged": lambda: _Ragged(tt.nn.GroupNorm(1, 3)),
}
RIGHT: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: tt.nn.Linear(3, 4),
    "Readout": lambda: tt.nn.Readout(3, 4),
    "Conv1d of a tensor": lambda: tt.nn.Conv1d(2, 4, 3, padding="causal"),
    "ConvBlock of a tensor": lambda: tt.nn.ConvBlock(2, 4, 3, norm="batch", padding="same"),
    "MaxPool1d of a tensor": lambda: tt.nn.MaxPool1d(2),
}
gradients = pytest.mark.parametrize("recorded", [False, True], ids=["no_grad", "grad"])


@gradients
@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_a_constant_is_never_recorded(make: Callable[[], nn.Module], recorded: bool) -> None:
    model = make().eval()
    with torch.set_grad_enabled(recorded), pytest.raises(UnsupportedError, match=r"torch\.export\.export"):
        torch.jit.trace(model, torch.randn(5, 2, 3))
    model(torch.randn(5, 2, 3))  # it still runs


@gradients
@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT)
def test_what_is_recorded_is_right_for_other_inputs(make: Callable[[], nn.Module], recorded: bool) -> None:
    torch.manual_seed(0)
    model = make().eval()
    with torch.set_grad_enabled(recorded):
        traced = torch.jit.trace(model, torch.randn(5, 2, 3))
        x = torch.randn(7, 2, 3)
        torch.testing.assert_close(traced(x), model(x))


def test_the_legacy_onnx_exporter_writes_no_file_of_a_constant() -> None:
    pytest.importorskip("onnx", reason="torch.onnx.export needs onnx")
    model = nn.Sequential(tt.nn.LSTM(3, 4), nn.Linear(4, 2)).eval()
    with torch.no_grad(), pytest.raises(UnsupportedError, match=r"throughtime\.export\.onnx"):
        torch.onnx.export(model, (torch.randn(5, 2, 3),), io.BytesIO(), dynamo=False)


def test_the_operator_refuses_steps_that_do_not_describe_its_tokens() -> None:
    weights = [parameter.detach() for parameter in nn.LSTM(3, 4).parameters()]
    x, nothing = torch.randn(21, 3), [None] * 10
    with pytest.raises(tt.errors.ShapeError, match="2 sequences of 5 steps have 10 tokens, got 21"):
        torch.ops.throughtime.recurrent_layer(x, None, None, 1, 2, 5, "LSTM", None, None, *weights, *nothing)
