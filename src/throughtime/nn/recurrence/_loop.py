"""The loop over time of a recurrence: of a built-in cell, as an operator, as a program, or in Python."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from throughtime.nn.inputs.precision import under_autocast
from throughtime.nn.recurrence._cell_transition import native_states
from throughtime.nn.recurrence._compiled import CompiledLoop, outside_of_graphs
from throughtime.nn.recurrence._context_structure import structure_text
from throughtime.nn.recurrence._structures import leaves_of, rebuilt
from throughtime.nn.recurrence._transition import check_rows
from throughtime.nn.recurrence._transitions import Transitions
from throughtime.nn.recurrence.noise import drawn_seeds
from throughtime.nn.recurrence.recording import Recorded
from throughtime.nn.recurrence.step_inputs import StepInputs
from throughtime.nn.recurrence.trace import Kept, LoopRun
from throughtime.ops.program.registered import LoopOptions, LoopTensors, recurrence
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import refuse_compiling


@dataclass(frozen=True)
class LoopParts:
    """What a loop runs.

    Parameters
    ----------
    f, prepare
        As of `throughtime.nn.Recurrence`.
    transitions, compiled
        Of f; ``compiled`` is None if f is no module.
    is_cell
        Whether f is one of torch's cells or of ours, which the loop of the built-in layers can run.
    """

    f: Any
    prepare: Callable[[Any], Any] | None
    transitions: Transitions
    compiled: CompiledLoop | None
    is_cell: bool


def loop_states(
    parts: LoopParts,
    tokens: Tensor,
    steps: Steps,
    state: Any,
    inputs: StepInputs | None,
    trace: Kept | None,
) -> tuple[Any, Any]:
    """Return the state after every step, (T, …) in the order of the tokens, and each sequence's last."""
    transitions = parts.transitions
    native = parts.is_cell and inputs is None and transitions.bounds is None
    native = native and (trace is None or not trace.with_gradients)
    known = native_states(parts.f, tokens, steps, state) if native else None
    if known is not None:
        return known
    operator = torch.compiler.is_compiling() and _is_operator(parts, tokens, inputs, trace)
    if steps.index is not None and not operator:
        refuse_compiling(
            "a Recurrence over a Ragged, whose loop has as many steps as its longest sequence",
            "torch.compile can if f is a module, a context one of tuples, lists and dicts, on the CPU and "
            "not under autocast; else leave this layer out of the graph",
        )
    prepared = tokens
    if parts.prepare is not None:
        prepared = parts.prepare(tokens)
        check_rows(leaves_of(prepared), tokens.shape[0], "prepare", "tokens")
    if operator and isinstance(prepared, Tensor):
        return _by_operator(parts, prepared, steps, state, inputs)
    if trace is None and steps.index is not None and torch.compiler.is_compiling():
        states, final = outside_of_graphs(parts.f, transitions, prepared, state, steps, inputs)
        return states, final
    inputs = None if inputs is None else inputs.drawn(parts.f, steps, state)
    values = {} if trace is None else transitions.recorded(state, prepared, inputs)
    if trace is None or not (values or trace.with_gradients):
        return transitions.states("plain", prepared, state, steps, inputs)
    return _traced(transitions, prepared, steps, state, inputs, trace, values)


def _is_operator(parts: LoopParts, tokens: Tensor, inputs: StepInputs | None, trace: Kept | None) -> bool:
    """Tell whether the loop is one operator of a graph."""
    known = inputs is None or inputs.context is None or structure_text(inputs.context) is not None
    plain = trace is None and known and parts.transitions.native != "never"
    here = tokens.is_cpu and not torch.compiler.is_exporting() and not under_autocast(tokens.device)
    return plain and here and parts.compiled is not None


def _by_operator(
    parts: LoopParts, tokens: Tensor, steps: Steps, state: Any, inputs: StepInputs | None
) -> tuple[Any, Any]:
    context = None if inputs is None else inputs.context
    of_context = [] if context is None else leaves_of(context)
    tensors = LoopTensors(tokens, leaves_of(state), list(parts.f.parameters()), of_context)
    structure = None if context is None else structure_text(context)
    options = LoopOptions(steps, structure, *_seeds(steps, inputs))
    states, final = recurrence(tensors, options, parts.compiled.number)  # type: ignore[union-attr]
    return rebuilt(states, state), rebuilt(final, state)


def _seeds(steps: Steps, inputs: StepInputs | None) -> tuple[Tensor | None, Tensor | None]:
    """Return the seeds and the first step of a call that draws random numbers."""
    undrawn = None if inputs is None else inputs.undrawn
    if undrawn is None:
        return None, None
    seeds = drawn_seeds(steps.batch) if undrawn.seeds is None else undrawn.seeds
    return torch.as_tensor(seeds, device="cpu"), torch.as_tensor(undrawn.first_step, device="cpu")


def _traced(
    transitions: Transitions,
    tokens: Any,
    steps: Steps,
    state: Any,
    inputs: StepInputs | None,
    trace: Kept,
    values: dict[str, Tensor],
) -> tuple[Any, Any]:
    """Run a loop that records values, and keep them and what their gradients need."""
    count = leaves_of(tokens)[0].shape[0]
    record = trace.recorded = Recorded(values, state, count, gradients=trace.with_gradients)
    read, before = record.of_tokens(tokens), record.of_state(state)
    (states, trace.values), (final, _) = transitions.states("recorded", read, before, steps, inputs)
    trace.run = LoopRun(transitions.step, inputs, tokens, state, states, steps)
    return states, final
