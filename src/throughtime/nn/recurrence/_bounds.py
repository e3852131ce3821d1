"""Gradients bounded as they pass from each step of a transition to the one before it."""

from collections.abc import Callable
from typing import Any

from torch.utils import _pytree as pytree

from throughtime.ops.recurrent.bounds import bounded_gradient

Bounds = tuple[float, float]
"""On entries, and on the norm of each sequence."""


def bounded_step(f: Callable[[Any, Any], Any], bounds: Bounds, count: int, state: Any, token: Any) -> Any:
    """Run a step that bounds the gradients of the first leaves of its state, as many as ``count``."""
    leaves, structure = pytree.tree_flatten(state)
    first = with_bounded_gradients(leaves[:count], bounds)
    return f(pytree.tree_unflatten([*first, *leaves[count:]], structure), token)


def with_bounded_gradients(state: Any, bounds: Bounds) -> Any:
    """Return a state whose gradient is bounded, leaf by leaf."""
    return pytree.tree_map(lambda leaf: bounded_gradient(leaf.flatten(1), *bounds).view_as(leaf), state)
