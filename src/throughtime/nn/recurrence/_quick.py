"""Calls on plain tensors of an f that has been traced: straight to the native loop.

The general path takes several times as long as a short sequence to look at its arguments. Here only what can
change between two calls is looked at, and anything unusual is left to the general path, which also raises
the errors. The trace has fixed shapes and dtypes.
"""

from typing import Any

import torch
from torch import Tensor

from throughtime.nn.inputs.tokens import tokens_of
from throughtime.nn.recurrence._transitions import Transitions
from throughtime.ops.plain import FULL, is_batched, unobserved
from throughtime.ops.program.autograd import run_known
from throughtime.ops.program.bounded import with_bounded_states
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import Ragged

_PLAIN = (Tensor, torch.nn.Parameter)


def plain_tokens(x: Any, *, batch_first: bool) -> tuple[Tensor, Steps] | None:
    """Return tokens and where each step is, None unless x is a `Ragged` or a tensor of three dimensions."""
    is_dense = type(x) in _PLAIN and x.dim() == 3
    if not is_dense and type(x) is not Ragged:
        return None
    tokens, steps = tokens_of(x, batch_first=batch_first)
    is_plain = type(tokens) in _PLAIN and tokens.is_cpu and not is_batched(tokens)
    return (tokens, steps) if is_plain and unobserved() else None


def quick_states(
    transitions: Transitions, tokens: Tensor, steps: Steps, state: Any
) -> tuple[list[Tensor], list[Tensor]] | None:
    """Return the state after every step (T, width) and the last ones, or None for the general path.

    Parameters
    ----------
    state
        A tensor (B, width) or a tuple of them.
    """
    leaves = state if type(state) is tuple else (state,)
    for leaf in leaves:
        if type(leaf) not in _PLAIN or leaf.dim() != 2 or leaf.dtype not in FULL:
            return None
    if transitions.native == "never":
        return None
    step = transitions.known(state, tokens)
    if step is None or True in step.constant:
        return None
    step = step.for_batch(steps.batch, tokens.shape[0], torch.get_num_threads())
    constants = step.constants()
    if constants is None:
        return None
    tensors = (*step.tensors(constants, tokens), *leaves)
    if False in [part.is_cpu and type(part) in _PLAIN for part in tensors]:
        return None
    graph, bounds = step.graph, transitions.bounds
    if bounds is not None:
        graph = with_bounded_states(graph, *bounds)
    return run_known(graph, step.counts, tensors, steps, leaves[0].dtype)
