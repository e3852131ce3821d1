"""`Recurrence`: torch's own layers written as transitions, states of any structure, and errors."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_sequence

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError

from .recurrent import leaves

LENGTHS = [4, 0, 1, 6, 4]


def _batch(features: int = 3) -> Ragged:
    values = torch.randn(sum(LENGTHS), features, dtype=torch.float64, requires_grad=True)
    return Ragged.from_lengths(values, LENGTHS)


class _Transition(nn.Module):
    """The cell of one of torch's layers, with its very parameters; the input's product is outside."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.kind = layer, type(layer).__name__

    def prepare(self, x: Tensor) -> Tensor:
        return linear(x, self.layer.weight_ih_l0, self.layer.bias_ih_l0)

    def forward(self, state: Any, x: Tensor) -> Any:
        h = state[0] if self.kind == "LSTM" else state
        from_h = linear(h, self.layer.weight_hh_l0, self.layer.bias_hh_l0)
        if self.kind == "RNN":
            return torch.tanh(x + from_h)
        if self.kind == "GRU":
            (x_r, x_z, x_n), (h_r, h_z, h_n) = x.chunk(3, 1), from_h.chunk(3, 1)
            z = torch.sigmoid(x_z + h_z)
            return (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n) + z * h
        i, f, g, o = (x + from_h).chunk(4, 1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def _pair(name: str, **more: Any) -> tuple[nn.Module, tt.nn.Recurrence]:
    torch.manual_seed(0)
    layer = getattr(nn, name)(3, 5).double()
    f = _Transition(layer)
    read = (lambda state: state[0]) if name == "LSTM" else None
    size: Any = (5, 5) if name == "LSTM" else 5
    return layer, tt.nn.Recurrence(f, read, state=size, prepare=f.prepare, **more).double()


each = pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])


@each
@pytest.mark.parametrize("given", [False, True])
def test_torchs_layers_as_transitions(name: str, given: bool) -> None:
    layer, ours = _pair(name)
    x = _batch()
    state = [
        torch.randn(5, 5, dtype=torch.float64, requires_grad=True) for _ in range(2 if name == "LSTM" else 1)
    ]
    arguments = () if not given else (tuple(state) if name == "LSTM" else state[0],)
    found = ours(x, *arguments)
    rows, ends = [], []
    for b, row in enumerate(x):
        start = [s[b][None] for s in state] if given else [torch.zeros(1, 5).double()] * len(state)
        if not len(row):
            ends.append(start)
            continue
        y, end = layer(row, tuple(start) if name == "LSTM" else start[0])
        rows.append(y)
        ends.append(list(end) if name == "LSTM" else [end])
    expected = [torch.cat(rows), *(torch.cat(parts) for parts in zip(*ends, strict=True))]
    made = [found.output.values, *leaves(found.state)]
    for part, right in zip(made, expected, strict=True):
        torch.testing.assert_close(part, right)
    wanted = [x.values, *layer.parameters(), *(state if given else [])]
    seeds = [torch.randn_like(part) for part in expected]
    torch.testing.assert_close(
        torch.autograd.grad(made, wanted, seeds), torch.autograd.grad(expected, wanted, seeds)
    )


@each
def test_every_kind_of_input_comes_back_as_it_came(name: str) -> None:
    layer, ours = _pair(name)
    dense = torch.randn(4, 2, 3).double()
    y, end = layer(dense)
    found = ours(dense)
    torch.testing.assert_close(found.output, y)
    torch.testing.assert_close(leaves(found.state), [part[0] for part in leaves(end)])
    _, first = _pair(name, batch_first=True)
    torch.testing.assert_close(first(dense.transpose(0, 1)).output, y.transpose(0, 1))
    alone = ours(dense[:, 0])
    torch.testing.assert_close(alone.output, y[:, 0])
    assert leaves(alone.state)[0].shape == (5,)
    again = ours(dense[2:, 0], ours(dense[:2, 0]).state)
    torch.testing.assert_close(again.output, y[2:, 0])
    rows = [torch.randn(n, 3).double() for n in (2, 4, 3)]
    packed = ours(pack_sequence(rows, enforce_sorted=False))
    for one, row in zip(Ragged.from_packed(packed.output), rows, strict=True):
        torch.testing.assert_close(one, layer(row)[0])
    torch.testing.assert_close(leaves(packed.state)[0][1], leaves(layer(rows[1])[1])[0][0])
    expected = ours(Ragged.from_list(rows))
    torch.testing.assert_close(leaves(packed.state), leaves(expected.state))


