"""The operator ``throughtime::recurrence``: the loop over a user's transition, for torch.compile.

A graph has the number of a loop as a constant, so it runs only in the process that made it. The transition
runs as in an eager call: traced and native where it can be. What its backward pass needs is saved, see
`throughtime.ops.program.saved_graphs`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from throughtime.ops._registering import register
from throughtime.ops.program.saved_graphs import SavedGraph, graph_of, saved_graph, tensor_of
from throughtime.ops.recurrent.steps import Steps


class LoopTensors(NamedTuple):
    """The tensors of a loop that may have gradients.

    Parameters
    ----------
    tokens : Tensor
        (T, …).
    states : list of Tensor
        Before the first step, (B, …) each.
    parameters : list of Tensor
        What the transition reads.
    context : list of Tensor
        (B, …) each, the same at all steps of a sequence.
    """

    tokens: Tensor
    states: list[Tensor]
    parameters: list[Tensor]
    context: list[Tensor]

    @property
    def flat(self) -> list[Tensor]:
        """All of them."""
        return [self.tokens, *self.states, *self.parameters, *self.context]

    def like(self, flat: Sequence[Any]) -> "LoopTensors":
        """Return others in place of `flat`."""
        ends = list(itertools.accumulate(map(len, self[1:]), initial=1))
        return LoopTensors(flat[0], *(list(flat[begin:end]) for begin, end in itertools.pairwise(ends)))


@dataclass(frozen=True)
class LoopOptions:
    """What a loop reads besides.

    Parameters
    ----------
    steps : Steps
        Row of each step among the tokens.
    structure : str, optional
        Of the context, as the loop reads it; None if there is no context.
    seeds, first_step : Tensor, optional
        (B,) int64: those of the random numbers of a call; None if it draws none.
    """

    steps: Steps
    structure: str | None
    seeds: Tensor | None
    first_step: Tensor | None


class Loop(Protocol):
    """A loop over time that an operator can call."""

    def run(self, tensors: LoopTensors, options: LoopOptions) -> list[Tensor]:
        """Return the states (T, …) after every step, and then the final states (B, …)."""


_LOOPS: WeakValueDictionary[int, Loop] = WeakValueDictionary()
_NUMBERS = itertools.count()


def numbered(loop: Loop) -> int:
    """Return the number under which the operator finds a loop while it exists."""
    number = next(_NUMBERS)
    _LOOPS[number] = loop
    return number


def recurrence(tensors: LoopTensors, options: LoopOptions, loop: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the states (T, …) after every step, and the final states (B, …).

    ``loop`` is as `numbered` returns it.
    """
    steps, count = options.steps, len(tensors.states)
    enabled = torch.is_grad_enabled()
    results = _RECURRENCE(
        *tensors,
        options.seeds,
        options.first_step,
        steps.index,
        steps.order,
        steps.batch,
        steps.length,
        loop,
        options.structure,
        [enabled and part.requires_grad for part in tensors.flat],
    )
    return list(results[:count]), list(results[count : 2 * count])


def _run(*arguments: Any) -> list[Tensor]:
    call = _Call.of(arguments)
    graph = call.graph() if True in call.needed else None
    results = call.results(call.tensors.flat) if graph is None else graph.results
    return [*_apart(call.tensors.flat, [part.detach() for part in results]), tensor_of(graph)]


@dataclass(frozen=True)
class _Call:
    """A call of the operator."""

    tensors: LoopTensors
    options: LoopOptions
    loop: int
    needed: list[bool]

    @classmethod
    def of(cls, arguments: Sequence[Any]) -> "_Call":
        """Return the call with these arguments of the operator."""
        tensors = LoopTensors(*arguments[:4])
        seeds, first_step, index, order, batch, length, loop, structure, needed = arguments[4:]
        steps = Steps(order, batch, length, index)
        return cls(tensors, LoopOptions(steps, structure, seeds, first_step), loop, needed)

    def results(self, flat: list[Tensor]) -> list[Tensor]:
        """Run the loop with these tensors."""
        return _LOOPS[self.loop].run(self.tensors.like(flat), self.options)

    def graph(self) -> SavedGraph:
        """Run the loop and record its graph."""
        return saved_graph(self.results, self.tensors.flat, self.needed)


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
    final = [state.new_empty(state.shape) for state in states]
    return [*at_tokens, *final, tokens.new_empty(1, dtype=torch.int64)]


def _run_backward(*arguments: Any) -> list[Tensor]:
    *inputs, results, gradients = arguments
    call = _Call.of(inputs)
    graph = graph_of(results[-1]) or call.graph()
    return _apart(call.tensors.flat, graph.gradients(gradients))


def _fake_backward(*arguments: Any) -> list[Tensor]:
    flat, needed = LoopTensors(*arguments[:4]).flat, arguments[_NEEDED]
    return [part.new_empty(part.shape) for part, need in zip(flat, needed, strict=True) if need]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    """Save the arguments, and the results: the saved graph reads their memory, so nobody may write there."""
    tensors, (seeds, first_step, index), ctx.rest = LoopTensors(*inputs[:4]), inputs[4:7], inputs[7:]
    ctx.counts = tuple(map(len, tensors[1:]))
    ctx.save_for_backward(*tensors.flat, seeds, first_step, index, *output)


def _gradient(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    saved, count = list(ctx.saved_tensors), 1 + sum(ctx.counts)
    like = LoopTensors(saved[0], *([saved[0]] * size for size in ctx.counts))
    tensors, results = like.like(saved[:count]), saved[count + 3 :]
    found = iter(_BACKWARD(*tensors, *saved[count : count + 3], *ctx.rest, results, list(gradients[:-1])))
    by_tensor = [next(found) if need else None for need in ctx.rest[-1]]
    return *like.like(by_tensor), *(None,) * (3 + len(ctx.rest))


_INPUTS = (
    "Tensor tokens, Tensor[] states, Tensor[] parameters, Tensor[] context, Tensor? seeds, "
    "Tensor? first_step, Tensor? index, int order, SymInt batch, SymInt length, int loop, str? structure, "
    "bool[] needed"
)
_NEEDED = 12
"""Place of ``needed`` among the arguments."""
_RECURRENCE = register(
    f"recurrence({_INPUTS}) -> Tensor[]", elsewhere=_run, fake=_fake, save=_save, gradient=_gradient
)
_BACKWARD = register(
    f"recurrence_backward({_INPUTS}, Tensor[] results, Tensor?[] gradients) -> Tensor[]",
    elsewhere=_run_backward,
    fake=_fake_backward,
)
