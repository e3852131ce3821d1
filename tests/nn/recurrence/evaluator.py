"""A traced step over equal sequences, by the reference of its graph or natively, and f itself in a Python loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils import _pytree as pytree

from throughtime.ops.program.reference import run_reference
from throughtime.ops.recurrent.steps import dense_steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from throughtime.ops.program.tracing.step import TracedStep


def run(
    step: TracedStep, state: Any, tokens: Any, length: int, runner: Callable[..., Any] = run_reference
) -> list[Any]:
    """Return the states after each of ``length`` steps over tokens (length · n, …), time-major."""
    leaves, structure = pytree.tree_flatten(state)
    inputs = step.inputs(tokens, [leaf for leaf, same in zip(leaves, step.constant, strict=True) if same])
    before = [
        leaf.reshape(len(leaf), -1) for leaf, same in zip(leaves, step.constant, strict=True) if not same
    ]
    n = leaves[0].shape[0]
    result = runner(step.graph, inputs, before, dense_steps(n, length, batch_first=False))
    states = []
    for t in range(length):
        changed = (rows[t * n : (t + 1) * n] for rows in result.states)
        after = [
            leaf if same else next(changed).view_as(leaf)
            for leaf, same in zip(leaves, step.constant, strict=True)
        ]
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
