"""The native convolution: against torch on each sequence alone, derivatives of any order, operators."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from tests.ops.conv_ladder import Problem, layout_of
from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops.conv import native, registered
from throughtime.ops.conv.layer import conv1d, conv_transpose1d
from throughtime.ops.conv.reference import input_gradient_reference, weight_gradient_reference
from throughtime.ops.windows import Geometry, Windows
from throughtime.ragged import Layout

WINDOWS = (Windows(3, 1, 2, 2, 2), Windows(3, 2, 1, 1, 0, replicate=True), Windows(2))


def small(windows: Windows, groups: int = 2) -> Problem:
    torch.manual_seed(1)
    layout = layout_of([4, 0, 1, 6])

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    return Problem(
        normal(11, 2 * groups),
        layout,
        normal(3 * groups, 2, windows.size),
        normal(3 * groups),
        windows,
        groups,
    )


@pytest.mark.parametrize("windows", WINDOWS)
def test_derivatives_of_first_and_second_order(windows: Windows) -> None:
    problem = small(windows)

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv1d(x, problem.layout, weight, bias, windows, problem.groups)[0]

    assert torch.autograd.gradcheck(call, problem.leaves)
    assert torch.autograd.gradgradcheck(call, problem.leaves)


@pytest.mark.parametrize("relu", [False, True])
def test_many_gradients_pass_back_together(relu: bool) -> None:
    problem = small(WINDOWS[0])

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv1d(x, problem.layout, weight, bias, problem.windows, problem.groups, relu=relu)[0]

    def energy(*leaves: Tensor) -> Tensor:
        return call(*leaves).pow(3).sum()

    for derivative, function in ((jacobian, call), (hessian, energy)):
        one_by_one = derivative(function, tuple(problem.leaves))
        at_once = derivative(function, tuple(problem.leaves), vectorize=True)
        torch.testing.assert_close(at_once, one_by_one)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("of", ["x", "weight", "dy"])
def test_zeros_meet_what_is_not_finite_as_in_torch(value: float, of: str) -> None:
    problem = Problem(
        torch.randn(40, 5), layout_of([18, 22]), torch.randn(8, 5, 3), None, Windows(3, 1, 1, 1, 1), 1
    )
    dy = torch.zeros(40, 8)
    dy[7, 2], dy[30, 5] = 1.5, -0.5
    {"x": problem.x, "weight": problem.weight, "dy": dy}[of].flatten()[37] = value
    geometry = problem.geometry
    found = (
        native.input_gradient(dy, problem.weight, None, geometry, 40),
        *native.weight_gradient(problem.x, dy, geometry, bias=True),
    )
    wanted = (
        input_gradient_reference(dy, problem.weight, None, geometry, 40),
        *weight_gradient_reference(problem.x, dy, geometry, bias=True),
    )
    assert any(not part.isfinite().all() for part in wanted)
    torch.testing.assert_close(found, wanted, equal_nan=True)


def test_derivatives_of_the_transposed_convolution() -> None:
    problem = small(Windows(3, 2, 1, 1, 1))
    x = torch.randn(11, 6, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv_transpose1d(x, problem.layout, weight, bias, problem.windows, 2, 1)[0]

    assert torch.autograd.gradcheck(call, (x, problem.weight, bias))
    assert torch.autograd.gradgradcheck(call, (x, problem.weight, bias))


@pytest.mark.parametrize("windows", WINDOWS)
def test_operators_keep_torchs_rules(windows: Windows) -> None:
    problem = small(windows)
    geometry = registered._flat(problem.geometry)
    total, ops = problem.out.total, torch.ops.throughtime
    dy = torch.randn(total, 6, dtype=torch.float64, requires_grad=True)
    x, weight, bias = problem.leaves
    torch.library.opcheck(ops.conv1d.default, (x, weight, bias, *geometry, total, False))
    torch.library.opcheck(ops.conv1d.default, (x, weight, None, *geometry, total, True))
    torch.library.opcheck(ops.conv1d_input_gradient.default, (dy, weight, None, *geometry, 11))
    torch.library.opcheck(ops.conv1d_weight_gradient.default, (x, dy, *geometry, True))


def test_compiled_whole_it_gives_the_same() -> None:
    problem = small(Windows(3, 1, 2, 2, 2))

    def call(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv1d(x, problem.layout, weight, bias, problem.windows, 2, relu=True)[0].square()

    compiled: Any = torch.compile(call, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(call(*problem.leaves).sum(), problem.leaves)
    found = torch.autograd.grad(compiled(*problem.leaves).sum(), problem.leaves)
    torch.testing.assert_close(found, wanted)


def test_tensors_that_do_not_fit_are_named() -> None:
    problem = small(WINDOWS[0])
    x, weight, bias = problem.leaves
    with pytest.raises(InputTypeError, match=r"float32 but the weight is torch\.float64"):
        conv1d(x.float(), problem.layout, weight, bias, problem.windows, 2)
    with pytest.raises(InputTypeError, match="the tokens are on cpu, but the weight is on meta; move one of"):
        conv1d(x, problem.layout, weight.to("meta"), bias, problem.windows, 2)
    other = Layout(torch.tensor([0, 4, 99]))
    with pytest.raises(ShapeError, match="do not match its 11 tokens"):
        conv1d(x, other, weight, bias, Windows(3, 1, 2, 2, 2), 2)
    assert Geometry(other.offsets, other.offsets, problem.windows).groups == 1
