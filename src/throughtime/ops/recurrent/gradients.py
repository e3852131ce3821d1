"""Gradients of any order of a recurrent layer, by a program of its equations.

The kernels implement the first backward pass. For double backward (gradient penalties, Hessians), and on
devices without a kernel, the layer is computed again from its inputs: by a native program where there is
one, else in plain PyTorch, which is slower.

The ``inputs`` here are x, h0, c0, and the `Weights` of each of two directions, or None; the five
``output_gradients`` are those of y, h_n, c_n, c and gates, or None.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from throughtime.ops.recurrent.program import recurrent_layer_program
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import PARTS, Weights

Parts = Sequence[Tensor | None]


def input_gradients(
    output_gradients: Parts, inputs: Parts, steps: Steps, spec: CellSpec, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Return the gradient of every input that is there and needed, None for the others."""
    with torch.enable_grad():
        copies = [None if part is None else part.detach().requires_grad_() for part in inputs]
        wanted = [copy if need else None for copy, need in zip(copies, needed, strict=True)]
        return _backward(output_gradients, copies, steps, spec, wanted, create_graph=False)


def vjp_of_gradients(
    cotangents: Parts, output_gradients: Parts, inputs: Parts, steps: Steps, spec: CellSpec
) -> tuple[Tensor | None, ...]:
    """Differentiate what `input_gradients` returns, times its ``cotangents``, each None or empty.

    Returns
    -------
    tuple
        The derivative with respect to ``output_gradients`` and ``inputs``, None where there is none. It is
        differentiable itself where gradients are enabled.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        copies = [_own_node(part) for part in (*output_gradients, *inputs)]
        wanted = [
            copy if copy is not None and cotangent is not None and cotangent.shape == copy.shape else None
            for copy, cotangent in zip(copies[5:], cotangents, strict=True)
        ]
        gradients = _backward(copies[:5], copies[5:], steps, spec, wanted, create_graph=True)
        depends = [
            (gradient, cotangent)
            for gradient, cotangent in zip(gradients, cotangents, strict=True)
            if gradient is not None and gradient.requires_grad
        ]
        return _grad(depends, copies, create_graph=create_graph)


def _backward(
    output_gradients: Parts,
    inputs: Parts,
    steps: Steps,
    spec: CellSpec,
    wanted: Parts,
    *,
    create_graph: bool,
) -> tuple[Tensor | None, ...]:
    x, h0, c0, *weights = inputs
    directions = tuple(Weights(*weights[d : d + PARTS]) for d in (0, PARTS) if weights[d] is not None)  # type: ignore[arg-type]
    # The numbers are as wide as the tensors are, whatever autocast would like.
    with torch.autocast(x.device.type, enabled=False):  # type: ignore[union-attr]
        save = any(gradient is not None for gradient in output_gradients[3:])
        outputs = recurrent_layer_program(x, steps, spec, h0, c0, directions, save=save)  # type: ignore[arg-type]
        pairs = [
            (output, gradient)
            for output, gradient in zip(outputs, output_gradients, strict=True)
            if gradient is not None and output.requires_grad
        ]
        found = _grad(pairs, wanted, create_graph=create_graph)
    return tuple(
        torch.zeros_like(part) if part is not None and gradient is None else gradient
        for part, gradient in zip(wanted, found, strict=True)
    )


def _grad(
    pairs: Sequence[tuple[Tensor, Tensor | None]], wanted: Parts, *, create_graph: bool
) -> tuple[Tensor | None, ...]:
    """Call `torch.autograd.grad`, with None among the inputs allowed."""
    present = [part for part in wanted if part is not None]
    if not pairs or not present:
        return (None,) * len(wanted)
    gradients = iter(
        torch.autograd.grad(
            [output for output, _ in pairs],
            present,
            [gradient for _, gradient in pairs],
            create_graph=create_graph,
            allow_unused=True,
        )
    )
    return tuple(None if part is None else next(gradients) for part in wanted)


def _own_node(tensor: Tensor | None) -> Tensor | None:
    """Return the tensor at a node of its own, so that a gradient stops here and not in the user's graph."""
    if tensor is None:
        return None
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()
