"""Derivatives of second and third order and `torch.vmap` of programs, natively, against the reference."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.program import graphs
from tests.ops.program.graphs import Call, call_of
from tests.ops.program.random_graphs import RandomGraph
from throughtime.ops.program import autograd
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.program.layer import run_program
from throughtime.ops.program.reference import Results, run_reference

CELLS = {
    "lstm": graphs.lstm(2),
    "gru": graphs.gru(2),
    "gru, reset before": graphs.gru_reset_before(2),
    "layer norm": graphs.layer_norm_lstm(2),
    "attention": graphs.attention(2, 3),
}
ORDERS = {"ragged": [2, 0, 3], "time-major": [3, 3], "batch first": [3, 3], "packed": [3, 2]}
each_cell = pytest.mark.parametrize("name", CELLS)
each_order = pytest.mark.parametrize("order", ORDERS)
Runner = Callable[..., Results]


@pytest.fixture(autouse=True)
def _native_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the reference would run instead of the machine."""

    def refuse(*_: Any, **__: Any) -> Results:
        raise AssertionError("the reference ran")

    monkeypatch.setattr(autograd, "run_reference", refuse)


def loss_of(call: Call, runner: Runner = run_program, *, from_end: bool = False) -> Callable[..., Tensor]:
    """Return a function of the tensors of a call that depends on all results, not linearly."""

    def loss(*tensors: Tensor) -> Tensor:
        left = iter(tensors)
        *inputs, states = ([next(left) for _ in group] for group in (*call.inputs, call.states))
        results = runner(call.graph, Inputs(*map(tuple, inputs)), states, call.steps, from_end=from_end)
        parts = [part for group in results for part in group if part is not None]
        return sum(((part + k).sin().sum() for k, part in enumerate(parts)), tensors[0].new_zeros(()))

    return loss


def derivatives(loss: Callable[..., Tensor], call: Call, order: int) -> list[Tensor]:
    """Return the gradient of a sum over the gradient of …, for all tensors."""
    tensors = call.tensors()
    value = loss(*tensors)
    generator = torch.Generator().manual_seed(3)
    for _ in range(order - 1):
        gradients = torch.autograd.grad(
            value, tensors, create_graph=True, allow_unused=True, materialize_grads=True
        )
        weights = [torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in gradients]
        value = sum(
            ((part * weight).sin().sum() for part, weight in zip(gradients, weights, strict=True)), value * 0
        )
    return list(torch.autograd.grad(value, tensors, allow_unused=True, materialize_grads=True))


@each_order
@each_cell
@pytest.mark.parametrize("from_end", [False, True])
def test_second_derivatives_of_cells(name: str, order: str, *, from_end: bool) -> None:
    torch.manual_seed(0)
    call = call_of(CELLS[name], ORDERS[order], order)
    native = derivatives(loss_of(call, from_end=from_end), call, 2)
    expected = derivatives(loss_of(call, run_reference, from_end=from_end), call, 2)
    torch.testing.assert_close(native, expected, rtol=1e-8, atol=1e-8)


