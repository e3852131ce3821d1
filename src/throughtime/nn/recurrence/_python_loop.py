"""The loop over time in Python, for transitions that do not run in the native loop."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.nn.inputs.step_order import StepOrder, step_order
from throughtime.nn.recurrence._structures import leaves_of, rebuilt
from throughtime.nn.recurrence._transition import check_next
from throughtime.ops.recurrent.steps import Steps


def python_states(
    f: Callable[[Any, Any], Any], tokens: Any, state: Any, steps: Steps, kept: int
) -> tuple[Any, Any]:
    """Return the state after every step, each leaf (T, …) in the order of the tokens, and the final states.

    Parameters
    ----------
    f
        (state, token) to the next state.
    tokens
        In the structure of the token, each leaf (T, …).
    state
        Before the first step, each leaf (B, …).
    kept
        Number of leaves whose values are returned for every step, counted from the first; others are None.
    """
    leaves, shape_of_token = pytree.tree_flatten(tokens)
    order = step_order(steps)
    cut: list[Any] = [order.gathered(leaf) for leaf in leaves]
    # What a step reads: mostly one tensor, and then nothing need be put together at every step.
    read = cut[0].__getitem__ if tokens is leaves[0] else None
    state = pytree.tree_map(order.sorted, state)
    ended: list[Any] = []
    states: list[Any] = []
    alive = steps.batch
    if not order.alive:
        # One step of no sequences, so that gradients are zero, not missing.
        nothing = pytree.tree_map(lambda part: part[:0], state)
        token = pytree.tree_unflatten([leaf[:0] for leaf in leaves], shape_of_token)
        states.append(check_next(nothing, f(nothing, token)))
    for t, count in enumerate(order.alive):
        if count < alive:
            state, over = _cut(state, count)
            ended.append(over)
            alive = count
        token = pytree.tree_unflatten([leaf[t] for leaf in cut], shape_of_token) if read is None else read(t)
        state = check_next(state, f(state, token))
        states.append(state)
    ended.append(state)
    return _across(order.returned, states, kept), _finals(ended, order)


def _cut(state: Any, count: int) -> tuple[Any, Any]:
    """Return the first rows of a state, and the others."""
    if isinstance(state, Tensor):
        return state[:count], state[count:]
    return pytree.tree_map(lambda part: part[:count], state), pytree.tree_map(
        lambda part: part[count:], state
    )


def _finals(ended: list[Any], order: StepOrder) -> Any:
    """Sequences ended one after the other, the shortest first, which have the last rows."""
    return _across(order.unsorted, ended[::-1])


def _across(function: Callable[[list[Tensor]], Tensor], trees: list[Any], count: int | None = None) -> Any:
    """Apply a function to the first leaves of trees of one structure, in a list; None for the others."""
    flat = [leaves_of(tree) for tree in trees]
    results: list[Any] = [function(list(leaf)) for leaf in list(zip(*flat, strict=True))[:count]]
    return rebuilt([*results, *[None] * (len(flat[0]) - len(results))], trees[0])
