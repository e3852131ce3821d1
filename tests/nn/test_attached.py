"""`watch` and `carry` act on calls of the thread that entered them, also if several threads call one layer at once."""

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import torch

import throughtime as tt


def _in_another_thread(function: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_another_thread_inside_carry_begins_with_zeros() -> None:
    layer, x = tt.nn.GRU(3, 5), torch.randn(4, 1, 3)
    carried, fresh = tt.bptt.Carried(), layer(x).output
    with carried.carry(layer, [0]):
        layer(x)
    with carried.carry(layer, [0]):
        elsewhere = _in_another_thread(lambda: layer(x).output)
        here = layer(x).output
    assert torch.equal(elsewhere, fresh)
    assert not torch.equal(here, fresh)
    assert layer._carriers is None


def test_two_threads_carry_streams_of_their_own_at_once() -> None:
    layer = tt.nn.LSTM(3, 5)
    x = {name: torch.randn(12, 1, 3) for name in ("first", "second")}
    meeting = threading.Barrier(2)

    def run(name: str) -> torch.Tensor:
        carried, outputs = tt.bptt.Carried(), []
        for window in x[name].split(4):
            meeting.wait(10)
            with carried.carry(layer, [0]):
                meeting.wait(10)  # both are inside
                outputs.append(layer(window).output.detach())
                meeting.wait(10)
        return torch.cat(outputs)

    found: dict[str, torch.Tensor] = {}
    threads = [threading.Thread(target=lambda name=name: found.update({name: run(name)})) for name in x]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, tokens in x.items():
        assert torch.equal(found[name], layer(tokens).output)


def test_a_watch_sees_the_runs_of_its_own_thread() -> None:
    layer, x = tt.nn.RNN(3, 5), torch.randn(4, 1, 3)
    with tt.diagnose.watch(layer) as seen:
        _in_another_thread(lambda: layer(x).output.sum().backward())
        assert not seen._calls
        layer(x).output.sum().backward()
    assert len(seen.directions()) == 1


def test_after_an_inner_watch_the_outer_one_goes_on() -> None:
    layer, x = tt.nn.RNN(3, 5), torch.randn(4, 1, 3)
    with tt.diagnose.watch(layer) as outer:
        with tt.diagnose.watch(layer) as inner:
            layer(x).output.sum().backward()
        layer(2 * x).output.sum().backward()
    assert len(inner.directions()) == len(outer.directions()) == 1
    assert torch.equal(outer.directions()[0].input, 2 * x[:, 0])


def test_blocks_may_end_in_another_order_than_they_began() -> None:
    layer, x = tt.nn.RNN(3, 5), torch.randn(4, 1, 3)
    first, second = tt.diagnose.watch(layer), tt.diagnose.watch(layer)
    a, b = first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    layer(x).output.sum().backward()
    second.__exit__(None, None, None)
    layer(x).output.sum().backward()
    assert len(b.directions()) == 1
    assert not a._calls
    assert layer._watchers is None


def test_a_carrier_is_left_behind_by_no_order_of_exits() -> None:
    layer, x = tt.nn.GRU(3, 5), torch.randn(4, 1, 3)
    fresh = layer(x).output
    blocks = [tt.bptt.Carried().carry(layer, [0]) for _ in range(2)]
    for block in blocks:
        block.__enter__()
    layer(x)
    for block in blocks:
        block.__exit__(None, None, None)
    assert layer._carriers is None
    assert torch.equal(layer(x).output, fresh)


def test_copies_made_inside_are_not_carried() -> None:
    layer, x = tt.nn.GRU(3, 5), torch.randn(4, 1, 3)
    carried, fresh = tt.bptt.Carried(), layer(x).output
    with carried.carry(layer, [0]):
        layer(x)
    with carried.carry(layer, [0]):
        copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
        assert all(torch.equal(one(x).output, fresh) for one in copies)
        layer(x)


def test_a_compiled_layer_is_carried_where_it_is_called_inside() -> None:
    torch._dynamo.reset()
    layer, x = tt.nn.GRU(3, 5), torch.randn(4, 1, 3)
    run = torch.compile(layer, backend="eager")
    carried, fresh = tt.bptt.Carried(), run(x).output
    for _ in range(2):
        with carried.carry(layer, [0]):
            here = run(x).output
    torch.testing.assert_close(here, layer(torch.cat([x, x])).output[4:])
    torch.testing.assert_close(run(x).output, fresh)
