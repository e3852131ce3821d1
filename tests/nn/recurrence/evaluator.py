"""A traced step run token by token, as plainly as can be: what the native loop has to compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.nn.recurrence.tracing.step import TracedStep
    from throughtime.ops.program.graph import Graph, Node
    from throughtime.ops.program.inputs import Inputs

_POINTWISE: dict[str, Callable[..., Tensor]] = {
    "affine": lambda a, alpha, beta: alpha * a + beta,
    "fma": lambda a, b, c: a * b + c,
    "lerp": lambda a, b, c: a + c * (b - a),
    "where": lambda c, a, b: torch.where(c != 0, a, b),
    "stop": lambda a: a.detach(),
    "softplus": F.softplus,
    **{
        name: getattr(torch, name)
        for name in (
            "add sub mul div neg maximum minimum sigmoid tanh relu exp log log1p expm1 sqrt rsqrt reciprocal abs sign "
            "sin cos erf pow square".split()
        )
    },
}
_COMPARISONS = {name: getattr(torch, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")}


def _call(node: Node, inputs: list[Tensor]) -> Tensor:
    a = inputs[0]
    match node.operator:
        case "slice":
            return a[:, node.index : node.index + node.width]
        case "concat":
            return torch.cat(inputs, 1)
        case "repeat":
            return a.repeat_interleave(node.width // a.shape[1], 1)
        case "tile":
            return a.tile(1, node.width // a.shape[1])
        case "sum":
            return a.unflatten(1, (node.width, -1)).sum(-1)
        case "max":
            return a.unflatten(1, (node.width, -1)).amax(-1)
        case "sum_strided":
            return a.unflatten(1, (-1, node.width)).sum(1)
        case name if name in _COMPARISONS:
            return _COMPARISONS[name](*inputs).to(a.dtype)
    assert {part.shape for part in inputs} == {a.shape}  # operands of pointwise operators have one width
    return _POINTWISE[node.operator](*inputs, *node.numbers)


def _step(graph: Graph, inputs: Inputs, tokens: slice, states: list[Tensor]) -> list[Tensor]:
    values: list[Tensor] = []
    rows = tokens.stop - tokens.start
    leaves: dict[str, Callable[[int], Tensor]] = {
        "token": lambda k: inputs.tokens[k][tokens],
        "sequence": lambda k: inputs.sequences[k],
        "state": lambda k: states[k],
        "vector": lambda k: inputs.vectors[k].expand(rows, -1),
    }
    for node in graph.nodes:
        if node.operator in leaves:
            value = leaves[node.operator](node.index)
        elif node.operator == "product":
            value = values[node.inputs[0]] @ inputs.matrices[node.index].T
        else:
            value = _call(node, [values[part] for part in node.inputs])
        assert value.shape == (rows, node.width), node
        values.append(value)
    return [values[position] for position in graph.states]


def run(step: TracedStep, state: Any, tokens: Any, length: int) -> list[Any]:
    """Return the states after each of ``length`` steps over tokens (length · n, …), time-major."""
    leaves, structure = pytree.tree_flatten(state)
    constants = [leaf for leaf, same in zip(leaves, step.constant, strict=True) if same]
    inputs = step.inputs(tokens, constants)
    n = leaves[0].shape[0]
    current = [leaf.flatten(1) for leaf, same in zip(leaves, step.constant, strict=True) if not same]
    states = []
    for t in range(length):
        current = _step(step.graph, inputs, slice(t * n, (t + 1) * n), current)
        changed = iter(current)
        after = [leaf if same else next(changed).view_as(leaf) for leaf, same in zip(leaves, step.constant, strict=True)]
        states.append(pytree.tree_unflatten(after, structure))
    return states


def loop(f: Callable[[Any, Any], Any], state: Any, tokens: Any, length: int) -> list[Any]:
    """Return the states after each step, by f itself."""
    n = pytree.tree_leaves(state)[0].shape[0]
    states = []
    for t in range(length):
        token = pytree.tree_map(lambda leaf, t=t: leaf[t * n : (t + 1) * n], tokens)
        state = f(state, token)
        states.append(state)
    return states
