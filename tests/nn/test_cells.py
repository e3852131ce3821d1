"""Cells and their layers: kinds of input, states, traces, steps, noise, weight drop, and the cells that are native, too.

Outputs and gradients by their equations are in `contract.py`.
"""

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear
from torch.nn.utils.rnn import pack_sequence, unpack_sequence
from torch.utils import _pytree as pytree

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError

from .cell_equations import STEPS, by_cell

LAYERS: dict[str, tuple[type, dict[str, Any]]] = {
    "IndRNN": (tt.nn.IndRNN, {}),
    "LayerNormGRU": (tt.nn.LayerNormGRU, {}),
    "LiGRU": (tt.nn.LiGRU, {}),
    "MultiplicativeLSTM": (tt.nn.MultiplicativeLSTM, {}),
    "PeepholeSRU": (tt.nn.PeepholeSRU, {}),
    "RecurrentHighway": (tt.nn.RecurrentHighway, {"depth": 2}),
    "SLSTM": (tt.nn.SLSTM, {"num_heads": 2}),
}
each_layer = pytest.mark.parametrize("name", LAYERS)


@functools.cache
def make(name: str, **more: Any) -> Any:
    """One layer for all tests that do not change it: each is traced once."""
    torch.manual_seed(0)
    cls, options = LAYERS[name]
    return cls(3, 4, **options, **more).double().eval()


def sequences(lengths: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, 3, generator=generator, dtype=torch.float64) for length in lengths]


def leaves(tree: Any) -> list[Tensor]:
    return pytree.tree_leaves(tree)


# ------------------------------------------------------------------ layers


@pytest.mark.parametrize(
    ("name", "batch_first"),
    [*((name, False) for name in LAYERS), ("IndRNN", True), ("MultiplicativeLSTM", True)],
)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_kind_of_input_gives_the_same(name: str, *, batch_first: bool, bidirectional: bool) -> None:
    options = {"batch_first": True} if batch_first else {}
    layer = make(name, num_layers=2, bidirectional=bidirectional, **options)
    rows = sequences([5, 5, 5])
    output, state = layer(Ragged.from_list(rows))
    dense, dense_state = layer(torch.stack(rows, 0 if batch_first else 1))
    torch.testing.assert_close(dense if batch_first else dense.transpose(0, 1), torch.stack(list(output)))
    torch.testing.assert_close(leaves(dense_state), leaves(state))
    assert all(leaf.shape == (2 * (1 + bidirectional), 3, 4) for leaf in leaves(state))
    for b, row in enumerate(rows):
        alone, end = layer(row, pytree.tree_map(lambda part, b=b: part[:, b], state))
        again, ends = layer(Ragged.from_list(rows), state)
        torch.testing.assert_close(alone, again[b])
        torch.testing.assert_close(leaves(end), [leaf[:, b] for leaf in leaves(ends)])


@each_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_packed_sequence_in_any_order(name: str, *, bidirectional: bool) -> None:
    layer, rows = make(name, num_layers=2, bidirectional=bidirectional), sequences([2, 6, 1, 4])
    packed = pack_sequence(rows, enforce_sorted=False)
    output, state = layer(packed)
    expected, expected_state = layer(Ragged.from_list(rows))
    torch.testing.assert_close(unpack_sequence(output), list(expected))
    torch.testing.assert_close(leaves(state), leaves(expected_state))
    again, _ = layer(packed, state)
    torch.testing.assert_close(unpack_sequence(again), list(layer(Ragged.from_list(rows), state).output))


@pytest.mark.parametrize(
    ("name", "batch_first"),
    [*((name, False) for name in LAYERS), ("IndRNN", True), ("MultiplicativeLSTM", True)],
)
@pytest.mark.parametrize("unbatched", [False, True])
def test_steps_give_what_the_call_gives(name: str, *, unbatched: bool, batch_first: bool) -> None:
    options = {"batch_first": True} if batch_first else {}
    layer, rows = make(name, num_layers=2, bidirectional=False, **options), sequences([6, 6])
    x = rows[0] if unbatched else torch.stack(rows, 1)
    outputs, state = [], None
    for x_t in x:
        y_t, state = layer.step(x_t, state)
        outputs.append(y_t)
    output, end = layer(x.transpose(0, 1) if batch_first and not unbatched else x)
    output = output.transpose(0, 1) if batch_first and not unbatched else output
    torch.testing.assert_close(torch.stack(outputs), output)
    torch.testing.assert_close(leaves(state), leaves(end))


