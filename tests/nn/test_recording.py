"""Values of a step by name, `record`, and their gradients in a trace: against a loop with torch's `retain_grad`."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError

LENGTHS = [4, 0, 6, 1]


class _Gated(nn.Module):
    """A step with two recorded values, of which one depends on the token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.candidate = nn.Linear(5, 3), nn.Linear(2, 3)

    def forward(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        h, count = state
        z = tt.nn.record("update", torch.sigmoid(self.gate(torch.cat([x, h], 1))))
        new = tt.nn.record("candidate", torch.tanh(self.candidate(x)))
        return (1 - z) * h + z * new, count + z.mean(1, keepdim=True)


def _batch() -> tuple[_Gated, Ragged]:
    torch.manual_seed(0)
    step = _Gated().double()
    return step, Ragged.from_list([torch.randn(n, 2, dtype=torch.float64) for n in LENGTHS])


def _by_hand(step: _Gated, sequence: Tensor) -> dict[str, list[Tensor]]:
    """Every value of one sequence, part of a graph in which each keeps its gradient."""
    values: dict[str, list[Tensor]] = {"h": [], "count": [], "update": [], "candidate": []}
    h, count = (torch.zeros(size, dtype=torch.float64) for size in (3, 1))
    for x in sequence:
        z = torch.sigmoid(step.gate(torch.cat([x, h])))
        new = torch.tanh(step.candidate(x))
        h, count = (1 - z) * h + z * new, count + z.mean()
        for name, value in zip(values, (h, count, z, new), strict=True):
            value.retain_grad()
            values[name].append(value)
    return values


def _check_equal(found: Any, expected: Any) -> None:
    """Ragged batches and states of two results."""
    pairs = zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(
            *(part.values if isinstance(part, Ragged) else part for part in (one, other))
        )


def _loss(h: Tensor, count: Tensor) -> Tensor:
    return (h.sin() * torch.arange(h.numel()).view_as(h)).sum() + count.square().sum()


@pytest.mark.parametrize("native", ["require", "never"])
def test_values_and_whole_gradients_are_those_of_a_loop(native: Any) -> None:
    step, x = _batch()
    layer = tt.nn.Recurrence(step, state=(3, 1), native=native).double()
    trace = layer.trace(x, gradients=True)
    _check_equal(trace.result, layer(x))
    sum(_loss(*parts) for parts in zip(*trace.result.output, strict=True)).backward()  # type: ignore[union-attr]
    found_of_parameters = [parameter.grad for parameter in step.parameters()]
    gradients = trace.gradients
    found = dict(zip(("h", "count"), trace.states, strict=True)) | dict(trace.recorded)
    found_gradients = dict(zip(("h", "count"), gradients.states, strict=True)) | dict(gradients.recorded)
    step.zero_grad()
    for b, sequence in enumerate(x):
        values = _by_hand(step, sequence)
        if not len(sequence):
            continue
        _loss(torch.stack(values["h"]), torch.stack(values["count"])).backward()
        for name, each in values.items():
            torch.testing.assert_close(found[name][b], torch.stack(each))
            torch.testing.assert_close(found_gradients[name][b], torch.stack([value.grad for value in each]))
    torch.testing.assert_close(found_of_parameters, [parameter.grad for parameter in step.parameters()])


def test_a_recorded_value_is_part_of_the_graph() -> None:
    step, x = _batch()
    trace = tt.nn.Recurrence(step, state=(3, 1), native="require").double().trace(x)
    with pytest.raises(
        ShapeError, match=r"this trace has no gradients; use layer\.trace\(x, gradients=True\)"
    ):
        trace.gradients  # noqa: B018
    found = torch.autograd.grad(trace.recorded["update"].values.square().sum(), list(step.gate.parameters()))
    steps = [value for sequence in x for value in _by_hand(step, sequence)["update"]]
    expected = torch.autograd.grad(torch.stack(steps).square().sum(), list(step.gate.parameters()))
    torch.testing.assert_close(found, expected)


def test_outside_of_a_trace_the_step_is_traced_without_it() -> None:
    step, x = _batch()
    plain = copy.deepcopy(step)
    plain.forward = lambda state, x: _without_names(plain, state, x)  # type: ignore[method-assign]
    expected = tt.nn.Recurrence(plain, state=(3, 1)).double()(x)
    found = tt.nn.Recurrence(step, state=(3, 1)).double()(x)
    assert torch.equal(found.output[0].values, expected.output[0].values)
    value = torch.ones(2, 3)
    assert tt.nn.record("update", value) is value


def _without_names(step: _Gated, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    h, count = state
    z = torch.sigmoid(step.gate(torch.cat([x, h], 1)))
    return (1 - z) * h + z * torch.tanh(step.candidate(x)), count + z.mean(1, keepdim=True)


def test_with_a_context_noise_and_resets() -> None:
    torch.manual_seed(0)
    cell = tt.nn.Zoneout(tt.nn.LiGRUCell(2, 3, normalization=None), 0.3).double().train()
    x = Ragged.from_list([torch.randn(n, 2, dtype=torch.float64) for n in LENGTHS])
    reset = x.with_values(torch.arange(11) % 4 == 2)
    layer, options = tt.nn.Recurrence(cell, native="require"), {"seeds": [3, 1, 4, 1], "reset": reset}
    trace, result = layer.trace(x, gradients=True, **options), layer(x, **options)
    _check_equal(trace.result, result)
    trace.result.output.values.square().sum().backward()
    found = trace.gradients.states.values
    assert set(trace.recorded) == {"update", "candidate"}
    again = tt.nn.Recurrence(cell, native="never").trace(x, gradients=True, **options)
    again.result.output.values.square().sum().backward()
    torch.testing.assert_close(found, again.gradients.states.values)
    torch.testing.assert_close(
        trace.gradients.recorded["update"].values, again.gradients.recorded["update"].values
    )


def test_a_cell_of_torch_has_gradients_of_its_state() -> None:
    torch.manual_seed(0)
    cell = nn.GRUCell(2, 3).double()
    x = Ragged.from_list([torch.randn(n, 2, dtype=torch.float64) for n in LENGTHS])
    trace = tt.nn.Recurrence(cell).trace(x, gradients=True)
    trace.result.output.values.square().sum().backward()
    for b, sequence in enumerate(x):
        h, states = torch.zeros(3, dtype=torch.float64), []
        for x_t in sequence:
            h = cell(x_t, h)
            h.retain_grad()
            states.append(h)
        if states:
            torch.stack(states).square().sum().backward()
            torch.testing.assert_close(
                trace.gradients.states[b], torch.stack([state.grad for state in states])
            )


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_layer_of_cells_has_its_gates_and_gradients_by_name(*, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = tt.nn.MultiplicativeLSTM(2, 3, num_layers=2, bidirectional=bidirectional).double()
    x = Ragged.from_list([torch.randn(n, 2, dtype=torch.float64) for n in LENGTHS])
    trace = layer.trace(x, gradients=True)
    trace.result.output.values.square().sum().backward()
    assert list(trace.states) == [(number, way) for number in range(2) for way in range(1 + bidirectional)]
    for place, states in trace.states.items():
        assert set(states) == {"h", "c", "input", "forget", "candidate", "output"}
        torch.testing.assert_close(
            states["h"].values, states["output"].values * torch.tanh(states["c"].values)
        )
        gradients = trace.gradients.states[place]
        # h = o ⊙ tanh(c), and nothing else reads o.
        torch.testing.assert_close(
            gradients["output"].values, gradients["h"].values * torch.tanh(states["c"].values)
        )
        # c = f ⊙ c + i ⊙ g is recorded, so its gradient is also that by h of the same step.
        torch.testing.assert_close(
            gradients["candidate"].values, gradients["c"].values * states["input"].values
        )


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (lambda h: [tt.nn.record("a", h), tt.nn.record("a", h)], InputTypeError, "'a' is recorded twice"),
        (lambda h: tt.nn.record("a", 1.0), InputTypeError, "'a' must be a tensor, got float"),  # type: ignore[arg-type]
        (
            lambda h: tt.nn.record("a", h.new_zeros(7)),
            ShapeError,
            r"one row for each sequence, got shape \(7,\)",
        ),
    ],
)
def test_what_cannot_be_recorded_is_named(record: Any, error: type[Exception], message: str) -> None:
    def f(h: Tensor, x: Tensor) -> Tensor:
        record(h)
        return torch.tanh(h + x)

    layer = tt.nn.Recurrence(f, state=2)
    layer(torch.zeros(3, 2))
    with pytest.raises(error, match=message):
        layer.trace(torch.zeros(3, 2))


def test_names_are_found_once_while_what_f_reads_is_the_same() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.from_x = nn.Linear(3, 4)

        def forward(self, h: Tensor, x: Tensor) -> Tensor:
            name = "training" if self.training else "evaluation"
            gate = tt.nn.record(name, torch.sigmoid(self.from_x(x)))
            return gate[:, :4] * h

    layer, x = tt.nn.Recurrence(Gated(), state=torch.ones(4)), torch.randn(5, 2, 3)
    plain = layer._transitions._recorded[0]
    for _ in range(3):
        assert list(layer.trace(x).recorded) == ["training"]
    assert plain.steps == 1
    layer.eval()
    assert list(layer.trace(x).recorded) == ["evaluation"]
    assert plain.steps == 2
    layer.f.from_x = nn.Linear(3, 6)  # the same f with a value of another size
    assert layer.trace(x).recorded["evaluation"].shape[-1] == 6
    layer.f.from_x.weight = nn.Parameter(torch.randn(7, 3))
    layer.f.from_x.bias = nn.Parameter(torch.randn(7))
    assert layer.trace(x).recorded["evaluation"].shape[-1] == 7
    layer.double()
    assert layer.trace(x.double()).recorded["evaluation"].dtype == torch.float64
