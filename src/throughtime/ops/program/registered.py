"""The operator ``throughtime::recurrence``: the loop over a user's transition, for torch.compile.

A graph has the number of a loop as a constant, so it runs only in the process that made it. The transition
runs as in an eager call: traced and native where it can be. The backward pass runs it again.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from throughtime.ops._registering import register
from throughtime.ops.recurrent.steps import Steps


class Loop(Protocol):
    """A loop over time that an operator can call."""

    def run(
        self, tokens: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], steps: Steps
    ) -> list[Tensor]:
        """Return the states (T, …) after every step, and then the final states (B, …)."""


_LOOPS: WeakValueDictionary[int, Loop] = WeakValueDictionary()
_NUMBERS = itertools.count()


def numbered(loop: Loop) -> int:
    """Return the number under which the operator finds a loop while it exists."""
    number = next(_NUMBERS)
    _LOOPS[number] = loop
    return number


def recurrence(
    tokens: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], steps: Steps, loop: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the states (T, …) after every step, and the final states (B, …).

    Parameters
    ----------
    tokens
        (T, …).
    states
        Before the first step, (B, …) each.
    parameters
        What the transition reads, for their gradients.
    loop
        As `numbered` returns it.
    """
    results = _RECURRENCE(
        tokens, list(states), list(parameters), steps.index, steps.order, steps.batch, steps.length, loop
    )
    return list(results[: len(states)]), list(results[len(states) :])


def _run(
    tokens: Tensor,
    states: list[Tensor],
    parameters: list[Tensor],
    index: Tensor | None,
    order: int,
    batch: int,
    length: int,
    loop: int,
) -> list[Tensor]:
    results = _LOOPS[loop].run(tokens, states, parameters, Steps(order, batch, length, index))
    return _apart([tokens, *states, *parameters], results)


def _apart(inputs: list[Tensor], results: list[Tensor]) -> list[Tensor]:
    """Return results that share no memory with inputs or each other, as torch expects of an operator."""
    held = {part.untyped_storage().data_ptr() for part in inputs}
    apart = []
    for part in results:
        address = part.untyped_storage().data_ptr()
        apart.append(part.clone() if address in held else part)
        held.add(address)
    return apart


def _fake(tokens: Tensor, states: list[Tensor], *rest: Any) -> list[Tensor]:
    del rest
    at_tokens = [state.new_empty(tokens.shape[0], *state.shape[1:]) for state in states]
    return at_tokens + [state.new_empty(state.shape) for state in states]


def _run_backward(
    tokens: Tensor,
    states: list[Tensor],
    parameters: list[Tensor],
    index: Tensor | None,
    order: int,
    batch: int,
    length: int,
    loop: int,
    gradients: list[Tensor | None],
) -> list[Tensor]:
    with torch.enable_grad():
        copies = [part.detach().requires_grad_() for part in (tokens, *states, *parameters)]
        first, last = copies[1 : 1 + len(states)], copies[1 + len(states) :]
        results = _LOOPS[loop].run(copies[0], first, last, Steps(order, batch, length, index))
        depends = [
            (result, gradient)
            for result, gradient in zip(results, gradients, strict=True)
            if gradient is not None and result.requires_grad
        ]
        found = torch.autograd.grad(
            [result for result, _ in depends],
            copies,
            [gradient for _, gradient in depends],
            materialize_grads=True,
        )
    return _apart([tokens, *states, *parameters], list(found))


def _fake_backward(
    tokens: Tensor, states: list[Tensor], parameters: list[Tensor], *rest: Any
) -> list[Tensor]:
    del rest
    return [part.new_empty(part.shape) for part in (tokens, *states, *parameters)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    del output
    tokens, states, parameters, index, *ctx.rest = inputs
    ctx.counts = len(states), len(parameters)
    ctx.save_for_backward(tokens, *states, *parameters, index)


def _gradient(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    tokens, *parts, index = ctx.saved_tensors
    states = ctx.counts[0]
    found = _BACKWARD(tokens, parts[:states], parts[states:], index, *ctx.rest, list(gradients))
    return found[0], found[1 : 1 + states], found[1 + states :], None, None, None, None, None


_INPUTS = (
    "Tensor tokens, Tensor[] states, Tensor[] parameters, Tensor? index, int order, SymInt batch, "
    "SymInt length, int loop"
)
_RECURRENCE = register(
    f"recurrence({_INPUTS}) -> Tensor[]", elsewhere=_run, fake=_fake, save=_save, gradient=_gradient
)
_BACKWARD = register(
    f"recurrence_backward({_INPUTS}, Tensor?[] gradients) -> Tensor[]",
    elsewhere=_run_backward,
    fake=_fake_backward,
)