@each_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_trace_has_the_states_of_the_call(name: str, *, bidirectional: bool) -> None:
    layer = make(name, num_layers=2, bidirectional=bidirectional)
    rows = sequences([4, 0, 2])
    trace, result = layer.trace(Ragged.from_list(rows)), layer(Ragged.from_list(rows))
    torch.testing.assert_close(trace.result.output.values, result.output.values)
    torch.testing.assert_close(leaves(trace.result.state), leaves(result.state))
    ways = 1 + bidirectional
    assert set(trace.states) == {(number, way) for number in range(2) for way in range(ways)}
    for place, states in trace.states.items():
        names = layer.cells[0].state_names
        assert tuple(states)[: len(names)] == names
        for leaf, state in zip(leaves(result.state), map(states.__getitem__, names), strict=True):
            for b, row in enumerate(state):
                if len(row):
                    torch.testing.assert_close(
                        row[0 if place[1] else -1], leaf[place[0] * ways + place[1], b]
                    )
        (gradient,) = torch.autograd.grad(
            trace.result.output.values.sum(), states["h"].values, retain_graph=True
        )
        assert gradient.any()
    top = torch.cat([trace.states[1, way]["h"].values for way in range(ways)], 1)
    torch.testing.assert_close(top, result.output.values)


def test_dropout_between_layers_in_training_alone() -> None:
    layer, (row,) = tt.nn.IndRNN(3, 4, num_layers=2, dropout=0.5).double().eval(), sequences([30])
    assert torch.equal(layer(row).output, layer(row).output)
    layer.train()
    assert not torch.equal(layer(row).output, layer(row).output)
    below = layer.recurrences["l0"](row).output
    torch.manual_seed(1)
    found = layer(row).output
    torch.manual_seed(1)
    torch.testing.assert_close(found, layer.recurrences["l1"](tt.nn.Dropout(0.5)(below)).output)


@each_layer
def test_parameters_can_be_set_anew(name: str) -> None:
    layer, twin = (LAYERS[name][0](3, 4) for _ in range(2))
    torch.manual_seed(5)
    layer.reset_parameters()
    assert any(not torch.equal(a, b) for a, b in zip(layer.parameters(), twin.parameters(), strict=True))
    torch.manual_seed(5)
    twin.reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), twin.parameters(), strict=True))


@each_layer
def test_dtype_is_that_of_parameters_and_states(name: str) -> None:
    layer = LAYERS[name][0](3, 4, dtype=torch.float64)
    output, state = layer(torch.randn(5, 3, dtype=torch.float64))
    assert {output.dtype, *(leaf.dtype for leaf in leaves(state))} == {torch.float64}


def test_every_layer_of_a_cell_has_its_equation_and_its_tests() -> None:
    layers = {name.removesuffix("Cell") for name in dir(tt.nn) if _is_cell(getattr(tt.nn, name))}
    assert layers - {"Zoneout", "RecurrentDropout", ""} == set(STEPS) == {*LAYERS, "AttentionGRU"}


def _is_cell(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, tt.nn.Cell)


def test_representations_show_what_is_no_default() -> None:
    assert repr(tt.nn.IndRNN(3, 4)) == "IndRNN(3, 4)"
    assert repr(tt.nn.SLSTM(3, 4, 2, num_heads=2)) == "SLSTM(3, 4, num_layers=2, num_heads=2)"
    assert repr(tt.nn.AttentionGRU(3, 4, 5, score="dot")) == "AttentionGRU(3, 4, 5, score='dot')"
    assert repr(tt.nn.Zoneout(tt.nn.IndRNNCell(3, 4), 0.1)).startswith("Zoneout(\n  p=0.1")


# ------------------------------------------------------------------ one family at a time


def test_a_li_gru_normalises_by_all_tokens_of_a_batch_and_no_padding() -> None:
    layer, rows = tt.nn.LiGRU(3, 4).double(), sequences([5, 0, 2, 1])
    cell = layer.cells[0]
    products = torch.cat(rows) @ cell.weight_ih.t()
    mean, var = products.mean(0), products.var(0, correction=0)
    found = layer(Ragged.from_list(rows)).output.values
    torch.testing.assert_close(cell.norm.running_mean, 0.1 * mean)
    torch.testing.assert_close(cell.norm.running_var, 0.9 + 0.1 * products.var(0))
    assert cell.norm.num_batches_tracked == 1
    cell.norm.running_mean, cell.norm.running_var = mean, var
    torch.testing.assert_close(found, layer.eval()(Ragged.from_list(rows)).output.values)


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_a_slstm_does_not_overflow(forget: str) -> None:
    torch.manual_seed(0)
    layer = tt.nn.SLSTM(3, 4, forget=forget)
    with torch.no_grad():
        layer.cells[0].weight_ih.mul_(200)
    x = (30 * torch.randn(200, 3)).requires_grad_()
    output, (_, _, n, _) = layer(x)
    assert output.isfinite().all()
    assert (n >= 1).all()
    output.sum().backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_a_slstm_by_its_stabilised_equations_where_exponentials_overflow() -> None:
    layer, x = tt.nn.SLSTM(3, 4, num_heads=2).double(), 400 * torch.randn(20, 3, dtype=torch.float64)
    cell = layer.cells[0]
    h = c = n = torch.zeros(4, dtype=torch.float64)
    m, found = torch.full((4,), -torch.inf, dtype=torch.float64), layer(x).output
    for t, x_t in enumerate(x):
        blocks = [block @ part for block, part in zip(cell.weight_hh, h.chunk(2), strict=True)]
        from_h = torch.stack([part.view(4, -1) for part in blocks], 1).reshape(4, -1)
        i, f, z, o = (cell.weight_ih @ x_t + cell.bias_ih).view(4, -1) + from_h
        log_f = nn.functional.logsigmoid(f)
        before, m = m, torch.maximum(log_f + m, i)
        c = torch.exp(log_f + before - m) * c + torch.exp(i - m) * torch.tanh(z)
        n = torch.exp(log_f + before - m) * n + torch.exp(i - m)
        h = torch.sigmoid(o) * c / n
        torch.testing.assert_close(found[t], h)


