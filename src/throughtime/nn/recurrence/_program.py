"""A user-defined transition in the native loop: traced once, run as a program."""

from typing import Any, Literal

import torch
from torch import Tensor

from throughtime.nn.recurrence._structures import leaves_of, rebuilt
from throughtime.ops.program.bounded import with_bounded_states
from throughtime.ops.program.layer import run_program
from throughtime.ops.program.tracing.step import TracedStep
from throughtime.ops.recurrent.steps import Steps, host_lengths, rows

Native = Literal["auto", "require", "never"]
CHOICES: tuple[Native, ...] = ("auto", "require", "never")


def program_states(
    step: TracedStep,
    tokens: Any,
    state: Any,
    steps: Steps,
    kept: int,
    bounds: tuple[float, float] | None = None,
) -> tuple[Any, Any]:
    """Return the state after every step, each leaf (T, …) in the order of the tokens, and the final states.

    Parameters
    ----------
    step
        Result of `throughtime.ops.program.tracing.cache.StepTracer.step`.
    tokens
        In the structure of the token, each leaf (T, …).
    state
        Before the first step, each leaf (B, …).
    kept
        Number of leaves whose values are returned for every step, counted from the first; others are None.
    bounds
        On entries and on the norm of the gradient that each step passes to the one before it.
    """
    leaves = leaves_of(state)
    step = step.for_batch(steps.batch, leaves_of(tokens)[0].shape[0], torch.get_num_threads())
    sequences, before = [], []
    for leaf, constant, width in zip(leaves, step.constant, step.widths, strict=True):
        if constant:
            sequences.append(leaf)
        else:
            before.append(leaf if leaf.dim() == 2 else leaf.reshape(leaf.shape[0], width))
    inputs = step.inputs(tokens, sequences)
    graph = step.graph if bounds is None else with_bounded_states(step.graph, *bounds)
    results = run_program(graph, inputs, before, steps)
    after, last = iter(results.states), iter(results.final)
    states: list[Tensor | None] = []
    final: list[Tensor] = []
    for number, (leaf, constant, shape) in enumerate(zip(leaves, step.constant, step.shapes, strict=True)):
        if number >= kept:
            states.append(None)
        else:
            states.append(_at_all_tokens(leaf, steps) if constant else _shaped(next(after), shape))
        final.append(leaf if constant else _shaped(next(last), shape))
    return rebuilt(states, state), rebuilt(final, state)


def _shaped(row_values: Any, shape: torch.Size) -> Tensor:
    values: Tensor = row_values if len(shape) == 1 else row_values.view(row_values.shape[0], *shape)
    return values


def _at_all_tokens(leaf: Tensor, steps: Steps) -> Tensor:
    """Return the rows (B, …) of the sequences that the tokens belong to, (T, …)."""
    lengths = host_lengths(steps)
    sequence = torch.repeat_interleave(torch.arange(steps.batch), lengths)
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    step = torch.arange(len(sequence)) - offsets[sequence]
    of_row = torch.empty_like(sequence)
    of_row[rows(steps, sequence, step)] = sequence
    return leaf.index_select(0, of_row)
