"""Graphs of cells that have layers of their own, against those layers: outputs and all gradients in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from tests.ops.program import graphs
from throughtime.ops.program.counts import Counts
from throughtime.ops.program.forward_plan import ForwardPlan
from throughtime.ops.program.graph import Graph
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.program.layer import run_program
from throughtime.ops.recurrent.steps import ragged_steps
from throughtime.ragged import Ragged

HIDDEN, FEATURES, LENGTHS = 5, 3, [4, 0, 1, 7]


@pytest.fixture
def x() -> Ragged:
    torch.manual_seed(0)
    values = torch.randn(sum(LENGTHS), FEATURES, dtype=torch.float64).requires_grad_()
    return Ragged.from_lengths(values, LENGTHS)


def random_states(count: int) -> list[Tensor]:
    return [
        torch.randn(len(LENGTHS), HIDDEN, dtype=torch.float64).mul(0.5).requires_grad_() for _ in range(count)
    ]


def assert_same(found: list[Tensor], expected: list[Tensor], tensors: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weights = [torch.randn_like(part) for part in found]
    of_both = (
        torch.autograd.grad(sum((a * w).sum() for a, w in zip(side, weights, strict=True)), tensors)  # type: ignore[arg-type]
        for side in (found, expected)
    )
    torch.testing.assert_close(*of_both, rtol=1e-9, atol=1e-9)


def run(graph: Graph, x: Ragged, inputs: Inputs, states: list[Tensor]) -> Any:
    return run_program(graph, inputs, states, ragged_steps(x.layout))


def test_lstm(x: Ragged) -> None:
    layer = tt.nn.LSTM(FEATURES, HIDDEN).double()
    h0, c0 = random_states(2)
    w, u, b, v = layer.parameters()
    tokens = nn.functional.linear(x.values, w, b + v)
    found = run(graphs.lstm(HIDDEN), x, Inputs((tokens,), (), (), (u,)), [h0, c0])
    y, (h, c) = layer(x, (h0[None], c0[None]))
    assert_same(
        [found.states[0], *found.final], [y.values, h[0], c[0]], [x.values, h0, c0, *layer.parameters()]
    )


def test_gru(x: Ragged) -> None:
    layer = tt.nn.GRU(FEATURES, HIDDEN).double()
    (h0,) = random_states(1)
    w, u, b, v = layer.parameters()
    tokens = nn.functional.linear(x.values, w, b + torch.cat((v[: 2 * HIDDEN], torch.zeros(HIDDEN))))
    found = run(graphs.gru(HIDDEN), x, Inputs((tokens,), (), (v[2 * HIDDEN :],), (u,)), [h0])
    y, h = layer(x, h0[None])
    assert_same([found.states[0], *found.final], [y.values, h[0]], [x.values, h0, *layer.parameters()])


def test_gru_that_resets_before_the_product(x: Ragged) -> None:
    layer = tt.nn.GRU(FEATURES, HIDDEN, reset_after=False).double()
    (h0,) = random_states(1)
    w, u, b, v = layer.parameters()
    tokens = nn.functional.linear(x.values, w, b + v)
    inputs = Inputs((tokens,), (), (), (u[: 2 * HIDDEN], u[2 * HIDDEN :]))
    found = run(graphs.gru_reset_before(HIDDEN), x, inputs, [h0])
    y, h = layer(x, h0[None])
    assert_same([found.states[0], *found.final], [y.values, h[0]], [x.values, h0, *layer.parameters()])


def test_layer_norm_lstm(x: Ragged) -> None:
    layer = tt.nn.LayerNormLSTM(FEATURES, HIDDEN).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.3, 0.5)
    h0, c0 = random_states(2)
    w, u, b, v, gain_x, gain_h, gain_c, bias_c = layer.parameters()
    tokens = nn.functional.layer_norm(x.values @ w.T, gain_x.shape, gain_x, b)
    inputs = Inputs((tokens,), (), (gain_h, v, gain_c, bias_c), (u,))
    found = run(graphs.layer_norm_lstm(HIDDEN), x, inputs, [h0, c0])
    y, (h, c) = layer(x, (h0[None], c0[None]))
    assert_same(
        [found.states[0], *found.final], [y.values, h[0], c[0]], [x.values, h0, c0, *layer.parameters()]
    )


def test_attention_over_a_memory_of_the_sequence(x: Ragged) -> None:
    slots = 4
    h0, context0 = random_states(2)
    memory = torch.randn(len(LENGTHS), slots, HIDDEN, dtype=torch.float64).requires_grad_()
    w, u, q = (
        torch.randn(HIDDEN, size, dtype=torch.float64).mul(0.5).requires_grad_()
        for size in (FEATURES, 2 * HIDDEN, HIDDEN)
    )

    def f(state: tuple[Tensor, Tensor, Tensor], token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, context, memory = state
        h = torch.tanh(token @ w.T + torch.cat((h, context), 1) @ u.T)
        weights = torch.softmax(torch.einsum("bsh,bh->bs", memory, h @ q.T), 1)
        return h, torch.einsum("bs,bsh->bh", weights, memory), memory

    layer = tt.nn.Recurrence(f, state=(HIDDEN, HIDDEN, memory[0].detach()))
    output, (h, context, _) = layer(x, (h0, context0, memory))
    inputs = Inputs((x.values @ w.T,), (memory.flatten(1),), (), (u, q))
    found = run(graphs.attention(HIDDEN, slots), x, inputs, [h0, context0])
    expected = [output[0].values, output[1].values, h, context]
    assert_same([*found.states, *found.final], expected, [x.values, h0, context0, memory, w, u, q])


def test_what_is_kept_of_an_lstm() -> None:
    graph = graphs.lstm(HIDDEN)
    plan = ForwardPlan(graph, Counts(1, 0, 0, 1, 2), wanted=(True, True), needed=(True,) * 4)
    kept = [graph.nodes[node] for node in plan.written if node not in plan.results]
    pre = next(place for place, node in enumerate(graph.nodes) if node.operator == "add")
    gates = {
        (node.operator, graph.nodes[node.inputs[0]].index // HIDDEN)
        for node in kept
        if graph.nodes[node.inputs[0]].inputs == (pre,)
    }
    assert gates == {("sigmoid", 0), ("sigmoid", 1), ("tanh", 2), ("sigmoid", 3)}
    of_c = [node for node in kept if graph.nodes[node.inputs[0]].inputs != (pre,)]
    assert of_c == [graph.nodes[graph.states[0]]._replace(operator="tanh", inputs=(graph.states[1],))]


def test_without_gradients_nothing_is_kept_but_what_is_wanted() -> None:
    graph = graphs.lstm(HIDDEN)
    plan = ForwardPlan(graph, Counts(1, 0, 0, 1, 2), wanted=(True, False), needed=(False,) * 4)
    assert plan.written == (graph.states[0],)
