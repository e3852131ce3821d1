"""Layers with torch.nn's names: arguments in torch's order, errors, helpers, named tuples."""

import inspect
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError

PLAIN = ["Conv1d", "ConvTranspose1d", "MaxPool1d", "AvgPool1d", "GroupNorm", "InstanceNorm1d", "Dropout"]
CELLS = ["RNNCell", "LSTMCell", "GRUCell"]
RECURRENT = {
    # Torch's RNN and GRU take device and dtype by name alone.
    "RNN": (3, 4, 2, "relu", True, True, 0.25, True),
    "LSTM": (3, 4, 2, True, True, 0.25, True, 2, "cpu", torch.float32),
    "GRU": (3, 4, 2, True, True, 0.25, True),
}


def _parameters(function: Any) -> list[tuple[str, Any]]:
    return [(one.name, one.default) for one in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", [*PLAIN, *CELLS])
def test_constructors_and_calls_take_torchs_arguments_in_its_order(name: str) -> None:
    for method in ("__init__", "forward"):
        expected = _parameters(getattr(getattr(nn, name), method))
        assert _parameters(getattr(getattr(tt.nn, name), method))[: len(expected)] == expected


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers_take_torchs_arguments_by_position(name: str) -> None:
    ours, torchs = (getattr(package, name)(*RECURRENT[name]) for package in (tt.nn, nn))
    assert repr(ours) == repr(torchs)


@pytest.mark.parametrize("kind", [tuple, list])
def test_sizes_may_be_sequences_of_one(kind: type) -> None:
    x = Ragged.from_list([torch.randn(7, 4), torch.randn(5, 4)])
    for cls in (tt.nn.MaxPool1d, tt.nn.AvgPool1d):
        found, expected = cls(kind([3]), kind([2]), kind([1]))(x), cls(3, 2, 1)(x)
        assert torch.equal(found.values, expected.values)
    for cls in (tt.nn.Conv1d, tt.nn.ConvTranspose1d):
        torch.manual_seed(0)
        layer = cls(4, 2, kind([3]), kind([2]), kind([1]))
        torch.manual_seed(0)
        assert torch.equal(layer(x).values, cls(4, 2, 3, 2, 1)(x).values)


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = tt.nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)


def test_a_pair_is_made_of_an_iterable_as_torchs_are() -> None:
    pair = tt.nn.GRU(3, 4)(torch.randn(5, 2, 3))
    again = type(pair)(part.contiguous(memory_format=torch.preserve_format) for part in pair)
    assert type(again) is type(pair)
    assert torch.equal(again.output, pair.output)
    assert torch.equal(again.state, pair.state)
    for wrong, error, words in (
        ((pair.output,), InputTypeError, "an output and a state, or an iterable of both, got Tensor"),
        (([1, 2, 3],), ShapeError, "has two parts, output and state, got 3"),
    ):
        with pytest.raises(error, match=words):
            tt.nn.RecurrentOutput(*wrong)


def test_a_program_that_returns_a_pair_can_be_saved() -> None:
    model, x = _Recurrent(), torch.randn(5, 2, 3)
    stored = io.BytesIO()
    torch.export.save(torch.export.export(model, (x,)), stored)
    stored.seek(0)
    found, expected = torch.export.load(stored).module()(x), model(x)
    assert type(found) is tt.nn.RecurrentOutput
    torch.testing.assert_close(found.output, expected.output)


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("batch_first", [False, True])
def test_sizes_of_states_are_checked_as_torch_checks_them(name: str, batch_first: bool) -> None:
    ours, torchs = (getattr(package, name)(3, 4, 2, batch_first=batch_first) for package in (tt.nn, nn))
    x = torch.randn(5, 2, 3)
    h = torch.zeros(2, 5 if batch_first else 2, 4)
    state, wrong = ((h, h), (h, h[:1])) if name == "LSTM" else (h, h[:1])
    ours.check_forward_args(x, state, None)
    messages = []
    for layer in (ours, torchs):
        with pytest.raises(RuntimeError) as raised:
            layer.check_forward_args(x, wrong, None)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    order = torch.tensor([1, 0])
    torch.testing.assert_close(ours.permute_hidden(state, order), torchs.permute_hidden(state, order))


