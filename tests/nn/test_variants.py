"""Cells and options against the equations of their papers, in values and all gradients, and errors."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn import Activation
from throughtime.nn.recurrent.rnn import RNNSpec

from .equations import by_equations, stacked
from .recurrent import VARIANTS, leaves, name_of

CASES = [*VARIANTS, ("LSTM", {}), ("GRU", {}), ("RNN", {}), ("GRU", {"reset_after": False, "update": "new"})]
each_variant = pytest.mark.parametrize(("name", "options"), CASES, ids=name_of)
LENGTHS = [4, 0, 1, 6]


def _layer(name: str, options: dict[str, Any], **more: Any) -> nn.Module:
    torch.manual_seed(1)
    return getattr(tt.nn, name)(3, 5, **options, **more).double()


def _leaf(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def _batch() -> Ragged:
    return Ragged.from_lengths(_leaf(sum(LENGTHS), 3), LENGTHS)


def _state(layer: nn.Module, batch: int) -> Any:
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    h = _leaf(count, batch, layer.proj_size or 5)
    return (h, _leaf(count, batch, 5)) if layer.spec.has_c else h


@each_variant
@pytest.mark.parametrize("context_size", [0, 2])
def test_a_layer_follows_its_equations_in_values_and_all_gradients(
    name: str, options: dict[str, Any], context_size: int
) -> None:
    layer = _layer(name, options, num_layers=2, bidirectional=True, context_size=context_size)
    x, state = _batch(), _state(layer, len(LENGTHS))
    context = _leaf(len(LENGTHS), context_size) if context_size else None
    found = layer(x, state, context=context)
    rows = by_equations(layer, options, x, state, context)
    output = torch.cat([stacked(sequences)["h"] for sequences in rows[-1]], 1)
    torch.testing.assert_close(found.output.values, output)
    ends = []
    for part, key in zip(state if isinstance(state, tuple) else (state,), ("h", "c"), strict=False):
        last = [
            [
                (sequence[-1 if direction == 0 else 0][key] if sequence else part[2 * number + direction, b])
                for b, sequence in enumerate(row[direction])
            ]
            for number, row in enumerate(rows)
            for direction in range(2)
        ]
        ends.append(torch.stack([torch.stack(place) for place in last]))
    for part, right in zip(leaves(found.state), ends, strict=True):
        torch.testing.assert_close(part, right)
    wanted = [x.values, *leaves(state), *layer.parameters(), *leaves(context)]
    seeds = [torch.randn_like(part) for part in (output, *ends)]
    assert len({name for name, _ in layer.named_parameters()}) == len(list(layer.parameters()))
    torch.testing.assert_close(
        torch.autograd.grad(leaves(found), wanted, seeds, materialize_grads=True),
        torch.autograd.grad([output, *ends], wanted, seeds, materialize_grads=True),
    )


def test_the_gru_of_skip_thought_is_equations_5_to_8() -> None:
    """Kiros et al. 2015, as printed, one sequence after the other; x is the previous word's embedding."""
    layer = _layer("GRU", {"bias": False, "reset_after": False, "update": "new", "context_size": 2})
    x, s, h0 = _batch(), _leaf(4, 2), _leaf(1, 4, 5)
    w_r, w_z, w = (layer.weight_ih_l0[5 * k : 5 * k + 5] for k in range(3))
    u_r, u_z, u = (layer.weight_hh_l0[5 * k : 5 * k + 5] for k in range(3))
    c_r, c_z, c = (layer.weight_context_l0[5 * k : 5 * k + 5] for k in range(3))
    outputs = []
    for b, words in enumerate(x):
        h = h0[0, b]
        for word in words:
            r = torch.sigmoid(w_r @ word + u_r @ h + c_r @ s[b])
            z = torch.sigmoid(w_z @ word + u_z @ h + c_z @ s[b])
            h_bar = torch.tanh(w @ word + u @ (r * h) + c @ s[b])
            h = (1 - z) * h + z * h_bar
            outputs.append(h)
    expected = torch.stack(outputs)
    found = layer(x, h0, context=s).output.values
    torch.testing.assert_close(found, expected)
    wanted, seed = [x.values, s, h0, *layer.parameters()], torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, wanted, seed), torch.autograd.grad(expected, wanted, seed)
    )


