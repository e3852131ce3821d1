"""Second derivatives through `bound_gradients` are refused by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime.errors import UnsupportedError
from throughtime.ops.recurrent.bounds import bounded_gradient


def _layer(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(1)
    layer = getattr(tt.nn, name)(3, 4, **options).double()
    layer.bound_gradients(norm=0.1)
    return layer


def _gradient(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.autograd.grad(layer(x).output.square().sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}], ids=str)
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_second_derivative_is_refused(name: str, options: dict[str, Any], compiled: bool) -> None:
    layer = _layer(name, **options)
    run = torch.compile(layer, backend="eager", fullgraph=True) if compiled else layer
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    gradient = _gradient(run, x)  # making a graph is no harm yet
    torch.testing.assert_close(gradient, torch.autograd.grad(layer(x).output.square().sum(), x)[0])
    with pytest.raises(UnsupportedError, match="supports first derivatives only"):
        gradient.sum().backward()
    layer.bound_gradients()
    _gradient(layer, x).sum().backward()


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, at its first import
@pytest.mark.parametrize(
    "transform",
    [torch.func.grad, torch.func.jacrev, lambda f: lambda x: torch.func.jvp(f, (x,), (torch.ones_like(x),))],
    ids=["grad", "jacrev", "jvp"],
)
def test_function_transforms_are_refused(transform: Callable[..., Any]) -> None:
    layer = _layer("GRU")
    with pytest.raises(UnsupportedError, match=r"torch\.func"):
        transform(lambda x: layer(x).output.sum())(torch.randn(5, 3, dtype=torch.float64))


def test_the_reference_makes_no_graph_of_a_bounded_gradient() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    with pytest.raises(UnsupportedError, match="supports first derivatives only"):
        torch.autograd.grad(bounded_gradient(x, 0.1, 0.1).sum(), x, create_graph=True)
