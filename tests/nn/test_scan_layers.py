"""Layers that run in parallel over time: states in and out, traces, long sequences, errors.

Outputs and gradients by their equations are in `contract.py`.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError

from .scan_equations import by_steps

LAYERS: dict[str, tuple[type, dict[str, Any]]] = {
    "MinGRU": (tt.nn.MinGRU, {}),
    "MinLSTM": (tt.nn.MinLSTM, {}),
    "QRNN": (tt.nn.QRNN, {"kernel_size": 3}),
    "QRNN, one step": (tt.nn.QRNN, {"kernel_size": 1, "pooling": "ifo"}),
    "SRU": (tt.nn.SRU, {}),
}
each_layer = pytest.mark.parametrize("name", LAYERS)


def make(name: str, **more: Any) -> Any:
    torch.manual_seed(0)
    cls, options = LAYERS[name]
    return cls(3, 4, **options, **more).double()


def sequences(lengths: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, 3, generator=generator, dtype=torch.float64) for length in lengths]


@each_layer
@pytest.mark.parametrize("batch_first", [False, True])
def test_every_kind_of_input_gives_the_same(name: str, *, batch_first: bool) -> None:
    layer, rows = make(name, num_layers=2, batch_first=batch_first), sequences([5, 5, 5])
    output, state = layer(Ragged.from_list(rows))
    dense, dense_state = layer(torch.stack(rows, 0 if batch_first else 1))
    torch.testing.assert_close(dense if batch_first else dense.transpose(0, 1), torch.stack(list(output)))
    torch.testing.assert_close(pytree.tree_leaves(dense_state), pytree.tree_leaves(state))
    for row, y in zip(rows, output, strict=True):
        torch.testing.assert_close(layer(row).output, y)


@each_layer
def test_a_packed_sequence_in_any_order(name: str) -> None:
    layer, rows = make(name), sequences([2, 6, 1, 4])
    packed = nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
    output, state = layer(packed)
    expected, expected_state = layer(Ragged.from_list(rows))
    torch.testing.assert_close(nn.utils.rnn.unpack_sequence(output), list(expected))
    torch.testing.assert_close(pytree.tree_leaves(state), pytree.tree_leaves(expected_state))
    again, _ = layer(packed, state)
    torch.testing.assert_close(
        nn.utils.rnn.unpack_sequence(again), list(layer(Ragged.from_list(rows), state).output)
    )


@each_layer
@pytest.mark.parametrize("unbatched", [False, True])
def test_steps_give_what_the_call_gives(name: str, *, unbatched: bool) -> None:
    layer, rows = make(name, num_layers=2), sequences([6, 6])
    x = rows[0] if unbatched else torch.stack(rows, 1)
    outputs, state = [], None
    for x_t in x:
        y_t, state = layer.step(x_t, state)
        outputs.append(y_t)
    output, end = layer(x)
    torch.testing.assert_close(torch.stack(outputs), output)
    torch.testing.assert_close(pytree.tree_leaves(state), pytree.tree_leaves(end))


@each_layer
def test_pieces_shorter_than_a_window_go_on_where_the_last_one_stopped(name: str) -> None:
    layer, rows = make(name, num_layers=2), sequences([7, 3])
    pieces, state = [], None
    for lengths in ([1, 0], [0, 1], [3, 1], [0, 0], [3, 1]):
        parts = [
            row.split(length, 0) if length else (row[:0], row)
            for row, length in zip(rows, lengths, strict=True)
        ]
        rows = [torch.cat(part[1:]) if len(part) > 1 else part[0][:0] for part in parts]
        output, state = layer(Ragged.from_list([part[0] for part in parts]), state)
        pieces.append(output)
    found = [torch.cat([piece[b] for piece in pieces]) for b in range(2)]
    expected, end = layer(Ragged.from_list(sequences([7, 3])))
    torch.testing.assert_close(found, list(expected))
    torch.testing.assert_close(pytree.tree_leaves(state), pytree.tree_leaves(end))


@each_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_trace_is_part_of_the_call(name: str, *, bidirectional: bool) -> None:
    layer = make(name, num_layers=2, bidirectional=bidirectional)
    x = Ragged.from_list(sequences([4, 0, 2]))
    trace, result = layer.trace(x), layer(x)
    torch.testing.assert_close(trace.result.output.values, result.output.values)
    torch.testing.assert_close(pytree.tree_leaves(trace.result.state), pytree.tree_leaves(result.state))
    assert set(trace.states) == {(number, way) for number in range(2) for way in range(1 + bidirectional)}
    for values in trace.states.values():
        assert {"candidate", "h"} < set(values)
        for value in values.values():
            (gradient,) = torch.autograd.grad(
                trace.result.output.values.sum(), value.values, retain_graph=True
            )
            assert gradient.any()
    top = [trace.states[1, way]["h"].values for way in range(1 + bidirectional)]
    torch.testing.assert_close(torch.cat(top, 1), trace.result.output.values)


@each_layer
def test_a_long_sequence_by_its_equations_on_any_number_of_threads(name: str) -> None:
    layer, (row,) = make(name), sequences([300])
    found = layer(row).output
    torch.testing.assert_close(found, by_steps(layer, row))
    layer, wide = make(name).float(), torch.cat(sequences([1500]) * 40).float()
    expected = layer(wide).output
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(layer(wide).output, expected)
    finally:
        torch.set_num_threads(threads)


def test_gates_of_a_min_lstm_that_are_both_closed_have_a_quotient() -> None:
    layer = tt.nn.MinLSTM(1, 1, activation="identity")
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.bias_ih_l0.copy_(torch.tensor([-300.0, -300.0, 1.0]))
    output, _ = layer(torch.zeros(3, 1))
    torch.testing.assert_close(output.flatten(), torch.tensor([0.5, 0.75, 0.875]))
    output.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_a_sru_without_projection_skips_its_input() -> None:
    layer = tt.nn.SRU(2, 2)
    with torch.no_grad():
        layer.bias_ih_l0[4:] = -200.0  # the reset gate is closed
    x = torch.randn(5, 2)
    torch.testing.assert_close(layer(x).output, x)


def test_a_qrnn_of_one_step_and_f_pooling_is_a_gated_average() -> None:
    layer = tt.nn.QRNN(1, 1, kernel_size=1, pooling="f", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor([0.0, 50.0])[:, None, None])
    output, _ = layer(torch.ones(3, 1))
    torch.testing.assert_close(output.flatten(), torch.tensor([0.5, 0.75, 0.875]))


def test_representations_show_what_is_no_default() -> None:
    assert repr(tt.nn.MinGRU(3, 4)) == "MinGRU(3, 4)"
    assert repr(tt.nn.MinLSTM(3, 4, 2, activation="tanh")) == "MinLSTM(3, 4, num_layers=2, activation='tanh')"
    assert repr(tt.nn.QRNN(3, 4, pooling="f", bias=False)) == "QRNN(3, 4, bias=False, pooling='f')"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tt.nn.MinGRU(0, 4), ShapeError, "input_size is at least 1, got 0"),
        (lambda: tt.nn.MinGRU(3, 4, dropout=2), ShapeError, "probability"),
        (lambda: tt.nn.MinGRU(3, 4, activation="relu"), ShapeError, "'positive'.*got 'relu'"),  # type: ignore[arg-type]
        (lambda: tt.nn.QRNN(3, 4, kernel_size=0), ShapeError, "kernel_size is at least 1"),
        (lambda: tt.nn.QRNN(3, 4, pooling="g"), ShapeError, "'f', 'fo' or 'ifo'"),  # type: ignore[arg-type]
        (lambda: tt.nn.SRU(3, 4)(torch.randn(5, 2)), ShapeError, "expects 3 features"),
        (
            lambda: tt.nn.SRU(3, 4)(torch.randn(5, 3), torch.zeros(1, 5)),
            ShapeError,
            r"h_0 has shape \(1, 5\)",
        ),
        (
            lambda: tt.nn.QRNN(3, 4)(torch.randn(5, 3), torch.zeros(1, 4)),
            InputTypeError,
            "a pair as its state",
        ),
        (
            lambda: tt.nn.QRNN(3, 4)(torch.randn(5, 3), (torch.zeros(1, 4), (torch.zeros(2, 3),))),
            ShapeError,
            r"last inputs of layer 0 have shape \(1, 2, 3\), expected \(1, 1, 3\)",
        ),
        (
            lambda: tt.nn.QRNN(3, 4)(torch.randn(5, 3), (torch.zeros(1, 4), ())),
            InputTypeError,
            "1 tensors, got 0",
        ),
        (lambda: tt.nn.SRU(3, 4, bidirectional=True).step(torch.randn(3)), ShapeError, "reads from the end"),
        (lambda: tt.nn.SRU(3, 4).step(torch.randn(1, 2, 3)), ShapeError, "one token"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