def test_negated_rows_of_z_turn_one_convention_into_the_other() -> None:
    for after in (True, False):
        old = _layer("GRU", {"reset_after": after, "context_size": 2})
        new = _layer("GRU", {"reset_after": after, "context_size": 2, "update": "new"})
        state = copy.deepcopy(old.state_dict())
        for part in state.values():
            part[5:10] *= -1
        new.load_state_dict(state)
        x, s = _batch(), _leaf(4, 2)
        torch.testing.assert_close(new(x, context=s).output.values, old(x, context=s).output.values)


def test_context_is_in_the_order_of_the_caller_whatever_the_kind() -> None:
    layer = _layer("LSTM", {"context_size": 2}, bidirectional=True)
    rows = [_leaf(n, 3) for n in (2, 5, 3)]
    s = _leaf(3, 2)
    alone = [layer(row, context=s[b]).output for b, row in enumerate(rows)]
    ragged = layer(Ragged.from_list(rows), context=s)
    packed = layer(pack_sequence(rows, enforce_sorted=False), context=s)
    for b, one in enumerate(alone):
        assert torch.equal(ragged.output[b], one)
        assert torch.equal(Ragged.from_packed(packed.output)[b], one)
    assert torch.equal(packed.state[0], ragged.state[0])
    traced = layer.trace(pack_sequence(rows, enforce_sorted=False), context=s)
    assert torch.equal(traced[0, 1].c.values, layer.trace(Ragged.from_list(rows), context=s)[0, 1].c.values)
    dense = torch.stack([rows[1], rows[1]], 1)
    assert torch.equal(layer(dense, context=s[[1, 1]]).output[:, 0], alone[1])


def test_a_stream_with_a_context_equals_the_whole() -> None:
    layer = _layer(
        "GRU", {"context_size": 2, "reset_after": False, "learn_initial_state": True}, num_layers=2
    )
    with torch.no_grad():
        layer.initial_h.normal_()
    x, s, state = _leaf(6, 4, 3), _leaf(4, 2), None
    whole = layer(x, context=s)
    for t, x_t in enumerate(x):
        y_t, state = layer.step(x_t, state, context=s)
        torch.testing.assert_close(y_t, whole.output[t])
    torch.testing.assert_close(state, whole.state)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "LayerNormLSTM"])
def test_a_learned_initial_state_is_what_no_state_means(name: str) -> None:
    layer = _layer(name, {"learn_initial_state": True}, num_layers=2, bidirectional=True)
    x = _batch()
    zeros = [torch.zeros(4, 4, 5).double() for _ in range(2)]
    given = tuple(zeros) if layer.spec.has_c else zeros[0]
    assert torch.equal(layer(x).output.values, layer(x, given).output.values), "it begins as zeros"
    names = ["initial_h", "initial_c"][: 2 if layer.spec.has_c else 1]
    with torch.no_grad():
        for own in names:
            getattr(layer, own).normal_()
    state = [getattr(layer, own)[:, None].expand(-1, 4, -1) for own in names]
    found, expected = layer(x), layer(x, tuple(state) if layer.spec.has_c else state[0])
    assert torch.equal(found.output.values, expected.output.values)
    # The empty sequence ends where it began.
    assert torch.equal(leaves(found.state)[0][:, 1], layer.initial_h)
    parameters = list(layer.parameters())
    torch.testing.assert_close(
        *(
            torch.autograd.grad(sum(p.square().sum() for p in leaves(r)), parameters)
            for r in (found, expected)
        )
    )
    with torch.no_grad():
        stepping = _layer(name, {"learn_initial_state": True})
        stepping.initial_h.normal_()
        torch.testing.assert_close(stepping.step(x.values[0])[0], stepping(x.values[:1]).output[0])
    layer.reset_parameters()
    assert not layer.initial_h.any()


