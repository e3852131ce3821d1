"""`Stack`: its connections against the same layers called by hand, in every kind of input; its mistakes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError

STEPS, BATCH = 9, 3


def _plain() -> tt.nn.Stack:
    return tt.nn.Stack(
        tt.nn.LSTM(4, 6, num_layers=2), nn.LayerNorm(6), tt.nn.GRU(6, 5), tt.nn.SRU(5, 5), tt.nn.Linear(5, 3)
    )


def _residual() -> tt.nn.Stack:
    return tt.nn.Stack(
        tt.nn.LSTM(4, 6, proj_size=4), tt.nn.GRU(4, 5), nn.Linear(5, 5), tt.nn.MGU(5, 3), residual=True
    )


def _dense() -> tt.nn.Stack:
    return tt.nn.Stack(tt.nn.GRU(4, 6), tt.nn.MinLSTM(10, 5), tt.nn.Linear(15, 3), dense=True)


STACKS: dict[str, Callable[[], tt.nn.Stack]] = {"plain": _plain, "residual": _residual, "dense": _dense}
each_stack = pytest.mark.parametrize("name", STACKS)


def _problem(name: str) -> tuple[tt.nn.Stack, Tensor]:
    torch.manual_seed(0)
    return STACKS[name]().double(), torch.randn(STEPS, BATCH, 4, dtype=torch.float64, requires_grad=True)


def _output(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


def _by_hand(stack: tt.nn.Stack, name: str, x: Tensor) -> Tensor:
    """The equations of `Stack`, for time-major tensors."""
    outputs = [x]
    for number, layer in enumerate(stack.layers):
        if name == "dense":
            outputs.append(_output(layer(torch.cat(outputs, -1))))
            continue
        y = _output(layer(outputs[-1]))
        if name == "residual":
            same = y.shape[-1] == outputs[-1].shape[-1]
            weight = None if same else stack.shortcuts[str(number)].weight
            y = y + (outputs[-1] if weight is None else outputs[-1] @ weight.t())
        outputs.append(y)
    return outputs[-1]


@each_stack
def test_connections(name: str) -> None:
    stack, x = _problem(name)
    found, expected = stack(x).output, _by_hand(stack, name, x)
    wanted = [x, *stack.parameters()]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), wanted), torch.autograd.grad(expected.sin().sum(), wanted)
    )


def test_projections_are_where_the_number_of_features_changes() -> None:
    assert list(_residual().shortcuts) == ["1", "3"]
    assert [tuple(layer.weight.shape) for layer in _residual().shortcuts.values()] == [(5, 4), (3, 5)]
    assert not _dense().shortcuts


@each_stack
def test_kinds_of_input(name: str) -> None:
    stack, x = _problem(name)
    expected, states = stack(x)
    sequences = list(x.unbind(1))
    ragged, packed = stack(Ragged.from_list(sequences)), stack(pack_sequence(sequences, enforce_sorted=False))
    torch.testing.assert_close(torch.stack(list(ragged.output), 1), expected)
    torch.testing.assert_close(pad_packed_sequence(packed.output)[0], expected)
    torch.testing.assert_close(stack(x[:, 0]).output, expected[:, 0])
    for other in (ragged, packed):
        for found, state in zip(other.state, states, strict=True):
            assert type(found) is type(state)
            if state is not None:
                torch.testing.assert_close(found, state)


def test_batch_first() -> None:
    stack = tt.nn.Stack(tt.nn.LSTM(4, 6, batch_first=True), tt.nn.GRU(6, 5, batch_first=True)).double()
    x = torch.randn(BATCH, STEPS, 4, dtype=torch.float64)
    torch.testing.assert_close(stack(x).output, stack.layers[1](stack.layers[0](x).output).output)


@each_stack
@pytest.mark.parametrize("flagged", [False, True])
def test_step_by_step(name: str, flagged: bool) -> None:
    stack, x = _problem(name)
    flags = torch.rand(STEPS, BATCH) < (0.3 if flagged else 0)
    expected, end = stack(x, reset=flags)
    outputs, state = [], None
    for x_t, reset in zip(x, flags, strict=True):
        y_t, state = stack.step(x_t, state, reset=reset if flagged else None)
        outputs.append(y_t)
    torch.testing.assert_close(torch.stack(outputs), expected)
    for found, part in zip(state, end, strict=True):
        if part is not None:
            torch.testing.assert_close(found, part)


@each_stack
def test_reset_flags_split_sequences(name: str) -> None:
    stack, x = _problem(name)
    flags = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    flags[4, 0] = flags[2, 2] = flags[7, 2] = True
    found = stack(x, reset=flags).output
    for b, cuts in enumerate(([4], [], [2, 7])):
        pieces = [stack(piece).output for piece in torch.tensor_split(x[:, b], cuts)]
        torch.testing.assert_close(found[:, b], torch.cat(pieces))


@each_stack
def test_traces_of_the_layers(name: str) -> None:
    stack, x = _problem(name)
    flags = torch.rand(STEPS, BATCH) < 0.3
    trace = stack.trace(x, reset=flags)
    torch.testing.assert_close(trace.result.output, stack(x, reset=flags).output)
    for layer, part in zip(stack.layers, trace.layers, strict=True):
        assert (part is not None) == hasattr(layer, "trace")
    first = stack.layers[0].trace(x, reset=flags).result.output
    torch.testing.assert_close(trace[0].result.output, first)


@each_stack
def test_streams(name: str) -> None:
    stack, x = _problem(name)
    head, tail = (Ragged.from_list(list(part.unbind(1))) for part in x.split([5, 4]))
    stream = tt.nn.Stream(stack)
    first, state = stream(head)
    second, _ = stream(tail, state)
    found = torch.stack(list(Ragged.cat_time([first, second])), 1)
    torch.testing.assert_close(found, stack(x).output)


def test_a_convolution_in_a_stack() -> None:
    torch.manual_seed(0)
    stack = tt.nn.Stack(tt.nn.Conv1d(4, 5, 3, padding="causal"), tt.nn.GRU(5, 5), residual=True).double()
    x = torch.randn(STEPS, BATCH, 4, dtype=torch.float64)
    sequences = Ragged.from_list(list(x.unbind(1)))
    y = stack.layers[0](sequences)
    y = y + sequences.with_values(sequences.values @ stack.shortcuts["0"].weight.t())
    expected = stack.layers[1](y).output + y
    torch.testing.assert_close(stack(sequences).output.values, expected.values)
    torch.testing.assert_close(stack(x).output, torch.stack(list(expected), 1))
    stream = tt.nn.Stream(stack)
    outputs, state = [], None
    for x_t in x:
        y_t, state = stream.step(x_t, state)
        outputs.append(y_t)
    torch.testing.assert_close(torch.stack(outputs), torch.stack(list(expected), 1))
    assert tt.nn.receptive_field(tt.nn.Stack(*stack.layers[:1], residual=True)).first == -2


def test_dropout_is_between_layers() -> None:
    torch.manual_seed(0)
    stack = tt.nn.Stack(nn.Linear(4, 4), nn.Linear(4, 4), residual=True, dropout=1.0)
    x = torch.randn(STEPS, BATCH, 4)
    below = stack.layers[0](x) + x
    torch.testing.assert_close(stack(x).output, below + stack.layers[1].bias)
    stack.eval()
    torch.testing.assert_close(stack(x).output, below + stack.layers[1](below))


def test_stacks_in_stacks_and_in_both_directions() -> None:
    torch.manual_seed(0)
    inner = tt.nn.Stack(tt.nn.GRU(4, 4), tt.nn.GRU(4, 4), residual=True)
    stack, x = tt.nn.Stack(inner, tt.nn.LSTM(4, 3)).double(), torch.randn(STEPS, BATCH, 4).double()
    flags = torch.rand(STEPS, BATCH) < 0.3
    output, state = stack(x, reset=flags)
    torch.testing.assert_close(output, stack.layers[1](inner(x, reset=flags).output, reset=flags).output)
    assert [type(part) for part in state] == [list, tuple]
    assert tt.nn.Bidirectional(inner)(x, reset=flags).output.shape == (STEPS, BATCH, 8)


def test_mistakes_are_named() -> None:
    x = torch.randn(STEPS, BATCH, 4)
    with pytest.raises(ShapeError, match="at least one layer"):
        tt.nn.Stack()
    with pytest.raises(InputTypeError, match="Stack takes modules, got int"):
        tt.nn.Stack(3)
    with pytest.raises(ShapeError, match="residual=True or dense=True, not both"):
        tt.nn.Stack(nn.Linear(4, 4), residual=True, dense=True)
    with pytest.raises(ShapeError, match="some layers have batch_first=True"):
        tt.nn.Stack(tt.nn.GRU(4, 4), tt.nn.GRU(4, 4, batch_first=True))
    with pytest.raises(
        ShapeError, match=r"layer 0 \(Recurrence\) maps 4 features to 5, which cannot be added"
    ):
        tt.nn.Stack(tt.nn.Recurrence(nn.GRUCell(4, 5)), residual=True)(x)
    stack = tt.nn.Stack(tt.nn.Conv1d(4, 4, 3, padding="causal"), tt.nn.GRU(4, 4))
    with pytest.raises(InputTypeError, match="Stack got reset flags, but Conv1d takes none"):
        stack(x, reset=torch.zeros(STEPS, BATCH).bool())
    with pytest.raises(UnsupportedError, match=r"layer 0 \(Conv1d\) has no step; run tt.nn.Stream\(stack\)"):
        stack.step(x[0])
    with pytest.raises(InputTypeError, match="a list of 2 states, one for each layer, got 1 of them"):
        stack(x, [None])
    with pytest.raises(ShapeError, match=r"layer 0 \(Conv1d\) changes the number of steps"):
        tt.nn.Stack(tt.nn.Conv1d(4, 4, 3))(Ragged.from_list([x[:, 0]]))
    with pytest.raises(InputTypeError, match="Stack takes a Ragged, a Tensor or a PackedSequence, got list"):
        stack([1, 2])
