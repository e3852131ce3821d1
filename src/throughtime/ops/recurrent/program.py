"""A layer as a program: traced once from `CellSpec.step`, for derivatives of any order and `torch.vmap`.

The kernels of the built-in cells compute values and first derivatives. Programs of the same equations are
differentiable any number of times, and under function transforms, by native code as well.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from throughtime.ops.plain import FULL
from throughtime.ops.program.autograd import takes
from throughtime.ops.program.layer import run_program
from throughtime.ops.program.shift import states_before
from throughtime.ops.program.tracing.cache import StepTracer
from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.step import TracedStep
from throughtime.ops.recurrent.reference import recurrent_layer_reference
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.steps import Steps
from throughtime.ops.recurrent.weights import Results, Weights


def recurrent_layer_program(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    h0: Tensor | None,
    c0: Tensor | None,
    directions: tuple[Weights, ...],
    *,
    save: bool = True,
) -> Results:
    """Run one layer by a program, or in Python where there is none; see `recurrent_layer_reference`.

    Parameters
    ----------
    save
        Whether ``c`` and ``gates`` are wanted; without it they may be empty.
    """
    traces = _traces(x, steps, spec, directions, (h0, c0), save=save)
    if traces is None:
        return recurrent_layer_reference(x, steps, spec, h0, c0, directions)
    states = [[None if part is None else part[d] for part in (h0, c0)] for d in range(len(directions))]
    results = [
        _direction(x, steps, spec, trace, before, weights, from_end=d == 1, save=save)
        for d, (trace, before, weights) in enumerate(zip(traces, states, directions, strict=True))
    ]
    h, h_n, c, c_n, gates = zip(*results, strict=True)
    nothing = x.new_zeros(0)
    return (
        h[0] if len(h) == 1 else torch.cat(h, 1),
        torch.stack(h_n),
        torch.stack(c_n) if spec.has_c else nothing,
        torch.stack(c) if spec.has_c and save else nothing,
        torch.stack(gates) if save else nothing,
    )


def _traces(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    directions: Sequence[Weights],
    states: Sequence[Tensor | None],
    *,
    save: bool,
) -> list[TracedStep] | None:
    """Return the traced step of each direction, None if a program cannot run."""
    if spec.bounds_gradients or x.dtype not in FULL:
        return None
    tensors = [x, *(part for group in (states, *directions) for part in group if part is not None)]
    if not takes(tensors) or any(part.dtype != x.dtype for part in tensors):
        return None
    try:
        return [
            _traced(spec, x, weights, save=save, resets=steps.reset is not None) for weights in directions
        ]
    except UntraceableError:
        return None


def _direction(
    x: Tensor,
    steps: Steps,
    spec: CellSpec,
    step: TracedStep,
    initial: Sequence[Tensor | None],
    weights: Weights,
    *,
    from_end: bool,
    save: bool,
) -> tuple[Any, Any, Any, Any, Any]:
    """Return h, the last h, c, the last c, and the gates."""
    tensors = {name: part for name, part in weights._asdict().items() if part is not None}
    context = tensors.pop("context", None)
    token = (x, *_flags(x, steps, from_end=from_end))
    inputs = step.inputs_with(tensors, token, [] if context is None else [context])
    before = [*initial[: len(spec.states)], *[None] * (save and spec.saved > 0)]
    wanted = [True, *[save] * (len(before) - 1)]
    results = run_program(step.graph, inputs, before, steps, wanted=wanted, from_end=from_end)
    c, c_n = (results.states[1], results.final[1]) if spec.has_c else (None, None)
    gates = _gates(results.states[-1], len(x), spec, weights) if save else None
    return results.states[0], results.final[0], c, c_n, gates


def _flags(x: Tensor, steps: Steps, *, from_end: bool) -> tuple[Tensor, ...]:
    """Return (T, 1), 1 at tokens before which the state is zeros, if there are any."""
    if steps.reset is None:
        return ()
    flags = steps.reset.to(x.dtype)[:, None]
    # Read from the end, a sequence begins again after the token that is flagged.
    return (states_before(flags, None, steps, from_end=True) if from_end else flags,)


def _gates(last: Tensor | None, tokens: int, spec: CellSpec, weights: Weights) -> Tensor:
    """Return the values that are kept of each step, of which the last state has the rows if there are any."""
    hidden = _hidden(spec, weights)
    if spec.saved and last is not None:
        return last.view(tokens, spec.saved, hidden)
    return weights.hh.new_zeros(tokens, 0, hidden)


def _hidden(spec: CellSpec, weights: Weights) -> int:
    return weights.hh.shape[0] // spec.gates


def _traced(spec: CellSpec, x: Tensor, weights: Weights, *, save: bool, resets: bool) -> TracedStep:
    """Return the traced step of a cell whose gates, if they are to be saved, are one more state."""
    context = weights.context
    shapes = [None if part is None else part.shape for part in weights[:-1]]
    width = None if context is None else context.shape[-1]
    return _tracer(type(spec), spec, x.shape[-1], tuple(shapes), width, x.dtype, save, resets).step()


class _Tracer:
    """Traces a cell with examples of its tensors."""

    def __init__(self, spec: CellSpec, weights: Weights, tokens: tuple[Tensor, ...], *, save: bool) -> None:
        tensors = {name: part for name, part in weights._asdict().items() if name != "context"}
        widths = [weights.hh.shape[1], *[_hidden(spec, weights)] * spec.has_c]
        save = save and spec.saved > 0
        widths += [spec.saved * _hidden(spec, weights)] * save
        states = [weights.hh.new_empty(2, width) for width in widths]
        context = [] if weights.context is None else [weights.context]
        self._examples = (*states, *context), tokens
        self._tracer = StepTracer(partial(_step, spec, tensors, save))
        self._lock = Lock()  # all layers of these sizes share the trace

    def step(self) -> TracedStep:
        """Return the traced step."""
        with self._lock, torch.enable_grad():
            return self._tracer.step(*self._examples)


def _step(
    spec: CellSpec,
    weights: dict[str, Any],
    save: bool,  # noqa: FBT001 - the first arguments are bound
    states: tuple[Tensor, ...],
    token: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    """Return the next h, c, gates and the same context, as far as there are any.

    The token is x, and a row of one number that is not 0 where the states before it are to be zeros.
    """
    x, *flags = token
    count = len(spec.states) + save
    before = states[: len(spec.states)]
    for flag in flags:
        before = tuple(torch.where(flag != 0, torch.zeros_like(part), part) for part in before)
    h, c = before[0], before[1] if spec.has_c else x.new_zeros(x.shape[0], 0)
    after, gates = spec.step(x, State(h, c), Weights(**weights, context=None), *(states[count:] or (None,)))
    return (*after[: len(spec.states)], *([gates.flatten(1)] if save else ()), *states[count:])


@lru_cache(maxsize=128)
def _tracer(
    kind: type[CellSpec],  # noqa: ARG001 - specs of one name are equal, also if their class was defined again
    spec: CellSpec,
    inputs: int,
    shapes: tuple[torch.Size | None, ...],
    context: int | None,
    dtype: torch.dtype,
    save: bool,  # noqa: FBT001 - a part of the key
    resets: bool,  # noqa: FBT001
) -> _Tracer:
    with temporarily_clear_interpreter_stack():
        sizes = [*shapes, None if context is None else (2, context)]
        weights = Weights(*(None if size is None else torch.empty(size, dtype=dtype) for size in sizes))  # type: ignore[arg-type]
        tokens = tuple(torch.empty(2, width, dtype=dtype) for width in (inputs, *[1] * resets))
        return _Tracer(spec, weights, tokens, save=save)