def test_the_parameters_of_rnn_lstm_and_gru_are_1_to_4_to_3() -> None:
    def count(layer: nn.Module) -> int:
        return sum(parameter.numel() for parameter in layer.parameters())

    for more in ({}, {"num_layers": 3, "bidirectional": True}, {"bias": False}, {"context_size": 6}):
        one = count(tt.nn.RNN(7, 11, **more))
        assert count(tt.nn.LSTM(7, 11, **more)) == 4 * one
        assert count(tt.nn.GRU(7, 11, **more)) == 3 * one
        assert count(tt.nn.LSTM(7, 11, coupled=True, **more)) == 3 * one
    assert count(tt.nn.LSTM(7, 11, peephole=True)) == count(tt.nn.LSTM(7, 11)) + 3 * 11
    assert tt.nn.LSTM(7, 11, peephole=True, coupled=True).weight_peephole_l0.shape == (22,)


def test_plain_options_are_the_plain_cell() -> None:
    """So they get torch's names, its parameters and the fastest loop."""
    torch.manual_seed(0)
    ours = tt.nn.GRU(3, 4, reset_after=True, update="old", clip=None, activations=("sigmoid", "tanh"))
    torch.manual_seed(0)
    torchs = nn.GRU(3, 4)
    assert ours.spec.name == "GRU"
    assert ours.state_dict().keys() == torchs.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), torchs.parameters(), strict=True))
    assert tt.nn.RNN(3, 4, nonlinearity="relu").spec == RNNSpec((Activation("relu"),))
    assert repr(tt.nn.GRU(3, 4, update="new")) == "GRU(3, 4, update='new')"


@each_variant
def test_gradients_of_every_step_are_those_that_autograd_retains(name: str, options: dict[str, Any]) -> None:
    layer = _layer(name, options, bidirectional=True)
    x, state = _batch(), _state(layer, len(LENGTHS))
    trace = layer.trace(x, state, gradients=True)
    seed = torch.randn_like(trace.result.output.values)
    trace.result.output.values.backward(seed)
    row = by_equations(layer, options, x, state)[0]
    for sequences in row:
        for sequence in sequences:
            for step in sequence:
                for part in step.values():
                    part.requires_grad and part.retain_grad()
    output = torch.cat([stacked(sequences)["h"] for sequences in row], 1)
    output.backward(seed)
    for direction, sequences in enumerate(row):
        found = trace[0, direction].gradients
        steps = [step for sequence in sequences for step in sequence]
        torch.testing.assert_close(found.h.values, torch.stack([step["h"].grad for step in steps]))
        for key, part in found.pre_activations.items():
            made = key if key in layer.spec.linear_names else f"before {key}"
            torch.testing.assert_close(part.values, torch.stack([step[made].grad for step in steps]))
        if not layer.spec.has_c:
            with pytest.raises(ShapeError, match="this layer has no cell state c"):
                found.c  # noqa: B018
            continue
        torch.testing.assert_close(found.c.values, torch.stack([step["c"].grad for step in steps]))
        bound = options.get("cell_clip")
        for sequence, along in zip(sequences, found.c_along_c, strict=True):
            order = sequence[::-1] if direction else sequence
            read = list(along.flip(0)) if direction else list(along)
            for after, part in zip(order[1:], read, strict=False):
                inside = 1.0 if bound is None else (after["c"].abs() < bound)
                torch.testing.assert_close(part, after["forget"] * after["c"].grad * inside)
            assert not order or not read[-1].any()
        whole = found.c_along_c.values + found.c_through_h.values
        torch.testing.assert_close(whole, found.c.values)


