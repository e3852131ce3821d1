"""Graphs run as programs against the reference, with all gradients."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.program import graphs
from tests.ops.program.graphs import Call, call_of
from tests.ops.program.interpreter import Program
from throughtime.ops.program import layer, native
from throughtime.ops.program.builder import Builder, Value
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.layer import run_program
from throughtime.ops.program.operators import OPERATORS
from throughtime.ops.program.reference import Results, run_reference

MACHINES = {"interpreter": Program, **({"native": native.Program} if native.Program else {})}
ORDERS = {
    "ragged": [3, 0, 1, 5],
    "time-major": [4, 4, 4],
    "batch first": [4, 4, 4],
    "packed": [5, 3, 3, 1],
}


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run programs by the interpreter of the tests, and natively; fail where the reference would run instead."""
    monkeypatch.setattr(native, "Program", MACHINES[request.param])

    def refuse(*_: Any, **__: Any) -> Results:
        raise AssertionError("the reference ran")

    monkeypatch.setattr(layer, "run_reference", refuse)
    return str(request.param)


def flat(results: Results) -> list[Tensor]:
    return [part for group in results for part in group if part is not None]


def gradients(results: list[Tensor], tensors: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    weights = [torch.randn(part.shape, generator=generator, dtype=torch.float64).to(part) for part in results]
    loss = sum((part * weight).sum() for part, weight in zip(results, weights, strict=True))
    assert isinstance(loss, Tensor)
    return list(torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True))


def assert_as_reference(call: Call, *, from_end: bool = False, tolerance: float = 1e-10) -> None:
    arguments = (call.graph, call.inputs, call.states, call.steps)
    found = flat(run_program(*arguments, from_end=from_end))
    expected = flat(run_reference(*arguments, from_end=from_end))
    options = {"rtol": tolerance, "atol": tolerance}
    torch.testing.assert_close(found, expected, **options)
    pairs = zip(gradients(found, call.tensors()), gradients(expected, call.tensors()), strict=True)
    for number, (one, other) in enumerate(pairs):
        torch.testing.assert_close(one, other, **options, msg=lambda text, n=number: f"gradient {n}: {text}")


def _norm_lstm(hidden: int) -> Graph:
    b = Builder()
    h, c = b.leaf("state", 0, hidden), b.leaf("state", 1, hidden)
    pre = b.product(0, h, 4 * hidden)
    pre = b.leaf("token", 0, 4 * hidden) + graphs.layer_norm(
        pre, b.leaf("vector", 0, 4 * hidden), b.leaf("vector", 1, 4 * hidden)
    )
    i, f, g, o = (pre.slice(k * hidden, hidden) for k in range(4))
    after = f.call("sigmoid") * c + i.call("sigmoid") * g.call("tanh")
    normed = graphs.layer_norm(after, b.leaf("vector", 2, hidden), b.leaf("vector", 3, hidden))
    return b.graph([o.call("sigmoid") * normed.call("tanh"), after])


CELLS: dict[str, Callable[[], Graph]] = {
    "lstm": lambda: graphs.lstm(3),
    "gru": lambda: graphs.gru(3),
    "gru, reset before": lambda: graphs.gru_reset_before(3),
    "layer norm lstm": lambda: _norm_lstm(3),
    "attention": lambda: graphs.attention(3, 4),
}
each_cell = pytest.mark.parametrize("cell", CELLS)


@pytest.mark.usefixtures("machine")
@each_cell
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("from_end", [False, True])
def test_cells_in_all_orders(cell: str, order: str, *, from_end: bool) -> None:
    torch.manual_seed(0)
    call = call_of(CELLS[cell](), ORDERS[order], order, initial=order != "time-major")
    assert_as_reference(call, from_end=from_end)


@pytest.mark.usefixtures("machine")
@each_cell
@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [1]])
def test_batches_of_little(cell: str, lengths: list[int]) -> None:
    assert_as_reference(call_of(CELLS[cell](), lengths))