def test_an_ind_rnn_without_input_is_a_power_of_its_weights() -> None:
    layer = tt.nn.IndRNN(1, 3, bias=False).double()
    with torch.no_grad():
        layer.cells[0].weight_hh.copy_(torch.tensor([0.5, 1.0, 2.0]))
    _, h = layer(torch.zeros(10, 1).double(), torch.ones(1, 3).double())
    torch.testing.assert_close(h[0], torch.tensor([0.5**10, 1.0, 2.0**10]).double())


@pytest.mark.parametrize("score", ["additive", "dot"])
def test_attention_over_memories_of_several_lengths(score: Any) -> None:
    torch.manual_seed(0)
    layer = tt.nn.AttentionGRU(3, 4, 2, score=score, num_layers=2, bidirectional=True).double()
    rows = sequences([4, 0, 2])
    memories = [torch.randn(count, 2, dtype=torch.float64, requires_grad=True) for count in (5, 1, 3)]
    found = layer(Ragged.from_list(rows), memory=Ragged.from_list(memories)).output
    expected = [by_cell(layer, row, memory) for row, memory in zip(rows, memories, strict=True) if len(row)]
    torch.testing.assert_close([found[0], found[2]], expected)
    wanted = [memories[0], memories[2]]
    torch.testing.assert_close(
        torch.autograd.grad(found.values.cos().sum(), wanted),
        torch.autograd.grad(torch.cat(expected).cos().sum(), wanted),
    )
    alone = layer(rows[0], memory=memories[0])
    torch.testing.assert_close(alone.output, expected[0])
    assert alone.state.shape == (4, 4)
    if score == "dot":
        return
    forward = tt.nn.AttentionGRU(3, 4, 2).double()
    y, state = [], None
    for x_t in rows[0]:
        y_t, state = forward.step(x_t, state, memory=memories[0])
        y.append(y_t)
    torch.testing.assert_close(torch.stack(y), forward(rows[0], memory=memories[0]).output)
    trace = forward.trace(rows[0], memory=memories[0])
    torch.testing.assert_close(trace.states[0, 0]["h"].values, torch.stack(y))


# ------------------------------------------------------------------ cells that exist natively