def test_the_cell_state_carries_a_gradient_where_h_does_not() -> None:
    """An open forget gate and a closed output gate: all of it travels along c, unchanged."""
    layer = _layer("LSTM", {})
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1e-3)
        layer.bias_ih_l0[5:10] = 40.0
        layer.bias_ih_l0[15:] = -8.0
    trace = layer.trace(torch.randn(50, 3, dtype=torch.float64), gradients=True)
    trace.result.state[1].sum().backward()
    found = trace.gradients
    torch.testing.assert_close(found.c[0], torch.ones(50, 5).double(), rtol=1e-3, atol=1e-3)
    assert found.c_through_h[0][:-1].abs().max() < 1e-3
    assert found.h[0].abs().max() < 1e-3
    # The last step's own share is what the loss did to c.
    torch.testing.assert_close(found.c_through_h[0][-1], torch.ones(5).double())


def test_gradients_must_be_asked_for_and_need_a_backward_pass() -> None:
    layer = _layer("GRU", {})
    with pytest.raises(ShapeError, match=r"layer.trace\(x, gradients=True\)"):
        layer.trace(_batch()).gradients  # noqa: B018
    trace = layer.trace(_batch(), gradients=True)
    with pytest.raises(ShapeError, match=r"no backward pass through this layer is recorded"):
        trace.gradients  # noqa: B018
    torch.autograd.grad(trace.result.output.values.sum(), layer.weight_hh_l0, create_graph=True)
    with pytest.raises(ShapeError, match="create_graph=True"):
        trace.gradients  # noqa: B018