@each
def test_trace_and_step(name: str) -> None:
    _, ours = _pair(name)
    x = _batch()
    trace = ours.trace(x)
    called = ours(x)
    torch.testing.assert_close(trace.result.output.values, called.output.values)
    states = trace.states if isinstance(trace.states, tuple) else (trace.states,)
    torch.testing.assert_close(states[0].values, called.output.values)
    for part, end in zip(states, leaves(called.state), strict=True):
        for b, row in enumerate(part):
            if len(row):
                torch.testing.assert_close(row[-1], end[b])
    dense = torch.randn(4, 2, 3).double()
    traced = ours.trace(dense)
    assert leaves(traced.states)[0].shape == (8, 5)
    torch.testing.assert_close(traced.result.output, ours(dense).output)
    state, outputs = None, []
    for x_t in dense:
        o_t, state = ours.step(x_t, state)
        outputs.append(o_t)
    torch.testing.assert_close(torch.stack(outputs), ours(dense).output)
    torch.testing.assert_close(leaves(state), leaves(ours(dense).state))


def test_split_with_the_state_carried_is_the_whole() -> None:
    _, ours = _pair("LSTM")
    x = _batch()
    head, tail = x.split_time(2)
    first = ours(head)
    second = ours(tail, first.state)
    whole = ours(x)
    torch.testing.assert_close(Ragged.cat_time([first.output, second.output]).values, whole.output.values)
    torch.testing.assert_close(leaves(second.state), leaves(whole.state))


class _Pair(NamedTuple):
    sum: Tensor
    count: Tensor


def test_states_and_tokens_of_any_structure() -> None:
    """A running mean and maximum, of tokens that are pairs."""

    def f(state: dict[str, Any], x: tuple[Tensor, Tensor]) -> dict[str, Any]:
        number, square = x
        pair = state["pair"]
        return {
            "pair": _Pair(pair.sum + number, pair.count + 1),
            "largest": [torch.maximum(state["largest"][0], square)],
        }

    def g(state: dict[str, Any]) -> tuple[Tensor, Tensor]:
        return state["pair"].sum / state["pair"].count[:, None], state["largest"][0]

    begin = {"pair": _Pair(torch.zeros(2), torch.zeros(())), "largest": [torch.full((2, 2), -1.0)]}
    layer = tt.nn.Recurrence(f, g, state=begin, prepare=lambda x: (x, x[:, :, None] * x[:, None, :]))
    x = Ragged.from_lengths(torch.randn(8, 2), [3, 0, 5])
    (mean, largest), state = layer(x)
    for row, means, largests in zip(x, mean, largest, strict=True):
        for t in range(len(row)):
            torch.testing.assert_close(means[t], row[: t + 1].mean(0))
            squares = row[:, :, None] * row[:, None, :]
            torch.testing.assert_close(largests[t], squares[: t + 1].amax(0).clamp(min=-1))
    assert state["pair"].count.tolist() == [3, 0, 5]
    assert isinstance(state["pair"], _Pair)
    again = layer(x, state).state
    assert again["pair"].count.tolist() == [6, 0, 10]


def test_tokens_may_be_integers_and_the_beginning_learned() -> None:
    torch.manual_seed(0)
    table, start = nn.Embedding(7, 3), nn.Parameter(torch.randn(3))
    layer = tt.nn.Recurrence(lambda h, x: torch.tanh(h + x), state=start, prepare=table)
    assert dict(layer.named_parameters()).keys() == {"prepare.weight", "initial_0"}
    x = Ragged.from_list([torch.tensor([1, 2]), torch.tensor([], dtype=torch.long), torch.tensor([6])])
    output, state = layer(x)
    h = start
    for token in (1, 2):
        h = torch.tanh(h + table.weight[token])
    torch.testing.assert_close(output[0][1], h)
    assert torch.equal(state[1], start)
    state.sum().backward()
    assert start.grad is not None
    assert start.grad.abs().min() > 0


