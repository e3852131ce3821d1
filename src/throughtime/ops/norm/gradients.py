"""Gradients of a normalization by its composition in torch, and gradients of those, of any order."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# The function in plain PyTorch, of values, weight and bias.
Composition = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
Inputs = tuple[Tensor, Tensor | None, Tensor | None]
Gradients = tuple[Tensor | None, ...]


def input_gradients(composition: Composition, dy: Tensor, inputs: Inputs, needs: Sequence[bool]) -> Gradients:
    """Return the gradients of values, weight and bias, None where there is none or it is not needed.

    They are differentiable themselves where gradients are enabled.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        if not create_graph:
            inputs = _each(_detached, inputs)
        return _gradients(composition, dy, inputs, needs, create_graph=create_graph)


def vjp_of_gradients(
    composition: Composition,
    cotangents: Sequence[Tensor | None],
    dy: Tensor,
    inputs: Inputs,
    needs: Sequence[bool],
) -> Gradients:
    """Differentiate what `input_gradients` returns, times its ``cotangents``, each None or empty.

    Returns
    -------
    tuple
        The derivatives with respect to dy, values, weight and bias, None where there is none.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        dy, copies = _with_own_node(dy), _each(_with_own_node, inputs)
        gradients = _gradients(composition, dy, copies, needs, create_graph=True)
        pairs = [
            (gradient, cotangent)
            for gradient, cotangent in zip(gradients, cotangents, strict=True)
            if gradient is not None and cotangent is not None and gradient.requires_grad
        ]
        sources = [part for part in (dy, *copies) if part is not None]
        if not pairs:
            return (None,) * 4
        outputs, seeds = zip(*pairs, strict=True)
        found = iter(
            torch.autograd.grad(outputs, sources, seeds, create_graph=create_graph, allow_unused=True)
        )
        return tuple(None if part is None else next(found) for part in (dy, *copies))


def _gradients(
    composition: Composition, dy: Tensor, inputs: Inputs, needs: Sequence[bool], *, create_graph: bool
) -> Gradients:
    y = composition(*inputs)
    wanted = [part for part, need in zip(inputs, needs, strict=True) if need and part is not None]
    found = iter(torch.autograd.grad(y, wanted, dy, create_graph=create_graph))
    return tuple(
        next(found) if need and part is not None else None for part, need in zip(inputs, needs, strict=True)
    )


def _each(function: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    x, weight, bias = inputs
    return function(x), None if weight is None else function(weight), None if bias is None else function(bias)


def _detached(part: Tensor) -> Tensor:
    return part.detach().requires_grad_()


def _with_own_node(part: Tensor) -> Tensor:
    """Return the tensor at a node of its own, so that a gradient stops here and not in the user's graph."""
    return part.view_as(part) if part.requires_grad else part.detach().requires_grad_()
