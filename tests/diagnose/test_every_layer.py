"""`watch` and `diagnose` for every recurrent layer of throughtime.nn, against autograd step by step."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import diagnose, gradient_flow, lyapunov_exponents, spectrum, watch
from throughtime.diagnose._watch import layers_of
from throughtime.nn.recurrent.watching import LayerRun

from ..bptt.test_every_layer import ONE_DIRECTION, RECURRENT
from ..nn.case import FEATURES, Case

LENGTHS = [4, 0, 3, 6]
each_layer = pytest.mark.parametrize("case", RECURRENT, ids=[case.name for case in RECURRENT])
# Layers of one kind, one layer and one direction: their state is that of one loop.
SINGLE = [
    case
    for case in ONE_DIRECTION
    if "num_layers" not in case.name and "Stack" not in case.name and "projected" not in case.name
]


def _problem(case: Case) -> tuple[nn.Module, Ragged]:
    torch.manual_seed(0)
    layer = case.make().double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.grad = None
            parameter.uniform_(-0.5, 0.5)
    return layer, Ragged.from_lengths(torch.randn(sum(LENGTHS), FEATURES).double(), LENGTHS)


def _loss(result: Any) -> Tensor:
    values = result.output.values
    weights = torch.arange(values.numel(), dtype=values.dtype).cos().view(values.shape)
    return (values * weights).sum()


@each_layer
@pytest.mark.parametrize("flags", [False, True], ids=["whole", "flags"])
def test_watching_changes_neither_results_nor_gradients(case: Case, flags: bool) -> None:
    layer, x = _problem(case)
    more = {"reset": x.with_values(torch.arange(len(x.values)) % 4 == 2)} if flags else {}
    values = x.values.clone().requires_grad_()
    wanted = [values, *layer.parameters()]
    expected = layer(x.with_values(values), **more)
    gradients = torch.autograd.grad(_loss(expected), wanted, materialize_grads=True)
    with watch(layer, whole=True) as seen:
        found = layer(x.with_values(values), **more)
        _loss(found).backward()
    torch.testing.assert_close(found.output.values, expected.output.values)
    for leaf, gradient in zip(wanted, gradients, strict=True):
        torch.testing.assert_close(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad, gradient)
    runs = seen.directions()
    assert len({(run.name, run.layer, run.direction) for run in runs}) == len(runs)
    for run in runs:
        assert all(len(part) == len(x.values) for part in (run.input, *run.states.values()))
        assert run.sequences.lengths.tolist() == LENGTHS
    assert len(spectrum(seen)) == len(runs)
    flow = gradient_flow(seen)
    assert all(part.h.values.isfinite().all() and part.state.values.any() for part in flow.layers)


@each_layer
def test_layers_with_recurrent_weights_state_their_blocks(case: Case) -> None:
    layer, _ = _problem(case)
    for part in layers_of(layer):
        weights = {
            name.rpartition("recurrences.")[2]: weight
            for name, weight in part.named_parameters()
            if "weight_hh" in name
        }
        blocks = part.recurrent_blocks()
        if isinstance(part, tt.nn.Recurrence):  # of a transition that is no cell
            assert not blocks
            continue
        assert bool(blocks) == bool(weights and not getattr(part, "proj_size", 0))
        for (number, direction), by_gate in blocks.items():
            assert all(block.shape == (4, 4) or len(block) == part.hidden_size for block in by_gate.values())
            suffix = f"l{number}{'_reverse' if direction else ''}"
            own = [weight for name, weight in weights.items() if suffix in re.split(r"[.]|_hh_", name)]
            total = torch.stack([weight.square().sum() for weight in own or weights.values()]).sum()
            of_blocks = torch.stack([block.square().sum() for block in by_gate.values()]).sum()
            torch.testing.assert_close(of_blocks, total)
            gates = {block.block for block in spectrum(layer) if block.layer == number}
            assert set(by_gate) <= gates


def _by_steps(layer: nn.Module, sequence: Tensor) -> list[Any]:
    """Return the states after each step of one sequence."""
    state, states = None, []
    for x_t in sequence:
        state = layer(Ragged.from_list([x_t[None]]), state).state
        states.append(state)
    return states


@pytest.mark.parametrize("case", SINGLE, ids=[case.name for case in SINGLE])
def test_states_and_exponents_are_those_of_single_steps(case: Case) -> None:
    layer, x = _problem(case)
    with watch(layer) as seen:
        _loss(layer(x)).backward()
    (run,) = seen.directions()
    for b, sequence in enumerate(x):
        if not len(sequence):
            continue
        states = _by_steps(layer, sequence)
        begin = int(x.offsets[b])
        for t, state in enumerate(states):
            leaves = [leaf for leaf in pytree.tree_leaves(state) if leaf.dim() < 3 or leaf.shape[0] == 1]
            for leaf, part in zip(leaves, run.states.values(), strict=False):
                torch.testing.assert_close(part[begin + t], leaf.detach().flatten())
    jacobian = _checked_jacobian(layer, x, run)
    (block,) = spectrum(seen, step=2)  # of the longest sequence
    torch.testing.assert_close(block.matrix, jacobian)
    torch.testing.assert_close(block.eigenvalues.prod().real, torch.linalg.det(jacobian))
    torch.testing.assert_close(block.singular_values.square().sum(), jacobian.square().sum())
    assert lyapunov_exponents(seen)[0].exponents.isfinite().all()


def _checked_jacobian(layer: nn.Module, x: Ragged, run: LayerRun) -> Tensor:
    """Return the Jacobian of the third step of the last sequence, if that of the run is the same."""
    size, pulled_back = run.jacobians(3)
    before = layer(x[[3]].split_time(2)[0]).state
    token = x[3][2:3]
    windows = None
    if isinstance(before, tuple) and isinstance(before[1], tuple):  # the inputs of a QRNN are no state
        before, windows = before
    leaves, structure = pytree.tree_flatten(before)
    shapes = [leaf.shape for leaf in leaves]

    def step(*leaves: Tensor) -> tuple[Tensor, ...]:
        state: Any = pytree.tree_unflatten(leaves, structure)
        after = layer(Ragged.from_list([token]), state if windows is None else (state, windows)).state
        return tuple(pytree.tree_leaves(after if windows is None else after[0]))

    parts = torch.autograd.functional.jacobian(step, tuple(leaf.detach() for leaf in leaves))
    sizes = [shape.numel() for shape in shapes]
    rows = [
        torch.cat([part.reshape(a, b) for part, b in zip(row, sizes, strict=True)], 1)
        for row, a in zip(parts, sizes, strict=True)
    ]
    jacobian = torch.cat(rows)
    assert size == len(jacobian)
    torch.testing.assert_close(pulled_back(2, torch.eye(size, dtype=torch.float64)), jacobian.double())
    return jacobian.double()


@pytest.mark.parametrize("case", SINGLE, ids=[case.name for case in SINGLE])
def test_the_last_gradients_of_h_are_those_of_the_output(case: Case) -> None:
    layer, x = _problem(case)
    values = x.values.clone().requires_grad_()
    with watch(layer, whole=True) as seen:
        _loss(layer(x.with_values(values))).backward()
    (run,) = seen.directions()
    # At the last step nothing but the output depends on h.
    name, gradients = next(iter(run.state_gradients.items()))
    if name == "h":
        for b in (0, 2, 3):
            end = int(x.offsets[b + 1])
            weights = torch.arange(len(x.values) * run.states["h"].shape[1], dtype=torch.float64).cos()
            torch.testing.assert_close(gradients[end - 1], weights.view(len(x.values), -1)[end - 1])
    size, _ = run.jacobians(3)
    flat = torch.cat(list(run.state_gradients.values()), 1)
    assert flat.shape[1] == size


def test_exact_gradients_of_a_recurrence_with_named_values() -> None:
    weight = nn.Parameter(torch.tensor([[0.5, -0.3], [0.2, 0.4]], dtype=torch.float64))

    def f(h: Tensor, x: Tensor) -> Tensor:
        gate = tt.nn.record("gate", torch.sigmoid(h @ weight + x))
        return gate * h + (1 - gate) * x

    layer = tt.nn.Recurrence(f, state=torch.zeros(2).double())
    x = Ragged.from_lengths(torch.randn(5, 2).double(), [3, 2])
    with watch(layer) as seen:
        layer(x).output.values.square().sum().backward()
    (run,) = seen.directions()
    flow = gradient_flow(seen)[0]
    for b in range(2):
        state, states, gates = torch.zeros(1, 2).double(), [], []
        for x_t in x[b]:
            gate = torch.sigmoid(state @ weight + x_t[None])
            gate.retain_grad()
            state = gate * state + (1 - gate) * x_t[None]
            state.retain_grad()
            states.append(state)
            gates.append(gate)
        torch.stack(states).square().sum().backward()
        rows = slice(int(x.offsets[b]), int(x.offsets[b + 1]))
        torch.testing.assert_close(run.state_gradients["h"][rows], torch.cat([s.grad for s in states]))
        torch.testing.assert_close(run.gates["gate"][rows], torch.cat(gates).detach())
        torch.testing.assert_close(flow.h[b], torch.cat([s.grad for s in states]).norm(dim=1))
    assert flow.weight_terms is None
    with pytest.raises(tt.errors.ShapeError, match="no weight_terms; choose h or state"):
        flow.profile("weight_terms")
    with pytest.raises(tt.errors.ShapeError, match="weight terms are those of"):
        flow.weight_term(0)


@pytest.mark.parametrize("layer", ["MinGRU", "MinLSTM", "QRNN", "SRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_traces_of_scan_layers_have_whole_gradients(layer: str, bidirectional: bool) -> None:
    torch.manual_seed(0)
    module = getattr(tt.nn, layer)(FEATURES, 4, bidirectional=bidirectional).double()
    x = Ragged.from_lengths(torch.randn(sum(LENGTHS), FEATURES).double(), LENGTHS)
    trace = module.trace(x, gradients=True)
    _loss(trace.result).backward()
    name = module.state_name
    for (number, direction), gradients in trace.gradients.states.items():
        values = trace.states[number, direction]
        assert set(gradients) == set(values)
        factors = 1 - values["update"].values if "update" in values else values["forget"].values
        # ∂L/∂s_t = the share of the output + a_{t+1} ∂L/∂s_{t+1}
        weights = torch.arange(trace.result.output.values.numel(), dtype=torch.float64).cos()
        weights = weights.view(len(x.values), -1).chunk(1 + bidirectional, 1)[direction]
        share = weights if name == "h" else weights * values["output" if layer == "QRNN" else "reset"].values
        for b in range(len(LENGTHS)):
            rows = list(range(int(x.offsets[b]), int(x.offsets[b + 1])))
            later = torch.zeros(4).double()
            for row in rows if direction else rows[::-1]:
                later = share[row] + later
                torch.testing.assert_close(gradients[name].values[row], later.detach())
                later = (factors[row] * later).detach()


DIAGNOSED = (
    "MinGRU",
    "QRNN",
    "LiGRU",
    "PeepholeSRU {'bias': False, 'bidirectional': True}",
    "AttentionGRU {}",
    "Recurrence",
    "Stack",
)


@pytest.mark.parametrize("name", DIAGNOSED)
def test_a_whole_diagnosis(name: str) -> None:
    (case,) = [case for case in RECURRENT if case.name == name]
    layer, x = _problem(case)
    with watch(layer) as seen:
        _loss(layer(x)).backward()
    places = [(run.name, run.layer, run.direction) for run in seen.directions()]
    found = diagnose(
        layer,
        x,
        _loss,
        outcome=lambda result: torch.stack([part.sum() for part in result.output]),
        exponents=2,
    )
    assert [(part.name, part.layer, part.direction) for part in found.layers] == places
    assert tt.diagnose.Diagnosis.from_json(found.to_json()) == found
    assert len(found.lyapunov) == len(places)
    spectra = {(part.name, part.layer, part.direction) for part in found.spectrum}
    assert spectra == {(name.split("[", 1)[0], layer, direction) for name, layer, direction in places}


def test_a_state_of_any_structure_is_watched_by_numbers() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(2, 6).double())

        def forward(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
            matrix = torch.tanh(0.5 * state["matrix"] + (x @ self.weight).view(-1, 2, 3))
            return {"matrix": matrix, "steps": state["steps"] + 1}

    zeros = {"matrix": torch.zeros(2, 3).double(), "steps": torch.tensor(0)}
    layer = tt.nn.Recurrence(
        Counting(), lambda state: state["matrix"].flatten(1), state=zeros, native="never"
    )
    x = Ragged.from_lengths(torch.randn(5, 2).double(), [3, 2])
    with watch(layer) as seen:
        layer(x).output.values.sum().backward()
    (run,) = seen.directions()
    assert {name: tuple(part.shape) for name, part in run.states.items()} == {"state 0": (5, 6)}
    state = run.states["state 0"][1]
    size, pulled_back = run.jacobians(0)
    expected = torch.diag(0.5 * (1 - run.states["state 0"][2].square()))
    assert size == len(state)
    torch.testing.assert_close(pulled_back(2, torch.eye(6).double()), expected)