@each_cell
def test_third_derivatives_of_cells(name: str) -> None:
    torch.manual_seed(0)
    call = call_of(CELLS[name], ORDERS["ragged"])
    native = derivatives(loss_of(call), call, 3)
    expected = derivatives(loss_of(call, run_reference), call, 3)
    torch.testing.assert_close(native, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("seed", range(30))
def test_second_derivatives_of_random_graphs(seed: int) -> None:
    torch.manual_seed(seed)
    call = call_of(RandomGraph(seed, 15).graph, ORDERS["ragged"])
    native = derivatives(loss_of(call), call, 2)
    expected = derivatives(loss_of(call, run_reference), call, 2)
    torch.testing.assert_close(native, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_second_derivatives_of_empty_batches(lengths: list[int]) -> None:
    call = call_of(CELLS["lstm"], lengths)
    native = derivatives(loss_of(call), call, 2)
    expected = derivatives(loss_of(call, run_reference), call, 2)
    torch.testing.assert_close(native, expected)


def test_second_derivatives_without_initial_states() -> None:
    call = call_of(CELLS["lstm"], ORDERS["ragged"], initial=False)

    def loss(runner: Runner) -> Callable[..., Tensor]:
        def run(*tensors: Tensor) -> Tensor:
            results = runner(call.graph, Inputs(tensors[:1], (), (), tensors[1:]), [None, None], call.steps)
            return sum((part.sin().sum() for part in results.final), tensors[0].new_zeros(()))

        return run

    native, expected = (derivatives(loss(runner), call, 2) for runner in (run_program, run_reference))
    torch.testing.assert_close(native, expected)


@each_order
@each_cell
def test_gradients_of_samples(name: str, order: str) -> None:
    torch.manual_seed(0)
    call = call_of(CELLS[name], ORDERS[order], order)
    tensors = [part.detach() for part in call.tensors()]
    samples = 3
    of_samples = [part.shape[0] in {sum(ORDERS[order]), len(ORDERS[order])} for part in tensors]
    many = [torch.randn(samples, *part.shape, dtype=part.dtype) for part in tensors]
    dims = [0 if one else None for one in of_samples]
    arguments = [batch if one else part for one, batch, part in zip(of_samples, many, tensors, strict=True)]
    gradient = torch.func.grad(loss_of(call), tuple(range(len(tensors))))
    native = torch.func.vmap(gradient, tuple(dims))(*arguments)
    for k in range(samples):
        copies = [
            (part[k] if one else part).clone().requires_grad_()
            for one, part in zip(of_samples, arguments, strict=True)
        ]
        expected = torch.autograd.grad(
            loss_of(call, run_reference)(*copies), copies, allow_unused=True, materialize_grads=True
        )
        torch.testing.assert_close([part[k] for part in native], list(expected))


@each_cell
@pytest.mark.parametrize("order", ["ragged", "time-major"])
def test_every_tensor_may_be_mapped(name: str, order: str) -> None:
    torch.manual_seed(0)
    call = call_of(CELLS[name], ORDERS[order], order)
    tensors = [part.detach() for part in call.tensors()]
    for place, part in enumerate(tensors):
        dims = [1 if k == place else None for k in range(len(tensors))]
        many = torch.randn(part.shape[0], 3, *part.shape[1:], dtype=part.dtype)
        arguments = [many if k == place else other for k, other in enumerate(tensors)]
        gradient = torch.func.grad_and_value(loss_of(call), tuple(range(len(tensors))))
        native, values = torch.func.vmap(gradient, tuple(dims))(*arguments)
        for k in range(3):
            copies = [(many[:, k] if dim else other) for dim, other in zip(dims, tensors, strict=True)]
            copies = [other.clone().requires_grad_() for other in copies]
            value = loss_of(call, run_reference)(*copies)
            expected = torch.autograd.grad(value, copies, allow_unused=True, materialize_grads=True)
            torch.testing.assert_close(values[k], value.detach())
            torch.testing.assert_close([other[k] for other in native], list(expected))


def test_transforms_within_transforms() -> None:
    torch.manual_seed(0)
    call = call_of(CELLS["gru"], ORDERS["ragged"])
    tensors = tuple(part.detach() for part in call.tensors())
    numbers = tuple(range(len(tensors)))

    def penalty(*tensors: Tensor) -> Tensor:
        gradients = torch.func.grad(loss_of(call), numbers)(*tensors)
        return sum((part.square().sum() for part in gradients), tensors[0].new_zeros(()))

    many = torch.stack([tensors[0], tensors[0] * 2])
    dims = (0, *[None] * (len(tensors) - 1))
    native = torch.func.vmap(torch.func.grad(penalty, numbers), dims)(many, *tensors[1:])
    for k in range(2):
        copies = [part.clone().requires_grad_() for part in (many[k], *tensors[1:])]
        gradients = torch.autograd.grad(loss_of(call, run_reference)(*copies), copies, create_graph=True)
        value = sum((part.square().sum() for part in gradients), tensors[0].new_zeros(()))
        expected = torch.autograd.grad(value, copies)
        torch.testing.assert_close([part[k] for part in native], list(expected))


def test_autograd_outside_and_vmap_inside() -> None:
    torch.manual_seed(0)
    call = call_of(CELLS["lstm"], ORDERS["ragged"])
    tensors = call.tensors()
    dims = (0, *[None] * (len(tensors) - 1))

    def both(runner: Runner) -> list[Tensor]:
        many = torch.stack([tensors[0], tensors[0] * 2])
        if runner is run_program:
            values = torch.func.vmap(loss_of(call), dims)(many, *tensors[1:])
        else:
            values = torch.stack([loss_of(call, runner)(part, *tensors[1:]) for part in many])
        return list(torch.autograd.grad(values.square().sum(), tensors))

    torch.testing.assert_close(both(run_program), both(run_reference))
