"""Layers of built-in cells as programs, against the loop in Python: derivatives of any order, `torch.vmap`."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import throughtime as tt
from tests.nn.recurrent import CELLS, fresh, weights_for
from throughtime.ops.program import autograd
from throughtime.ops.recurrent import layer, program
from throughtime.ops.recurrent.program import recurrent_layer_program
from throughtime.ops.recurrent.reference import recurrent_layer_reference
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import PACKED, RAGGED, TIME_MAJOR, Steps
from throughtime.ops.recurrent.weights import directions_of, flat

VARIANTS = (
    *CELLS,
    'LSTM{"peephole": true, "coupled": true}',
    'LSTM{"cell_clip": 0.1}',
    'LSTM{"clip": 0.2}',
    'GRU{"reset_after": false, "update": "new"}',
    "MGU",
    "LayerNormLSTM",
)
STEPS = {
    "ragged": Steps(RAGGED, 4, 0, torch.tensor([0, 3, 3, 4, 6])),
    "time-major": Steps(TIME_MAJOR, 2, 3, None),
    "packed": Steps(PACKED, 3, 3, torch.tensor([3, 2, 1])),
}
each_cell = pytest.mark.parametrize("cell", VARIANTS)


@pytest.fixture
def native_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a loop in Python would run."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the reference ran")

    for module, name in (
        (autograd, "run_reference"),
        (program, "recurrent_layer_reference"),
        (layer, "recurrent_layer_reference"),
    ):
        monkeypatch.setattr(module, name, refuse)


class Case:
    """A layer with random tensors."""

    def __init__(self, cell: str, order: str, **options: Any) -> None:
        torch.manual_seed(0)
        self.steps, self.spec = STEPS[order], CellSpec.parse(cell)
        directions = weights_for(cell, 2, 3, directions=2, **options)
        sizes = [options.get("projection", 3), 3][: len(self.spec.states)]
        states = [torch.randn(2, self.steps.batch, size, dtype=torch.float64) for size in sizes]
        tensors = [fresh(torch.randn(6, 2, dtype=torch.float64)), *map(fresh, states), *flat(directions)]
        self.present = [part is not None for part in tensors]
        self.tensors = [part for part in tensors if part is not None]

    def results(self, function: Callable[..., Any], *tensors: Tensor, save: bool) -> list[Tensor]:
        left = iter(tensors)
        x, *others = [next(left) if there else None for there in self.present]
        states = [*others[: len(self.spec.states)], None][:2]
        weights = directions_of(tuple(others[len(self.spec.states) :]))
        results = function(x, self.steps, self.spec, *states, weights)
        return [part for part in results[: 5 if save else 3] if part.numel()]


def second(results: list[Tensor], tensors: list[Tensor]) -> list[Tensor]:
    value = torch.stack([(part + k).sin().sum() for k, part in enumerate(results)]).sum()
    gradients = torch.autograd.grad(value, tensors, create_graph=True)
    penalty = torch.stack([part.square().sum() for part in gradients]).sum()
    return [*gradients, *torch.autograd.grad(penalty, tensors)]


@pytest.mark.usefixtures("native_only")
@each_cell
@pytest.mark.parametrize("order", STEPS)
def test_values_and_two_derivatives_are_those_of_the_reference(cell: str, order: str) -> None:
    case = Case(cell, order, context=STEPS[order].batch if order == "ragged" else 0)
    native = case.results(recurrent_layer_program, *case.tensors, save=True)
    expected = case.results(recurrent_layer_reference, *case.tensors, save=True)
    torch.testing.assert_close(native, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        second(native, case.tensors), second(expected, case.tensors), rtol=1e-7, atol=1e-7
    )


@pytest.mark.usefixtures("native_only")
def test_of_a_layer_with_projection() -> None:
    case = Case("LSTM", "packed", projection=2)
    native = case.results(recurrent_layer_program, *case.tensors, save=True)
    expected = case.results(recurrent_layer_reference, *case.tensors, save=True)
    torch.testing.assert_close(native, expected)
    torch.testing.assert_close(second(native, case.tensors), second(expected, case.tensors))


@pytest.mark.usefixtures("native_only")
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("order", STEPS)
def test_of_a_layer_with_resets(cell: str, order: str) -> None:
    case = Case(cell, order)
    case.steps = case.steps._replace(reset=torch.tensor([1, 0, 1, 0, 1, 1], dtype=torch.int8))
    native = case.results(recurrent_layer_program, *case.tensors, save=True)
    expected = case.results(recurrent_layer_reference, *case.tensors, save=True)
    torch.testing.assert_close(native, expected)
    torch.testing.assert_close(second(native, case.tensors), second(expected, case.tensors))


@pytest.mark.usefixtures("native_only")
def test_of_a_layer_whose_gates_nobody_wants() -> None:
    case = Case("LSTM", "ragged")

    def without(*arguments: Any) -> Any:
        return recurrent_layer_program(*arguments, save=False)

    native = case.results(without, *case.tensors, save=True)
    expected = case.results(recurrent_layer_reference, *case.tensors, save=False)
    torch.testing.assert_close(native, expected)
    torch.testing.assert_close(second(native, case.tensors), second(expected, case.tensors))


@pytest.mark.usefixtures("native_only")
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "LayerNormLSTM", "MGU"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_per_sample_gradients_of_layers(kind: str, *, batch_first: bool) -> None:
    torch.manual_seed(0)
    stack = getattr(tt.nn, kind)(2, 3, num_layers=2, bidirectional=True, batch_first=batch_first).double()
    parameters = {name: part.detach() for name, part in stack.named_parameters()}
    x = torch.randn(4, 5, 2, dtype=torch.float64)
    dim = 0 if batch_first else 1

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        y = torch.func.functional_call(stack, parameters, (sample.unsqueeze(dim),))[0]
        return y.sin().sum()

    native = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for k, sample in enumerate(x):
        value = stack(sample.unsqueeze(dim))[0].sin().sum()
        expected = torch.autograd.grad(value, list(stack.parameters()))
        torch.testing.assert_close([part[k] for part in native.values()], list(expected))


@pytest.mark.usefixtures("native_only")
def test_gradient_penalty_of_a_layer() -> None:
    torch.manual_seed(0)
    ours, theirs = (kind(2, 3, num_layers=2).double() for kind in (tt.nn.LSTM, torch.nn.LSTM))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(5, 4, 2, dtype=torch.float64, requires_grad=True)

    def penalty(stack: Any) -> tuple[Tensor, ...]:
        (dx,) = torch.autograd.grad(stack(x)[0].square().sum(), x, create_graph=True)
        return torch.autograd.grad(dx.square().sum(), list(stack.parameters()))

    torch.testing.assert_close(penalty(ours), penalty(theirs))


def test_an_ensemble_of_weights() -> None:
    torch.manual_seed(0)
    stack = tt.nn.GRU(2, 3).double()
    many = {name: torch.randn(3, *part.shape, dtype=part.dtype) for name, part in stack.named_parameters()}
    x = torch.randn(5, 4, 2, dtype=torch.float64)

    def output(parameters: dict[str, Tensor]) -> Tensor:
        result: Tensor = torch.func.functional_call(stack, parameters, (x,))[0]
        return result

    expected = torch.stack([output({name: part[k] for name, part in many.items()}) for k in range(3)])
    torch.testing.assert_close(torch.func.vmap(output)(many), expected)


@pytest.mark.usefixtures("native_only")
def test_jacobians_of_a_layer() -> None:
    torch.manual_seed(0)
    stack = tt.nn.GRU(2, 3).double()
    x = torch.randn(4, 2, 2, dtype=torch.float64)

    def last(x: Tensor) -> Tensor:
        h: Tensor = stack(x)[1]
        return h

    expected = torch.autograd.functional.jacobian(last, x)
    torch.testing.assert_close(torch.func.jacrev(last)(x), expected)
