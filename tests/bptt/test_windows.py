"""Windows and carried states against truncated backpropagation step by step, and against whole sequences."""

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

import throughtime as tt
from throughtime import Ragged
from throughtime.bptt import Carried, streams, windows
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError

LENGTHS = [11, 0, 3, 8]
LAYERS = [
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "proj_size": 2}),
    ("LSTM", {"learn_initial_state": True}),
    ("GRU", {"num_layers": 2}),
    ("GRU", {"reset_after": False, "update": "new"}),
    ("RNN", {}),
]
each_layer = pytest.mark.parametrize(("name", "options"), LAYERS, ids=str)


def _problem(name: str, options: dict[str, Any]) -> tuple[nn.Module, Ragged, Ragged]:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(3, 4, **options)
    model = nn.Sequential(layer, nn.Linear(layer.proj_size or 4, 1)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5)
    x = Ragged.from_lengths(torch.randn(sum(LENGTHS), 3).double(), LENGTHS)
    return model, x, Ragged.from_lengths(torch.randn(sum(LENGTHS), 1).double(), LENGTHS)


def _by_steps(model: nn.Module, x: Ragged, y: Ragged, k1: int, k2: int, rate: float) -> list[float]:
    """BPTT(k2; k1) as its definition says: one sequence, one step, one update of all after the other."""
    layer, output = model
    kept: dict[tuple[int, int], Any] = {}  # state after t steps of a sequence, with the weights of then
    losses: list[float] = []
    n = -1
    while any(length > (n + 1) * k1 for length in LENGTHS):
        n += 1
        begin, end = max(0, (n + 1) * k1 - k2), (n + 1) * k1
        alive = [b for b, length in enumerate(LENGTHS) if length > n * k1]
        total, count, new = torch.zeros(()).double(), 0, {}
        for b in alive:
            state = kept.get((b, begin)) if begin else None
            for t in range(begin, min(end, LENGTHS[b])):
                h, state = layer.step(x[b][t], state)
                new[b, t + 1] = _detached(state)
                if t >= n * k1:
                    total, count = total + (output(h) - y[b][t]).square().sum(), count + 1
        loss = total / count
        grads = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
        with torch.no_grad():
            for parameter, grad in zip(model.parameters(), grads, strict=True):
                parameter.sub_(rate * grad)
        kept.update(new)
        losses.append(loss.item())
    return losses


def _detached(state: Any) -> Any:
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def _by_windows(model: nn.Module, x: Ragged, y: Ragged, k1: int, k2: int | None, rate: float) -> list[float]:
    optimizer, carried, losses = torch.optim.SGD(model.parameters(), rate), Carried(), []
    for window in windows(x, k1, k2):
        with carried.carry(model, window):
            made = model(window.of(x))
        loss = (window.counted(made).values - window.targets(y).values).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@each_layer
@pytest.mark.parametrize(("k1", "k2"), [(3, 3), (2, 5), (1, 1), (1, 4), (4, 6), (20, 20)])
def test_windows_train_as_the_definition_says(name: str, options: dict[str, Any], k1: int, k2: int) -> None:
    model, x, y = _problem(name, options)
    twin, _, _ = _problem(name, options)
    found = _by_windows(model, x, y, k1, k2, 0.1)
    assert found == pytest.approx(_by_steps(twin, x, y, k1, k2, 0.1), rel=1e-9)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@each_layer
def test_one_window_over_everything_is_full_backpropagation(name: str, options: dict[str, Any]) -> None:
    model, x, y = _problem(name, options)
    twin, _, _ = _problem(name, options)
    found = _by_windows(model, x, y, 11, None, 0.1)
    loss = (twin(x).values - y.values).square().mean()
    loss.backward()
    assert found == [loss.item()]
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b - 0.1 * b.grad)


def test_windows_cut_what_they_say() -> None:
    x = Ragged.from_lengths(torch.arange(22), LENGTHS)
    for k1, k2 in itertools.product(range(1, 6), range(1, 13)):
        if k1 > k2:
            continue
        scored: list[list[int]] = [[] for _ in LENGTHS]
        previous = None
        for window in windows(x, k1, k2):
            assert window.stop - window.start <= k2
            assert window.scored == window.number * k1
            for place, b in enumerate(window.sequences.tolist()):
                whole = x[b]
                assert torch.equal(window.of(x)[place], whole[window.start : window.stop])
                scored[b] += window.targets(x)[place].tolist()
                assert torch.equal(window.counted(window.of(x))[place], window.targets(x)[place])
            if previous is not None:
                assert previous.start + previous.after == window.start
            previous = window
        assert scored == [row.tolist() for row in x], "every step counts once"


