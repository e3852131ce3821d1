"""Bounds on the gradients of a `Recurrence`: those of built-in layers, of a loop in Python, and by their definition."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import ShapeError, UnsupportedError

LENGTHS = [5, 0, 9, 1]
BOUNDS: list[dict[str, float]] = [{"value": 0.02}, {"norm": 0.05}, {"value": 0.05, "norm": 0.07}]


def _batch() -> Ragged:
    torch.manual_seed(1)
    return Ragged.from_list([torch.randn(n, 3, dtype=torch.float64) for n in LENGTHS])


def _gradients(layer: Any, x: Ragged, state: Tensor) -> list[Tensor]:
    values, state = x.values.clone().requires_grad_(), state.clone().requires_grad_()
    output, last = layer(x.with_values(values), state)
    loss = (output.values.sin() * torch.arange(1, 5)).sum() + last.square().sum()
    return list(torch.autograd.grad(loss, [values, state, *layer.parameters()]))


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_a_cell_as_f_has_the_gradients_of_the_built_in_layer(bounds: dict[str, float]) -> None:
    torch.manual_seed(0)
    built_in, x = tt.nn.GRU(3, 4).double(), _batch()
    cell = nn.GRUCell(3, 4).double()
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in built_in.state_dict().items()})
    state = torch.randn(len(LENGTHS), 4, dtype=torch.float64)
    plain = _gradients(built_in, x, state[None])
    built_in.bound_gradients(**bounds)
    expected = _gradients(built_in, x, state[None])
    expected[1] = expected[1][0]
    assert not torch.allclose(plain[0], expected[0])
    for native in ("require", "never"):
        layer = tt.nn.Recurrence(cell, native=native)  # type: ignore[arg-type]
        layer.bound_gradients(**bounds)
        torch.testing.assert_close(_gradients(layer, x, state), expected)
        layer.bound_gradients()
        unbounded = _gradients(layer, x, state)
        torch.testing.assert_close(unbounded[0], plain[0])


@pytest.mark.parametrize("native", ["require", "never"])
def test_a_known_gradient_is_clipped_at_every_step(native: Any) -> None:
    # h_t = 2 h_{t−1} + x_t, L = h_4: unbounded gradients are powers of 2, and none passes 3 with the bound.
    layer = tt.nn.Recurrence(lambda h, x: 2 * h + x, state=1, native=native)
    x = torch.zeros(5, 1, requires_grad=True)
    for bounds, expected in (({}, [16.0, 8, 4, 2, 1]), ({"value": 3.0}, [3.0, 3, 3, 2, 1])):
        layer.bound_gradients(**bounds)
        (gradient,) = torch.autograd.grad(layer(x).state.sum(), x)
        assert gradient.flatten().tolist() == expected
    layer.bound_gradients(norm=3.0)
    (gradient,) = torch.autograd.grad(layer(x).state.sum(), x)
    assert gradient.flatten().tolist() == [3.0, 3, 3, 2, 1]


def test_a_constant_part_of_the_state_and_a_context_are_not_bounded() -> None:
    layer = tt.nn.Recurrence(lambda h, x, context: 2 * h + x * context, state=1, native="require")
    layer.bound_gradients(value=3.0)
    context = torch.ones(1, 1, requires_grad=True)
    loss = layer(torch.ones(5, 1, 1), context=context).state.sum()
    (gradient,) = torch.autograd.grad(loss, context)
    assert gradient.item() == 3 + 3 + 3 + 2 + 1


@pytest.mark.parametrize("bidirectional", [False, True])
def test_layers_of_cells_and_steps(*, bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = tt.nn.IndRNN(3, 4, bidirectional=bidirectional).double()
    x = _batch().values.clone()[:, None].requires_grad_()
    plain = torch.autograd.grad(layer(x).output.sum(), x)[0]
    layer.bound_gradients(value=1e-3)
    bounded = torch.autograd.grad(layer(x).output.sum(), x)[0]
    assert not torch.allclose(plain, bounded)
    if bidirectional:
        return
    state, outputs = None, []
    for x_t in x:
        y_t, state = layer.step(x_t, state)
        outputs.append(y_t)
    by_steps = torch.autograd.grad(torch.stack(outputs).sum(), x)[0]
    torch.testing.assert_close(by_steps, bounded)


def test_errors_are_those_of_the_built_in_layers() -> None:
    layer = tt.nn.Recurrence(lambda h, x: torch.tanh(h + x), state=2)
    with pytest.raises(ShapeError, match="Recurrence: norm is a bound above 0"):
        layer.bound_gradients(norm=-1.0)
    layer.bound_gradients(norm=math.inf)
    x = torch.ones(3, 2, requires_grad=True)
    torch.autograd.grad(layer(x).state.sum(), x, create_graph=True)
    layer.bound_gradients(norm=1.0)
    with pytest.raises(UnsupportedError, match="first derivatives only"):
        torch.autograd.grad(layer(x).state.sum(), x, create_graph=True)