def test_bounds_inside_the_recurrence_act_on_what_passes_from_step_to_step() -> None:
    """By a loop over steps that bounds by hooks."""
    for name, value, norm in (
        ("RNN", None, 0.4),
        ("LSTM", 0.05, None),
        ("GRU", 0.3, 0.5),
        ("LSTM", 0.2, 0.3),
        ("LayerNormLSTM", 0.05, 0.2),
    ):
        layer = _layer(name, {})
        x, state = _leaf(9, 3), _state(layer, 1)
        layer.bound_gradients(value=value, norm=norm)
        trace = layer.trace(x[:, None], state, gradients=True)
        seed = torch.randn(9, 1, 5, dtype=torch.float64)
        found = torch.autograd.grad(trace.result.output, [x, *leaves(state), *layer.parameters()], seed)

        kept: list[tuple[float, float]] = []

        def bounded(
            gradient: Tensor,
            value: float | None = value,
            norm: float | None = norm,
            kept: list[tuple[float, float]] = kept,
        ) -> Tensor:
            inside = gradient if value is None else gradient.clamp(-value, value)
            scale = 1.0 if norm is None else min(1.0, norm / float(inside.norm()))
            kept.append((float((inside == gradient).double().mean()), scale))
            return inside * scale

        def passing(part: Tensor) -> Tensor:
            part = part.view_as(part)
            part.register_hook(bounded)
            return part

        layer.bound_gradients()
        assert layer.spec.name == name
        outputs, carried = [], state
        for x_t in x:
            carried = tuple(map(passing, carried)) if layer.spec.has_c else passing(carried)
            y_t, carried = layer.step(x_t[None], carried)
            outputs.append(y_t)
        expected = torch.autograd.grad(torch.stack(outputs), [x, *leaves(state), *layer.parameters()], seed)
        torch.testing.assert_close(found, expected)
        left = 1.0 - trace.gradients.clipped_fraction.values
        assert (left < 1).any()
        if not layer.spec.has_c:
            shares = torch.tensor([share * scale for share, scale in reversed(kept)]).double()
            torch.testing.assert_close(left, shares)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tt.nn.GRU(3, 4, update="newest"), "'old' (as in torch) or 'new', got 'newest'"),
        (
            lambda: tt.nn.GRU(3, 4, activations=("sigmoid",)),
            "activations are 2, of r and z, of the candidate n",
        ),
        (lambda: tt.nn.GRU(3, 4, activations="sigmoid"), "activations are 2"),
        (lambda: tt.nn.LSTM(3, 4, activations=("sigmoid", "tanh", "sin")), "unknown activation 'sin'"),
        (lambda: tt.nn.RNN(3, 4, nonlinearity=("tanh", 1.0)), "tanh takes 0 numbers"),
        (lambda: tt.nn.RNN(3, 4, nonlinearity=("elu", -1.0)), "elu needs finite numbers with α > 0"),
        (lambda: tt.nn.RNN(3, 4, nonlinearity=("affine", float("nan"))), "affine needs finite numbers"),
        (lambda: tt.nn.LSTM(3, 4, clip=0.0), "clip is a bound above 0, or None for no bound; got 0.0"),
        (lambda: tt.nn.LSTM(3, 4, cell_clip=-1.0), "cell_clip is a bound above 0"),
        (lambda: tt.nn.LSTM(3, 4, cell_clip=float("nan")), "cell_clip is a bound above 0"),
        (lambda: tt.nn.RNN(3, 4).bound_gradients(norm=0.0), "norm is a bound above 0"),
        (lambda: tt.nn.LSTM(3, 4, context_size=-1), "context_size is the size of a vector"),
    ],
)
def test_options_say_what_they_take(make: Any, message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        make()
    assert message in str(caught.value)


def test_a_context_that_does_not_fit_is_named() -> None:
    x, with_context, without = _batch(), _layer("GRU", {"context_size": 2}), _layer("GRU", {})
    for call, message in (
        (lambda: with_context(x), "context_size=2 and got no context"),
        (lambda: with_context(x, context=_leaf(3, 2)), "has shape (3, 2), expected (4, 2) (sequences"),
        (lambda: with_context(x, context=_leaf(2)), "has shape (2,), expected (4, 2)"),
        (lambda: with_context(x.values, context=_leaf(4, 2)), "expected (2,) (context_size,)"),
        (lambda: without(x, context=_leaf(4, 2)), "GRU(..., context_size=2)"),
        (lambda: with_context.step(x.values[0]), "got no context"),
    ):
        with pytest.raises(ShapeError) as caught:
            call()
        assert message in str(caught.value)
    with pytest.raises(InputTypeError, match=r"the context is torch.float32, the weights are torch.float64"):
        with_context(x, context=torch.zeros(4, 2))
    with pytest.raises(InputTypeError, match="the context is a Tensor, got list"):
        with_context(x, context=[[0.0, 1.0]] * 4)
    with_context.weight_context_l0 = nn.Parameter(torch.zeros(15, 3).double())
    with pytest.raises(ShapeError, match=r"weight_context_l0 has shape \(15, 3\), expected \(15, 2\)"):
        with_context(x, context=_leaf(4, 2))
    peephole = _layer("LSTM", {"peephole": True})
    peephole.weight_peephole_l0 = nn.Parameter(torch.zeros(10).double())
    with pytest.raises(ShapeError, match=r"weight_peephole_l0 has shape \(10,\), expected \(15,\)"):
        peephole(x)


def test_options_survive_state_dicts_copies_and_half_precision() -> None:
    layer = _layer(
        "LSTM", {"peephole": True, "coupled": True, "context_size": 2, "learn_initial_state": True}
    )
    x, s = _batch(), _leaf(4, 2)
    right = layer(x, context=s).output.values
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x, context=s).output.values, right)
    other = tt.nn.LSTM(3, 5, peephole=True, coupled=True, context_size=2, learn_initial_state=True).double()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x, context=s).output.values, right)
    single = layer.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = single(x.with_values(x.values.float()), context=s.float()).output.values
    torch.testing.assert_close(low.double(), right, rtol=0.02, atol=0.02)


@each_variant
def test_torch_compile_takes_the_variants(name: str, options: dict[str, Any]) -> None:
    torch._dynamo.reset()
    layer = _layer(name, options, context_size=2)
    x, s = torch.randn(4, 2, 3).double(), _leaf(2, 2)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    results = [run(x, context=s) for run in (layer, compiled)]
    torch.testing.assert_close(*(leaves(result) for result in results))
    grads = [torch.autograd.grad(r.output.square().sum(), [s, *layer.parameters()]) for r in results]
    torch.testing.assert_close(*grads)