def test_a_window_reads_only_its_own_tokens_and_may_be_without_any() -> None:
    x = Ragged.from_lengths(torch.arange(7.0), [5, 2])
    found = list(windows(x, 2, count=5))
    assert [window.of(x).lengths.tolist() for window in found] == [[2, 2], [2], [1], [], []]
    assert [window.ids.tolist() for window in windows(x, 2, ids=torch.tensor([70, 9]))][1] == [70]
    assert list(windows(Ragged.empty(3), 4)) == []


def test_streams_are_the_whole_in_order() -> None:
    for total, count in itertools.product(range(1, 12), range(1, 12)):
        tokens = torch.arange(total)
        if count > total:
            with pytest.raises(ShapeError, match=f"cannot split {total} tokens into {count} streams"):
                streams(tokens, count)
            continue
        found = streams(tokens, count)
        assert torch.equal(found.values, tokens)
        assert len(found) == count
        assert int(found.lengths.max() - found.lengths.min()) <= 1


@each_layer
def test_a_stream_goes_on_exactly_where_it_was(name: str, options: dict[str, Any]) -> None:
    """Sequences end, others join, the order changes, and the state goes through a file."""
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(3, 4, **options)
    if layer.learn_initial_state:
        with torch.no_grad():
            layer.initial_h.normal_()
            layer.initial_c.normal_()
    rows = {7: torch.randn(9, 3), 3: torch.randn(5, 3), 8: torch.randn(6, 3)}
    alone = {i: layer(row).output for i, row in rows.items()}
    plan = [({7: 2, 3: 3}), ({8: 4, 7: 3}), ({3: 2, 8: 2, 7: 0}), ({7: 4})]
    carried, done = Carried(), dict.fromkeys(rows, 0)
    for number, step in enumerate(plan):
        batch = Ragged.from_list([rows[i][done[i] : done[i] + n] for i, n in step.items()])
        with carried.carry(layer, list(step)):
            output = layer(batch).output
        for place, (i, n) in enumerate(step.items()):
            assert torch.equal(output[place], alone[i][done[i] : done[i] + n])
            done[i] += n
        if number == 1:
            saved = carried.state_dict()
            carried = Carried()
            carried.load_state_dict(saved)
    assert sorted(carried.ids) == [3, 7, 8]
    carried.reset([7])
    assert sorted(carried.ids) == [3, 8]
    with carried.carry(layer, [7, 8]):
        again = layer(Ragged.from_list([rows[7][:2], rows[8][:0]]))
    assert torch.equal(again.output[0], alone[7][:2])
    carried.reset()
    assert len(carried) == 0
    with carried.carry(layer, torch.tensor([8])):
        assert torch.equal(layer(rows[8]).output, alone[8])


def test_dense_batches_carry_too_and_a_given_state_is_left_alone() -> None:
    torch.manual_seed(0)
    layer, x = tt.nn.GRU(3, 4, batch_first=True), torch.randn(2, 6, 3)
    whole, carried = layer(x).output, Carried()
    for part in x.split(2, 1):
        with carried.carry(layer, range(2)):
            found = layer(part).output
    assert torch.equal(found, whole[:, 4:])
    before = carried.state_dict()["layers"]["GRU"]["state"][0]
    with carried.carry(layer, range(2)):
        assert torch.equal(layer(x, torch.zeros(1, 2, 4)).output, whole)
    assert torch.equal(carried.state_dict()["layers"]["GRU"]["state"][0], before)


