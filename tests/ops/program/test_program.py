"""Graphs run as programs against the reference, with all gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.program import graphs
from tests.ops.program.graphs import Call, call_of
from tests.ops.program.interpreted import Program
from tests.ops.program.random_graphs import RandomGraph, applied
from throughtime.ops.program import autograd, native
from throughtime.ops.program.builder import Builder, Value
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.layer import run_program
from throughtime.ops.program.operators import OPERATORS, RESHAPING
from throughtime.ops.program.reference import Results, run_reference

MACHINES = {"interpreter": Program, "native": native.Program}
ORDERS = {
    "ragged": [3, 0, 1, 5],
    "time-major": [4, 4, 4],
    "batch first": [4, 4, 4],
    "packed": [5, 3, 3, 1],
}


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run programs by the interpreter of the tests, and natively; fail where the reference would run instead."""
    monkeypatch.setattr(native, "Program", MACHINES[request.param])

    def refuse(*_: Any, **__: Any) -> Results:
        raise AssertionError("the reference ran")

    monkeypatch.setattr(autograd, "run_reference", refuse)


def flat(results: Results) -> list[Tensor]:
    """Return all tensors of the results."""
    return [part for group in results for part in group if part is not None]


def gradients(results: list[Tensor], tensors: list[Tensor]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    weights = [torch.randn(part.shape, generator=generator, dtype=torch.float64).to(part) for part in results]
    loss = sum((part * weight).sum() for part, weight in zip(results, weights, strict=True))
    assert isinstance(loss, Tensor)
    if not loss.requires_grad:  # nothing depends on the tensors
        return [torch.zeros_like(tensor) for tensor in tensors]
    return list(torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True))


def assert_as_reference(call: Call, *, from_end: bool = False, tolerance: float = 1e-10) -> None:
    arguments = (call.graph, call.inputs, call.states, call.steps)
    found = flat(run_program(*arguments, from_end=from_end))
    expected = flat(run_reference(*arguments, from_end=from_end))
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    of_both = (gradients(results, call.tensors()) for results in (found, expected))
    torch.testing.assert_close(*of_both, rtol=tolerance, atol=tolerance)


CELLS: dict[str, Callable[[], Graph]] = {
    "lstm": lambda: graphs.lstm(3),
    "gru": lambda: graphs.gru(3),
    "gru, reset before": lambda: graphs.gru_reset_before(3),
    "layer norm lstm": lambda: graphs.layer_norm_lstm(3),
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


def _on_token_and_state(operator: str) -> Graph:
    b = Builder()
    h = b.leaf("state", 0, 6)
    inputs = [b.leaf("token", k, 6) + h * (0.3 - 0.2 * k) for k in range(OPERATORS[operator].arity)]
    y = applied(operator, inputs)
    return b.graph([y.call("tanh")], [y])


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("operator", sorted(OPERATORS.keys() - RESHAPING))
def test_pointwise_operators(operator: str) -> None:
    torch.manual_seed(1)
    assert_as_reference(call_of(_on_token_and_state(operator), [3, 0, 2]))


LAYOUTS: dict[str, tuple[Callable[[Value], Value], Callable[[Tensor], Tensor]]] = {
    "slice": (lambda v: v.slice(1, 3), lambda x: x[:, 1:4]),
    "overlapping slices": (lambda v: v.slice(0, 4) * v.slice(2, 4), lambda x: x[:, :4] * x[:, 2:]),
    "concat": (
        lambda v: v.builder.concat([v.slice(2, 2), v.call("exp"), v.slice(2, 2)]),
        lambda x: torch.cat([x[:, 2:4], x.exp(), x[:, 2:4]], 1),
    ),
    "repeat": (lambda v: v.repeat(18), lambda x: x.repeat_interleave(3, 1)),
    "tile": (lambda v: v.tile(18), lambda x: x.repeat(1, 3)),
    "sum": (lambda v: v.sum(2), lambda x: x.view(-1, 2, 3).sum(2)),
    "sum_strided": (lambda v: v.sum_strided(2), lambda x: x.view(-1, 3, 2).sum(1)),
    "max": (lambda v: v.max(2), lambda x: x.view(-1, 2, 3).amax(2)),
    "inverse_deviation": (
        lambda v: v.builder.apply("inverse_deviation", [v], 2, numbers=(0.1,)),
        lambda x: (x.view(-1, 2, 3).var(2, correction=0) + 0.1).rsqrt(),
    ),
    "standardize": (
        lambda v: applied("standardize", [v]),
        lambda x: torch.nn.functional.layer_norm(x, (6,), eps=0.5),
    ),
}


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str) -> None:
    torch.manual_seed(1)
    build, in_torch = LAYOUTS[name]
    b = Builder()
    y = build(b.leaf("token", 0, 6) + b.leaf("state", 0, 6).call("sin"))
    call = call_of(b.graph([y.sum(1).repeat(6)], [y]), [1, 1, 1])
    assert_as_reference(call)
    h = call.states[0]
    assert h is not None
    expected = in_torch(call.inputs.tokens[0] + h.sin())
    torch.testing.assert_close(run_program(call.graph, *_arguments(call)).outputs[0], expected)


def _arguments(call: Call) -> tuple[Any, ...]:
    return call.inputs, call.states, call.steps


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("operator", ["maximum", "minimum", "max", "relu", "abs", "where"])
def test_gradients_at_ties_are_torchs(operator: str) -> None:
    b = Builder()
    a, other = b.leaf("token", 0, 6), b.leaf("token", 1, 6)
    inputs = [a, other, a.call("exp")][: OPERATORS[operator].arity]
    y = b.apply("max", [a], 2) if operator == "max" else a.call(operator, *inputs[1:])
    call = call_of(b.graph([y], [y.call("sin")]), [9, 9])
    torch.manual_seed(2)
    for tokens in call.inputs.tokens:
        tokens.data = torch.randint(-1, 2, tokens.shape).double()
    assert_as_reference(call)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed: int) -> None:
    torch.manual_seed(seed)
    call = call_of(RandomGraph(seed).graph, [2, 0, 3], initial=seed % 3 != 0)
    assert_as_reference(call, from_end=seed % 2 == 1, tolerance=1e-7)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("seed", range(40))
def test_random_choices_of_what_needs_a_gradient_and_what_has_one(seed: int) -> None:
    torch.manual_seed(seed)
    call = call_of(RandomGraph(seed, nodes=12).graph, [2, 0, 3], initial=seed % 3 != 0)
    chosen = torch.rand(len(call.tensors())) < 0.5
    for tensor, one in zip(call.tensors(), chosen.tolist(), strict=True):
        tensor.requires_grad_(one)
    wanted = (torch.rand(len(call.states)) < 0.7).tolist()
    found = run_program(call.graph, *_arguments(call), wanted=wanted)
    expected = run_reference(call.graph, *_arguments(call))
    assert [state is not None for state in found.states] == wanted
    states = [state if one else None for state, one in zip(expected.states, wanted, strict=True)]
    results = list(zip(flat(found), flat(expected._replace(states=states)), strict=True))
    used = [
        pair
        for pair, one in zip(results, torch.rand(len(results)) < 0.5, strict=True)
        if one and pair[1].requires_grad
    ]
    tensors = [tensor for tensor in call.tensors() if tensor.requires_grad]
    if used and tensors:
        torch.testing.assert_close(
            *(gradients([pair[side] for pair in used], tensors) for side in (0, 1)), rtol=1e-7, atol=1e-7
        )