@pytest.mark.parametrize(
    "call",
    [
        lambda: tt.nn.LSTM(3, 4)(torch.randn(5, 2, 7)),
        lambda: tt.nn.LSTM(3, 4)(torch.randn(5, 2, 3), (torch.zeros(1, 3, 4), torch.zeros(1, 3, 4))),
        lambda: tt.nn.GRUCell(3, 4)(torch.randn(2, 7)),
        lambda: tt.nn.Conv1d(3, 4, 2)(Ragged.from_list([torch.randn(5, 7)])),
        lambda: tt.nn.Conv1d(3, 4, 9)(Ragged.from_list([torch.randn(5, 3)])),
        lambda: tt.nn.MaxPool1d(9)(Ragged.from_list([torch.randn(5, 3)])),
    ],
)
def test_shape_errors_are_runtime_errors_too(call: Any) -> None:
    with pytest.raises(RuntimeError) as raised:
        call()
    assert isinstance(raised.value, ShapeError)
    assert isinstance(raised.value, ValueError)


def _complex(make: Any) -> nn.Module:
    layer = make()
    for part in layer.parameters():
        part.data = part.data.to(torch.complex64)
    return layer


@pytest.mark.parametrize(
    "make",
    [
        lambda: tt.nn.RNN(4, 3),
        lambda: tt.nn.LSTM(4, 3),
        lambda: tt.nn.GRU(4, 3),
        lambda: tt.nn.Recurrence(nn.GRUCell(4, 3), state=torch.zeros(3, dtype=torch.complex64)),
        lambda: tt.nn.MaxPool1d(2),
        lambda: tt.nn.Pool("max"),
        lambda: tt.nn.Pool("top-k", k=2),
        lambda: tt.nn.AttentionPool(4),
        lambda: tt.nn.GroupNorm(2, 4),
        lambda: tt.nn.InstanceNorm1d(4),
        lambda: tt.nn.Dropout(),
        lambda: tt.nn.LockedDropout(),
    ],
)
def test_complex_numbers_are_refused_by_name(make: Any) -> None:
    layer = _complex(make)
    x = Ragged.from_list([torch.randn(5, 4, dtype=torch.complex64)])
    with pytest.raises(InputTypeError, match=r"real .*torch\.complex64"):
        layer(x)


@pytest.mark.parametrize("name", [*CELLS, "RNN", "LSTM", "GRU", "Linear"])
def test_complex_input_is_not_advised_to_lose_a_part(name: str) -> None:
    layer = getattr(tt.nn, name)(4, 3)
    with pytest.raises(
        InputTypeError, match=rf"{name} takes real numbers, got torch\.complex64; give it both parts"
    ):
        layer(torch.randn(2, 4, dtype=torch.complex64))


@pytest.mark.parametrize("name", CELLS)
def test_complex_cells_are_refused_by_name(name: str) -> None:
    cell = _complex(lambda: getattr(tt.nn, name)(4, 3))
    with pytest.raises(InputTypeError, match=r"real floating-point numbers.*torch\.complex64"):
        cell(torch.randn(2, 4, dtype=torch.complex64))


@pytest.mark.parametrize("cls", [tt.nn.Conv1d, tt.nn.ConvTranspose1d])
def test_complex_convolutions_are_torchs(cls: type[nn.Module]) -> None:
    torch.manual_seed(0)
    layer = _complex(lambda: cls(4, 3, 2))
    x = torch.randn(5, 4, dtype=torch.complex64)
    torch.testing.assert_close(layer(Ragged.from_list([x])).values, layer(x.t()[None])[0].t())