class _LayerNormLSTM(tt.nn.Cell):
    """The step of `tt.nn.LayerNormLSTM`, with its parameters."""

    state_names = ("h", "c")

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer.input_size, layer.hidden_size)
        self.layer = layer

    def forward(self, state: tuple[Tensor, Tensor], x_t: Tensor) -> tuple[Tensor, Tensor]:
        own, (h, c) = self.layer, state

        def normal(a: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
            return layer_norm(a, gain.shape, gain, bias, own.spec.eps)

        total = normal(linear(x_t, own.weight_ih_l0), own.weight_norm_ih_l0, own.bias_ih_l0)
        total = total + normal(linear(h, own.weight_hh_l0), own.weight_norm_hh_l0, own.bias_hh_l0)
        i, f, g, o = total.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(normal(c, own.weight_norm_c_l0, own.bias_norm_c_l0)), c


class _MGU(tt.nn.Cell):
    """The step of `tt.nn.MGU`, with its parameters."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer.input_size, layer.hidden_size)
        self.layer = layer

    def forward(self, h: Tensor, x_t: Tensor) -> Tensor:
        own = self.layer
        f_x, n_x = linear(x_t, own.weight_ih_l0, own.bias_ih_l0).chunk(2, 1)
        (f_w, n_w), (f_b, n_b) = own.weight_hh_l0.chunk(2), own.bias_hh_l0.chunk(2)
        f = torch.sigmoid(f_x + linear(h, f_w, f_b))
        n = torch.tanh(n_x + linear(f * h, n_w, n_b))
        return (1 - f) * h + f * n


class _CoupledLSTM(tt.nn.Cell):
    """The step of `tt.nn.LSTM` with peepholes and coupled gates."""

    state_names = ("h", "c")

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer.input_size, layer.hidden_size)
        self.layer = layer

    def forward(self, state: tuple[Tensor, Tensor], x_t: Tensor) -> tuple[Tensor, Tensor]:
        own, (h, c) = self.layer, state
        total = linear(x_t, own.weight_ih_l0, own.bias_ih_l0) + linear(h, own.weight_hh_l0, own.bias_hh_l0)
        i, g, o = total.chunk(3, 1)
        p_i, p_o = own.weight_peephole_l0.chunk(2)
        i = torch.sigmoid(i + p_i * c)
        c = (1 - i) * c + i * torch.tanh(g)
        return torch.sigmoid(o + p_o * c) * torch.tanh(c), c


@pytest.mark.parametrize(
    ("native", "cell"),
    [
        (lambda: tt.nn.LayerNormLSTM(3, 4), _LayerNormLSTM),
        (lambda: tt.nn.MGU(3, 4), _MGU),
        (lambda: tt.nn.LSTM(3, 4, peephole=True, coupled=True), _CoupledLSTM),
    ],
)
def test_a_cell_written_out_equals_the_built_in_layer(native: Any, cell: Any) -> None:
    torch.manual_seed(0)
    layer = native().double()
    written = tt.nn.Recurrence(cell(layer))
    x = Ragged.from_list(sequences([6, 0, 1, 3]))
    values = x.values.clone().requires_grad_()
    results = []
    for module in (layer, written):
        output, state = module(x.with_values(values))
        state = [leaf[0] if module is layer else leaf for leaf in leaves(state)]
        loss = output.values.cos().sum() + sum(leaf.sin().sum() for leaf in state)
        gradients = torch.autograd.grad(loss, [values, *layer.parameters()])
        results.append([output.values, *state, *gradients])
    torch.testing.assert_close(*results)


# ------------------------------------------------------------------ the protocol


class _Learned(tt.nn.Cell):
    """A cell that defines everything that it may."""

    state_names = ("total", "count")

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.first = nn.Parameter(torch.randn(4))
        self.linear = nn.Linear(3, 4)

    @property
    def initial_state(self) -> Any:
        return {"total": self.first, "count": 1}

    def read_out(self, state: Any) -> Any:
        return state["total"] / state["count"]

    def prepare(self, tokens: Tensor) -> Tensor:
        return self.linear(tokens)

    def forward(self, state: Any, x_t: Tensor, context: Tensor | None = None) -> Any:
        added = x_t if context is None else x_t + context
        return {"total": state["total"] + added, "count": state["count"] + 1}


def test_a_recurrence_reads_the_state_and_read_out_of_a_cell() -> None:
    torch.manual_seed(0)
    cell = _Learned().double()
    layer, rows = tt.nn.Recurrence(cell), sequences([4, 0, 2])
    output, state = layer(Ragged.from_list(rows))
    context = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    with_context = layer(Ragged.from_list(rows), context=context).output
    for b, row in enumerate(rows):
        total = cell.first + cell.linear(row).cumsum(0)
        count = torch.arange(1, len(row) + 1)[:, None].double()
        torch.testing.assert_close(output[b], total / count)
        torch.testing.assert_close(with_context[b], (total + count * context[b]) / count)
        torch.testing.assert_close(layer(row, context=context[b]).output, with_context[b])
    assert torch.equal(state["count"].flatten(), torch.tensor([4, 0, 2]).double())
    (gradient,) = torch.autograd.grad(with_context.values.sum(), context)
    torch.testing.assert_close(gradient, torch.tensor([4.0, 0, 2]).double()[:, None].expand(3, 4))
    packed = layer(pack_sequence([rows[2], rows[0]], enforce_sorted=False), context=context[[2, 0]]).output
    torch.testing.assert_close(unpack_sequence(packed), [with_context[2], with_context[0]])
    dense = layer(torch.stack([rows[0]] * 2, 1), context=context[:2]).output
    torch.testing.assert_close(dense[:, 0], with_context[0])
    o_t, _ = layer.step(rows[0][:1], context=context[:1])
    torch.testing.assert_close(o_t[0], with_context[0][0])
    traced = layer.trace(Ragged.from_list(rows), context=context)
    torch.testing.assert_close(traced.result.output.values, with_context.values)
    own = tt.nn.Recurrence(
        cell, lambda s: s["count"], state={"total": 4, "count": 1}, prepare=lambda x: x @ x.new_ones(3, 4)
    )
    assert torch.equal(own(rows[2].float()).output.flatten(), torch.tensor([1.0, 2.0]))


def test_a_plain_function_with_a_context() -> None:
    layer = tt.nn.Recurrence(lambda h, x, context: h + x * context["scale"], state=3)
    x, scale = torch.randn(5, 2, 3), torch.randn(2, 3)
    torch.testing.assert_close(layer(x, context={"scale": scale}).output, (x * scale).cumsum(0))


# ------------------------------------------------------------------ zoneout and recurrent dropout


def _noisy(kind: str, cell: Any) -> tt.nn.Recurrence:
    options: dict[str, Any] = {
        "zoneout": lambda: tt.nn.Zoneout(cell, 0.4),
        "x": lambda: tt.nn.RecurrentDropout(cell, x=0.4),
        "h": lambda: tt.nn.RecurrentDropout(cell, h=0.4),
        "candidate": lambda: tt.nn.RecurrentDropout(cell, candidate=0.4),
        "candidate per step": lambda: tt.nn.RecurrentDropout(cell, candidate=0.4, per_step=True),
        "all": lambda: tt.nn.Zoneout(
            tt.nn.RecurrentDropout(cell, x=0.2, h=0.3, candidate=0.4, per_step=True), 0.3
        ),
    }
    return tt.nn.Recurrence(options[kind]())


NOISE = ["zoneout", "x", "h", "candidate", "candidate per step", "all"]
each_noise = pytest.mark.parametrize("kind", NOISE)


@each_noise
def test_noise_follows_the_seed_of_a_sequence_and_the_step(kind: str) -> None:
    torch.manual_seed(0)
    layer, rows = _noisy(kind, tt.nn.LSTMCell(3, 4)).double(), sequences([5, 0, 7, 7])
    seeds = torch.tensor([11, -3, 2**62, 12])
    batch = layer(Ragged.from_list(rows), seeds=seeds)
    torch.testing.assert_close(
        layer(Ragged.from_list(rows), seeds=seeds).output.values, batch.output.values, rtol=0, atol=0
    )
    for b, row in enumerate(rows):  # alone
        torch.testing.assert_close(layer(row, seeds=seeds[b : b + 1]).output, batch.output[b])
    order = [2, 0, 3, 1]
    other = layer(Ragged.from_list([rows[b] for b in order]), seeds=seeds[order]).output
    for place, b in enumerate(order):
        torch.testing.assert_close(other[place], batch.output[b])
    # In pieces.
    head, tail = Ragged.from_list(rows).split_time([3, 0, 0, 2])
    first = layer(head, seeds=seeds)
    second = layer(tail, first.state, seeds=seeds, first_step=torch.tensor([3, 0, 0, 2]))
    torch.testing.assert_close(Ragged.cat_time([first.output, second.output]).values, batch.output.values)
    torch.testing.assert_close(leaves(second.state), leaves(batch.state))
    # In every kind of input.
    dense = torch.stack(rows[2:], 1)
    torch.testing.assert_close(
        layer(dense, seeds=seeds[2:]).output.transpose(0, 1), torch.stack(list(batch.output)[2:])
    )
    layer.batch_first = True
    torch.testing.assert_close(
        layer(dense.transpose(0, 1), seeds=seeds[2:]).output, torch.stack(list(batch.output)[2:])
    )
    packed = layer(pack_sequence([rows[0], rows[2]], enforce_sorted=False), seeds=seeds[[0, 2]]).output
    torch.testing.assert_close(unpack_sequence(packed), [batch.output[0], batch.output[2]])
    traced = layer.trace(Ragged.from_list(rows), seeds=seeds).result.output
    torch.testing.assert_close(traced.values, batch.output.values)
    state = None
    for t, x_t in enumerate(dense):
        y_t, state = layer.step(x_t, state, seeds=seeds[2:], first_step=t)
        torch.testing.assert_close(y_t, torch.stack([batch.output[b][t] for b in (2, 3)]))
    # Another seed, and none.
    assert not torch.equal(layer(rows[0], seeds=[12]).output, batch.output[0])
    torch.manual_seed(3)
    drawn = [layer(rows[0]).output for _ in range(2)]
    assert not torch.equal(*drawn)
    torch.manual_seed(3)
    assert torch.equal(layer(rows[0]).output, drawn[0])


@each_noise
def test_noise_has_a_gradient(kind: str) -> None:
    torch.manual_seed(0)
    layer = _noisy(kind, tt.nn.GRUCell(3, 4)).double()
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(
            layer, dict(zip(names, values, strict=True)), (x,), {"seeds": [5]}
        ).output

    x = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parameters))


def test_in_evaluation_zoneout_is_its_expectation_and_dropout_nothing() -> None:
    torch.manual_seed(0)
    cell, (row,) = tt.nn.LSTMCell(3, 4).double(), sequences([6])
    plain = tt.nn.Recurrence(cell, lambda s: s[0])(row).output
    dropped = tt.nn.Recurrence(tt.nn.RecurrentDropout(cell, x=0.4, h=0.4, candidate=0.3)).eval()
    torch.testing.assert_close(dropped(row).output, plain)
    state = torch.get_rng_state()
    found = tt.nn.Recurrence(tt.nn.Zoneout(cell, (0.25, 0.5))).eval()(row).output
    assert torch.equal(torch.get_rng_state(), state)
    h = c = torch.zeros(1, 4, dtype=torch.float64)
    for t, x_t in enumerate(row):
        new_h, new_c = cell(x_t[None], (h, c))
        h, c = 0.25 * h + 0.75 * new_h, 0.5 * c + 0.5 * new_c
        torch.testing.assert_close(found[t], h[0])


def test_zoneout_keeps_units_as_often_as_it_says() -> None:
    layer = tt.nn.Recurrence(tt.nn.Zoneout(tt.nn.GRUCell(3, 200), 0.3))
    x = torch.randn(50, 3)
    h = layer(x).output
    stay = h[1:] == h[:-1]
    assert abs(float(stay.double().mean()) - 0.3) < 0.02
    kept = layer(x, torch.ones(200), seeds=[1]).output[0] == 1
    again = layer(torch.randn(50, 3), torch.ones(200), seeds=[1]).output[0] == 1
    assert torch.equal(kept, again)  # whatever the input
    whole = tt.nn.Recurrence(tt.nn.Zoneout(tt.nn.GRUCell(3, 4), 1.0), native="never")
    assert torch.equal(whole(x, torch.ones(4)).output, torch.ones(50, 4))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_dropout_by_its_equations(kind: str) -> None:
    torch.manual_seed(0)
    cell = getattr(tt.nn, f"{kind}Cell")(3, 4).double()
    dropped = tt.nn.RecurrentDropout(cell, x=0.4, h=0.4, candidate=0.4)
    masks: list[Any] = []
    inner = dropped.cell
    hook = inner.register_forward_pre_hook(
        lambda _, arguments, more: masks.append((arguments[1], more["noise"])), with_kwargs=True
    )
    (row,) = sequences([5])
    found = tt.nn.Recurrence(dropped, native="never")(row, seeds=[3]).output
    hook.remove()
    torch.testing.assert_close(tt.nn.Recurrence(dropped, native="require")(row, seeds=[3]).output, found)
    m_h, m_g = (masks[0][1].h[0], masks[0][1].candidate[0])
    assert all(torch.equal(one.h[0], m_h) and torch.equal(one.candidate[0], m_g) for _, one in masks)
    m_x = torch.stack([x[0] for x, _ in masks]) / row
    torch.testing.assert_close(m_x, m_x[:1].expand_as(m_x))
    for mask in (m_x[0], m_h, m_g):
        assert ((mask == 0) | ((mask - 1 / 0.6).abs() < 1e-12)).all()
    h, c = torch.zeros(4).double(), torch.zeros(4).double()
    for t, x_t in enumerate(row):
        a = cell.weight_ih @ (m_x[0] * x_t) + cell.bias_ih
        b = cell.weight_hh @ (m_h * h) + cell.bias_hh
        if kind == "LSTM":
            i, f, g, o = (a + b).chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * m_g * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        elif kind == "GRU":
            (r_a, z_a, n_a), (r_b, z_b, n_b) = a.chunk(3), b.chunk(3)
            z = torch.sigmoid(z_a + z_b)
            h = (1 - z) * m_g * torch.tanh(n_a + torch.sigmoid(r_a + r_b) * n_b) + z * h
        else:
            h = m_g * torch.tanh(a + b)
        torch.testing.assert_close(found[t], h)


@each_layer
def test_every_cell_with_its_masks_and_zoneout(name: str) -> None:
    cls = getattr(tt.nn, f"{name}Cell")
    torch.manual_seed(0)
    cell = cls(3, 4).double()
    options = dict.fromkeys(cell.maskable, 0.3)
    dropped = tt.nn.RecurrentDropout(cell, **options)
    p = tuple(0.0 if label in cell.scaled_together else 0.3 for label in cell.state_names)
    layer, rows = tt.nn.Recurrence(tt.nn.Zoneout(dropped, p)), sequences([5, 7])
    batch = layer(Ragged.from_list(rows), seeds=[1, 2]).output
    plain = tt.nn.Recurrence(cell)(Ragged.from_list(rows)).output
    assert not torch.allclose(batch.values, plain.values)
    if name != "LiGRU":  # batch normalisation in training reads the whole batch
        torch.testing.assert_close(layer(rows[1], seeds=[2]).output, batch[1])
    layer.eval()
    assert torch.isfinite(layer(Ragged.from_list(rows)).output.values).all()


def test_wrappers_train_the_parameters_of_torch_cells_in_place() -> None:
    for cell in (
        nn.RNNCell(3, 4),
        nn.RNNCell(3, 4, nonlinearity="relu"),
        nn.LSTMCell(3, 4),
        nn.GRUCell(3, 4),
    ):
        layer = tt.nn.Recurrence(tt.nn.Zoneout(cell, 0.0))
        expected = leaves(tt.nn.Recurrence(cell)(torch.ones(5, 3)).output)[0]
        torch.testing.assert_close(layer(torch.ones(5, 3)).output, expected)
        assert {id(one) for one in layer.parameters()} == {id(one) for one in cell.parameters()}


# ------------------------------------------------------------------ weight drop

WITH_RECURRENT_WEIGHTS: dict[str, Any] = {
    "RNN": lambda: tt.nn.RNN(3, 4, num_layers=2),
    "LSTM": lambda: tt.nn.LSTM(3, 4, num_layers=2, bidirectional=True),
    "LSTM projected": lambda: tt.nn.LSTM(3, 4, proj_size=2),
    "GRU": lambda: tt.nn.GRU(3, 4),
    "MGU": lambda: tt.nn.MGU(3, 4),
    "LayerNormLSTM": lambda: tt.nn.LayerNormLSTM(3, 4),
    "Recurrence": lambda: tt.nn.Recurrence(tt.nn.GRUCell(3, 4)),
    "Recurrence zoneout": lambda: tt.nn.Recurrence(tt.nn.Zoneout(tt.nn.GRUCell(3, 4), 0.0)),
    **{
        name: lambda cls=cls, options=options: cls(3, 4, **options) for name, (cls, options) in LAYERS.items()
    },
}


def _recurrent(layer: nn.Module) -> dict[str, Tensor]:
    """The recurrent weights by the names that they have without a parametrization."""
    return {
        name.replace("parametrizations.", "").removesuffix(".original"): value
        for name, value in layer.named_parameters()
        if "weight_hh" in name
    }


@pytest.mark.parametrize(
    ("name", "recorded"),
    [*((name, True) for name in WITH_RECURRENT_WEIGHTS), ("RNN", False), ("LSTM", False), ("IndRNN", False)],
)
def test_weight_drop_is_the_layer_with_other_weights(name: str, *, recorded: bool) -> None:
    torch.manual_seed(0)
    layer = WITH_RECURRENT_WEIGHTS[name]().double()
    torch.manual_seed(0)
    plain = WITH_RECURRENT_WEIGHTS[name]().double()
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    assert tt.nn.weight_drop(layer, 0.5) is layer
    x = Ragged.from_list(sequences([6, 0, 3]))
    with torch.set_grad_enabled(recorded):
        output = layer(x).output.values
    weights = {key: dict(_attributes(layer))[key] for key in _recurrent(plain)}
    with torch.no_grad():
        for key, parameter in _recurrent(plain).items():
            dropped = weights[key]
            assert (dropped == 0).any()
            torch.testing.assert_close(dropped[dropped != 0], 2 * parameter[dropped != 0])
            parameter.copy_(dropped)
    torch.testing.assert_close(output, plain(x).output.values)
    torch.testing.assert_close(layer.trace(x).result.output.values, output)
    if recorded:
        output.cos().sum().backward()
        plain(x).output.values.cos().sum().backward()
        for key, parameter in _recurrent(layer).items():
            mask = 2.0 * (weights[key] != 0)
            torch.testing.assert_close(parameter.grad, _recurrent(plain)[key].grad * mask)
    layer.eval(), plain.eval()
    plain.load_state_dict(before)
    if name != "LiGRU":  # whose running averages have changed
        torch.testing.assert_close(layer(x).output.values, plain(x).output.values)


def _attributes(layer: nn.Module) -> Any:
    for path, module in layer.named_modules():
        for name in getattr(module, "parametrizations", {}):
            yield f"{path}.{name}".lstrip("."), getattr(module, name)


def test_weight_drop_draws_once_for_a_call_from_torchs_generator() -> None:
    layer, rows = (
        tt.nn.weight_drop(tt.nn.Recurrence(tt.nn.LSTMCell(3, 20), lambda s: s[0]), 0.5),
        sequences([6, 3]),
    )
    layer.double()
    torch.manual_seed(1)
    first = layer(Ragged.from_list(rows)).output
    second = layer(rows[1]).output
    assert not torch.allclose(first[1], second)
    torch.manual_seed(1)
    torch.testing.assert_close(layer(rows[1]).output, first[1])  # the batch does not matter
    torch.testing.assert_close(layer(rows[1]).output, second)
    model = tt.nn.weight_drop(nn.Sequential(tt.nn.GRU(3, 4), nn.Linear(4, 2)), 0.5)
    assert not torch.equal(model(rows[0].float()), model(rows[0].float()))
    torch.nn.utils.parametrize.remove_parametrizations(model[0], "weight_hh_l0", leave_parametrized=False)
    assert torch.equal(model(rows[0].float()), model(rows[0].float()))


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tt.nn.IndRNN(0, 4), ShapeError, "IndRNN: input_size is at least 1, got 0"),
        (lambda: tt.nn.IndRNNCell(3, 0), ShapeError, "IndRNNCell: hidden_size must be at least 1"),
        (lambda: tt.nn.IndRNN(3, 4, dropout=2), ShapeError, "probability"),
        (lambda: tt.nn.IndRNN(3, 4, bound=0.0), ShapeError, "bound must be finite and above 0"),
        (lambda: tt.nn.IndRNN(3, 4, activation="sin"), ShapeError, "'relu' or 'tanh', got 'sin'"),  # type: ignore[arg-type]
        (lambda: tt.nn.LiGRU(3, 4, normalization="group"), ShapeError, "'batch', 'layer' or None"),  # type: ignore[arg-type]
        (lambda: tt.nn.LayerNormGRU(3, 4, eps=0), ShapeError, "eps must be finite and above 0"),
        (lambda: tt.nn.RecurrentHighway(3, 4, depth=0), ShapeError, "depth must be at least 1"),
        (lambda: tt.nn.SLSTM(3, 4, num_heads=3), ShapeError, "num_heads must divide hidden_size 4, got 3"),
        (lambda: tt.nn.SLSTM(3, 4)(torch.randn(5, 2)), ShapeError, "SLSTM expects 3 features"),
        (
            lambda: tt.nn.SLSTM(3, 4)(torch.randn(5, 3), torch.zeros(1, 4)),
            InputTypeError,
            r"SLSTM takes a tuple of 4 tensors \(h, c, n, m\) as its state, got Tensor",
        ),
        (
            lambda: tt.nn.IndRNN(3, 4)(torch.randn(5, 3), torch.zeros(2, 4)),
            ShapeError,
            "h_0 has shape .* expected 1 rows, one for each layer and direction",
        ),
        (
            lambda: tt.nn.IndRNN(3, 4)(torch.randn(5, 2, 3), torch.zeros(1, 3, 4)),
            ShapeError,
            r"shape \(3, 4\), expected a tensor of shape \(2, 4\)",
        ),
        (
            lambda: tt.nn.IndRNN(3, 4, bidirectional=True).step(torch.randn(3)),
            ShapeError,
            "reads from the end",
        ),
        (lambda: tt.nn.IndRNN(3, 4).step(torch.randn(1, 2, 3)), ShapeError, "one token"),
        (lambda: tt.nn.AttentionGRU(3, 4, 0), ShapeError, "memory_size must be at least 1"),
        (
            lambda: tt.nn.AttentionGRU(3, 4, 2)(torch.randn(5, 3)),
            InputTypeError,
            "takes memory=.*got NoneType",
        ),
        (
            lambda: tt.nn.AttentionGRU(3, 4, 2)(torch.randn(5, 3), memory=torch.randn(6, 3)),
            ShapeError,
            r"a memory \(B, M, 2\).*got shape \(1, 6, 3\)",
        ),
        (
            lambda: tt.nn.AttentionGRU(3, 4, 2)(torch.randn(5, 2, 3), memory=torch.randn(3, 6, 2)),
            ShapeError,
            "context has shape .* expected 2 rows, one for each sequence",
        ),
        (
            lambda: tt.nn.Recurrence(tt.nn.AttentionGRUCell(3, 4, 2))(torch.randn(5, 3)),
            ShapeError,
            "as context= of a call, got NoneType",
        ),
        (
            lambda: tt.nn.Recurrence(tt.nn.IndRNNCell(3, 4))(torch.randn(5, 3), context=3),
            InputTypeError,
            "context must be a tensor",
        ),
        (
            lambda: tt.nn.Zoneout(nn.Linear(3, 4), 0.1),
            InputTypeError,
            "Zoneout takes a throughtime.nn.Cell.*got Linear",
        ),
        (lambda: tt.nn.Zoneout(tt.nn.LSTMCell(3, 4), 1.5), ShapeError, "from 0 to 1; got 1.5 for h"),
        (
            lambda: tt.nn.Zoneout(tt.nn.LSTMCell(3, 4), (0.1,)),
            ShapeError,
            "1 probabilities, expected 2, of h, c",
        ),
        (
            lambda: tt.nn.Zoneout(tt.nn.SLSTMCell(3, 4), 0.1),
            UnsupportedError,
            r"c, n, m of this cell have meaning together.*use p=\(0.1, 0.0, 0.0, 0.0\)",
        ),
        (
            lambda: tt.nn.RecurrentDropout(tt.nn.LSTMCell(3, 4), h=1.0),
            ShapeError,
            "h is a probability.*got 1.0",
        ),
        (
            lambda: tt.nn.RecurrentDropout(tt.nn.Zoneout(tt.nn.LSTMCell(3, 4), 0.1), h=0.1),
            UnsupportedError,
            r"Zoneout applies no mask of h; it has \[\]",
        ),
        (lambda: tt.nn.RecurrentDropout(tt.nn.LiGRUCell(3, 4), x=0.1), UnsupportedError, "use LockedDropout"),
        (
            lambda: _noisy("h", tt.nn.GRUCell(3, 4))(torch.randn(5, 2, 3), seeds=[1]),
            ShapeError,
            r"seeds has shape \(1,\), expected \(2,\), one for each sequence",
        ),
        (
            lambda: _noisy("h", tt.nn.GRUCell(3, 4))(torch.randn(5, 3), seeds=[1.5]),
            InputTypeError,
            "seeds must be integers, got torch.float32",
        ),
        (
            lambda: _noisy("h", tt.nn.GRUCell(3, 4))(torch.randn(5, 3), first_step=-1),
            ShapeError,
            "first_step must be at least 0, got -1",
        ),
        (lambda: tt.nn.weight_drop(tt.nn.LSTM(3, 4), 1.0), ShapeError, "from 0 to below 1; got 1.0"),
        (
            lambda: tt.nn.weight_drop(nn.Linear(3, 4)),
            InputTypeError,
            "Linear has no parameter whose name begins",
        ),
        (
            lambda: tt.nn.weight_drop(tt.nn.LSTMCell(3, 4)),
            UnsupportedError,
            "LSTMCell is called at every step",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