@each_layer
def test_a_step_goes_on_too(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer, x, carried = getattr(tt.nn, name)(3, 4, **options), torch.randn(5, 2, 3), Carried()
    for enabled in (True, False):
        carried.reset()
        with torch.set_grad_enabled(enabled):
            for x_t in x:
                with carried.carry(layer, [4, 9]):
                    y_t, _ = layer.step(x_t)
            torch.testing.assert_close(y_t, layer(x).output[-1])


def test_a_pass_that_fails_leaves_the_states_as_they_were() -> None:
    layer, x = tt.nn.GRU(3, 4), Ragged.from_lengths(torch.randn(4, 3), [4])
    carried = Carried()
    with carried.carry(layer, [0]):
        layer(x)
    before = carried.state_dict()["layers"]["GRU"]["state"][0]
    failing = nn.Sequential(layer, nn.Linear(7, 7))
    with pytest.raises(RuntimeError, match="shapes"), carried.carry(failing, [0]):
        failing(x)
    assert torch.equal(carried.state_dict()["layers"]["GRU"]["state"][0], before)
    assert layer._carriers is None


def test_no_graph_leaves_a_window() -> None:
    layer, carried = tt.nn.LSTM(3, 4), Carried()
    for _ in range(2):
        x = torch.randn(5, 3, requires_grad=True)
        with carried.carry(layer, [0]):
            output = layer(x).output
        output.sum().backward()
        assert x.grad is not None
    (layer_state,) = carried.state_dict()["layers"].values()
    assert not any(part.requires_grad for part in layer_state["state"])


def test_without_gradients_states_inside_a_run_are_those_with_them() -> None:
    for name in ("GRU", "RNN", "LSTM"):
        layer, x = getattr(tt.nn, name)(3, 4), torch.randn(6, 3)
        found = []
        for enabled in (True, False):
            carried = Carried()
            with torch.set_grad_enabled(enabled), carried.carry(layer, [0], after=4):
                layer(x)
            found.append(carried.state_dict()["layers"][name]["state"][0])
        assert torch.equal(*found)
        state = layer(x[:4]).state
        torch.testing.assert_close(found[0], (state[0] if name == "LSTM" else state)[:, None])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: windows(x, 0), ShapeError, "k1 and k2 are numbers of steps, at least 1; got k1 = 0"),
        (lambda x: windows(x, 1, 0), ShapeError, "at least 1; got k1 = 1 and k2 = 0"),
        (lambda x: windows(x, 5, 3), ShapeError, "k1 = 5 is greater than k2 = 3"),
        (lambda x: windows(x.values, 5), InputTypeError, "windows takes a Ragged batch, got Tensor"),
        (
            lambda x: windows(x, 5, ids=torch.tensor([1, 2])),
            ShapeError,
            "must have shape (4,), one per sequence, got (2,)",
        ),
        (lambda x: windows(x, 5, ids=torch.zeros(4).long()), ShapeError, "ids must differ"),
        (lambda x: windows(x, 5, ids=torch.zeros(4)), InputTypeError, "int64 tensor, got torch.float32"),
        (lambda x: next(windows(x, 2)).counted(x[:1]), ShapeError, "has 3 sequences, got a batch of 1"),
    ],
)
def test_windows_that_cannot_be_are_named(call: Any, error: Any, message: str) -> None:
    x = Ragged.from_lengths(torch.arange(22), LENGTHS)
    with pytest.raises(error) as caught:
        call(x)
    assert message in str(caught.value)


def _carry(model: nn.Module, ids: Any, x: Any, **more: Any) -> None:
    with Carried().carry(model, ids, **more):
        model(x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: _carry(nn.Linear(3, 3), [0], torch.randn(1, 3)), UnsupportedError, "no recurrent layer"),
        (
            lambda: _carry(tt.nn.GRU(3, 4, bidirectional=True), [0], torch.randn(1, 3)),
            UnsupportedError,
            "use bidirectional=False",
        ),
        (
            lambda: _carry(tt.nn.GRU(3, 4), [0, 0], torch.randn(1, 2, 3)),
            ShapeError,
            "cannot be the same stream",
        ),
        (
            lambda: _carry(tt.nn.GRU(3, 4), [0], torch.randn(1, 2, 3)),
            ShapeError,
            "got 2 sequences for 1 streams",
        ),
        (lambda: _carry(tt.nn.GRU(3, 4), [0], torch.randn(1, 3), after=-1), ShapeError, "at least 0; got -1"),
        (
            lambda: _carry(tt.nn.GRU(3, 4), [0], pack_sequence([torch.randn(2, 3)])),
            InputTypeError,
            "not PackedSequence",
        ),
        (
            lambda: _carry(nn.Sequential(*[tt.nn.GRU(3, 3)] * 2), [0], Ragged.from_list([torch.randn(2, 3)])),
            UnsupportedError,
            "runs twice in one forward pass",
        ),
        (
            lambda: Carried().load_state_dict({"version": 0}),
            InputTypeError,
            "not the state of a throughtime.bptt",
        ),
        (
            lambda: Carried().load_state_dict(
                {"version": 2, "layers": {"a": {"ids": torch.arange(2), "state": [torch.zeros(3, 4)]}}}
            ),
            ShapeError,
            "has shape (3, 4), expected (2, …), one row for each stream",
        ),
    ],
)
def test_states_that_cannot_be_carried_are_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_the_state_of_another_architecture_is_named() -> None:
    carried, x = Carried(), torch.randn(2, 3)
    with carried.carry(tt.nn.GRU(3, 4), [0]):
        pass
    first = tt.nn.GRU(3, 4)
    with carried.carry(first, [0]):
        first(x)
    for other in (tt.nn.GRU(3, 5), tt.nn.GRU(3, 4, num_layers=2)):
        with (
            pytest.raises(ShapeError, match="this layer has .*; carry states of one architecture"),
            carried.carry(other, [0]),
        ):
            other(x)
