"""What a module computes on the device beside what it computes on the CPU."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tests.gpu.device import CUDA
from throughtime import Ragged

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3}


def leaves(result: Any) -> list[Tensor]:
    """The tensors of a result, also those of `Ragged`."""
    found = (leaf.values if isinstance(leaf, Ragged) else leaf for leaf in pytree.tree_leaves(result))
    return [leaf for leaf in found if isinstance(leaf, Tensor)]


def moved(result: Any, device: torch.device | str = CUDA) -> Any:
    """A state or an output on another device."""
    return pytree.tree_map(
        lambda leaf: leaf.to(device) if isinstance(leaf, Tensor | Ragged) else leaf, result
    )


def weighted(result: Any) -> Tensor:
    """A scalar whose gradient differs for every element."""
    parts = [leaf.double().flatten() for leaf in leaves(result) if leaf.is_floating_point()]
    joined = torch.cat(parts)
    return (joined * torch.arange(len(joined), device=joined.device).double().cos()).sum()


def gradients(result: Any, wanted: list[Tensor]) -> list[Tensor]:
    """Of all that is wanted; zeros where nothing depends on it."""
    return list(torch.autograd.grad(weighted(result), wanted, materialize_grads=True))


def computed(module: nn.Module, x: Any, call: Callable[..., Any], *more: Any) -> tuple[Any, list[Tensor]]:
    """The result of a call, and the gradients of the input and of all parameters."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if x.is_floating_point():
        values = (x.values if isinstance(x, Ragged) else x).clone().requires_grad_()
        parameters = [values, *parameters]
        x = x.with_values(values) if isinstance(x, Ragged) else values
    torch.manual_seed(7)
    result = call(module, x, *more)
    return result, gradients(result, parameters)


def require_same(found: Any, expected: Any, tolerance: float) -> None:
    """Check that what has gradients is on the device, and that all tensors are those of the CPU."""
    assert {leaf.device for leaf in leaves(found) if leaf.is_floating_point()} <= {CUDA}
    pairs = [[leaf.cpu() for leaf in leaves(result)] for result in (found, expected)]
    torch.testing.assert_close(*pairs, rtol=tolerance, atol=tolerance)


def require_same_on_device(
    module: nn.Module,
    x: Any,
    call: Callable[..., Any] = lambda module, x, *more: module(x, *more),
    *more: Any,
    tolerance: float | None = None,
) -> Any:
    """Compare results and gradients on both devices, and return the result on the CPU."""
    on_device = copy.deepcopy(module).to(CUDA)
    expected = computed(module, x, call, *more)
    found = computed(on_device, x.to(CUDA), call, *moved(more))
    dtype = next((leaf.dtype for leaf in leaves(expected[1]) if leaf.is_floating_point()), torch.float64)
    require_same(found, expected, TOLERANCES[dtype] if tolerance is None else tolerance)
    return moved(
        pytree.tree_map(
            lambda leaf: leaf.detach() if isinstance(leaf, Tensor | Ragged) else leaf, expected[0]
        ),
        "cpu",
    )