CELLS = [
    (nn.GRUCell, {}), (nn.LSTMCell, {"bias": False}), (nn.RNNCell, {}), (nn.RNNCell, {"nonlinearity": "relu"}),
    (tt.nn.LSTMCell, {}), (tt.nn.GRUCell, {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), CELLS, ids=str)
def test_a_cell_as_f_is_the_loop_over_it(kind: Any, options: dict[str, Any]) -> None:
    """In the native loop, and step by step where there is a hook."""
    torch.manual_seed(0)
    cell = kind(3, 5, **options).double()
    layer, x = tt.nn.Recurrence(cell), _batch()
    lstm = isinstance(cell, nn.LSTMCell)
    state = [torch.randn(5, 5, dtype=torch.float64, requires_grad=True) for _ in range(2 if lstm else 1)]
    for given in (None, tuple(state) if lstm else state[0]):
        found = layer(x, given)
        traced = layer.trace(x, given)
        calls: list[int] = []
        hook = cell.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        layer.native = "never"
        slow = layer(x, given)
        layer.native = "auto"
        hook.remove()
        assert len(calls) == max(LENGTHS)
        torch.testing.assert_close(leaves(found), leaves(slow))
        torch.testing.assert_close([part.values for part in leaves_of(traced.states)], leaves(slow.output))
        wanted = [x.values, *cell.parameters(), *(state if given is not None else [])]
        seeds = [torch.randn_like(part) for part in leaves(slow)]
        torch.testing.assert_close(
            torch.autograd.grad(leaves(found), wanted, seeds),
            torch.autograd.grad(leaves(slow), wanted, seeds),
        )
    with pytest.raises(InputTypeError, match="state is missing; give the initial state"):
        tt.nn.Recurrence(lambda h, x: h)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        single = tt.nn.Recurrence(kind(3, 5, **options))
        assert leaves(single(x.with_values(x.values.float())).state)[0].dtype == torch.float32


def leaves_of(states: Any) -> list[Ragged]:
    return list(states) if isinstance(states, tuple) else [states]


def test_gradcheck_and_second_derivatives() -> None:
    layer, ours = _pair("GRU")
    x = torch.randn(7, 3).double().requires_grad_()
    start = torch.randn(3, 5).double().requires_grad_()

    def run(values: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, end = ours(Ragged.from_lengths(values, [4, 0, 3]), state)
        return output.values, end

    assert torch.autograd.gradcheck(run, (x, start))
    assert torch.autograd.gradgradcheck(run, (x, start))
    del layer


def test_under_autocast_the_state_keeps_its_dtype() -> None:
    torch.manual_seed(0)
    f = nn.Linear(8, 5)
    layer = tt.nn.Recurrence(lambda h, x: torch.tanh(f(torch.cat([h, x], 1))), state=5)
    x = Ragged.from_lengths(torch.randn(7, 3), [4, 3])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = layer(x)
    assert low.state.dtype == torch.float32
    torch.testing.assert_close(low.output.values, layer(x).output.values, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_a_cell_in_half_precision_is_the_layer_in_it(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name.removesuffix("Cell"))(3, 5).to(dtype)
    cell = getattr(nn, name)(3, 5).to(dtype)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    values = torch.randn(sum(LENGTHS), 3, dtype=dtype, requires_grad=True)
    x = Ragged.from_lengths(values, LENGTHS)
    found, expected = tt.nn.Recurrence(cell)(x), layer(x)
    output = found.output[0] if name == "LSTMCell" else found.output
    assert torch.equal(output.values, expected.output.values)
    for part, right in zip(leaves(found.state), leaves(expected.state), strict=True):
        assert torch.equal(part, right[0])
    gradients = torch.autograd.grad(output.values.sum(), [values, *cell.parameters()])
    right = torch.autograd.grad(expected.output.values.sum(), [values, *layer.parameters()])
    torch.testing.assert_close(gradients, right)


def test_a_transition_runs_natively_in_python_or_as_required() -> None:
    again = nn.Linear(5, 5).double()

    def branching(h: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(again(h)) if h.sum() < 100 else torch.tanh(again(h) + x.sum(1, keepdim=True))

    x = _batch()
    expected = tt.nn.Recurrence(branching, state=5, native="never").double()(x).output.values
    layer = tt.nn.Recurrence(branching, state=5).double()
    reason = r"step by step in Python, not in the native loop: .*test_recurrence.py"
    with pytest.warns(UserWarning, match=reason) as told:
        found = [layer(x).output.values for _ in range(2)]
    assert len(told) == 1  # once
    torch.testing.assert_close(found, [expected] * 2, rtol=0, atol=0)
    with pytest.raises(UnsupportedError, match=r"cannot run in the native loop: .*test_recurrence.py"):
        tt.nn.Recurrence(branching, state=5, native="require").double()(x)
    with pytest.raises(InputTypeError, match="native is one of auto, require, never, got 'yes'"):
        tt.nn.Recurrence(branching, state=5, native="yes")  # type: ignore[arg-type]


@each
def test_the_native_loop_and_the_one_in_python_agree(name: str) -> None:
    _, ours = _pair(name, native="require")
    _, slow = _pair(name, native="never")
    x = _batch()
    found, expected = ours(x), slow(x)
    torch.testing.assert_close(leaves(found), leaves(expected))
    seeds = [torch.randn_like(part) for part in leaves(found)]
    gradients = [
        torch.autograd.grad(leaves(result), [x.values, *layer.parameters()], seeds)
        for result, layer in ((found, ours), (expected, slow))
    ]
    torch.testing.assert_close(*gradients)


def test_an_empty_batch() -> None:
    _, ours = _pair("LSTM")
    for lengths in ([], [0], [0, 0]):
        x = Ragged.from_lengths(torch.zeros(0, 3).double(), lengths)
        output, state = ours(x)
        assert output.values.shape == (0, 5)
        assert [part.shape for part in state] == [(len(lengths), 5)] * 2


def _call(f: Any, x: Any = None, state: Any = 5, given: Any = None, **more: Any) -> None:
    tt.nn.Recurrence(f, state=state, **more)(
        _batch().with_values(_batch().values.float()) if x is None else x, given
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: tt.nn.Recurrence(None, state=5),
            InputTypeError,
            "f is a module or a function, got NoneType",
        ),
        (
            lambda: tt.nn.Recurrence(lambda h, x: h, 3, state=5),
            InputTypeError,
            "g is a module or a function, got int",
        ),
        (lambda: tt.nn.Recurrence(lambda h, x: h, state="5"), InputTypeError, "a number of zeros, a tensor"),
        (lambda: tt.nn.Recurrence(lambda h, x: h, state=-1), InputTypeError, "got -1"),
        (
            lambda: _call(lambda h, x: h[:, :4]),
            ShapeError,
            "returned shape (4, 4) for the state, got shape (4, 5)",
        ),
        (lambda: _call(lambda h, x: (h, h)), InputTypeError, "f returned (Tensor, Tensor), expected Tensor"),
        (
            lambda: _call(lambda h, x: h[0], state=(5, 5)),
            InputTypeError,
            "f returned Tensor, expected (Tensor, Tensor)",
        ),
        (
            lambda: _call(lambda h, x: (h[0], h[1][:, :1]), state=(5, 5)),
            ShapeError,
            "returned shape (4, 1) for part 1 of the state",
        ),
        (
            lambda: _call(lambda h, x: h.double()),
            InputTypeError,
            "returned torch.float64 for the state, got torch.float32",
        ),
        (
            lambda: _call(lambda h, x: (h[0], 3.0), state=(5, 5)),
            InputTypeError,
            "f returned float for part 1",
        ),
        (
            lambda: _call(lambda h, x: h, given=torch.zeros(3, 5)),
            ShapeError,
            "shape (3, 5), expected a tensor of shape (5, 5)",
        ),
        (
            lambda: _call(lambda h, x: h, given=(torch.zeros(5, 5),)),
            InputTypeError,
            "the state is (Tensor,), expected Tensor",
        ),
        (lambda: _call(lambda h, x: h, given=7), ShapeError, "the state has int, expected"),
        (
            lambda: _call(lambda h, x: h, prepare=lambda x: x[1:]),
            ShapeError,
            "prepare was given 15 tokens, and returned shape (14, 3)",
        ),
        (
            lambda: _call(lambda h, x: h, g=lambda h: h.sum()),
            ShapeError,
            "g was given 15 states, and returned shape ()",
        ),
        (lambda: _call(lambda h, x: h, x=torch.zeros(3)), InputTypeError, "got a tensor of shape (3,)"),
        (
            lambda: _call(lambda h, x: h, x=[1.0]),
            InputTypeError,
            "takes a Ragged, a PackedSequence, or a tensor",
        ),
        (
            lambda: tt.nn.Recurrence(lambda h, x: h, state=5).step(3.0),
            InputTypeError,
            "one token of each stream",
        ),
    ],
)
def test_what_does_not_fit_is_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
