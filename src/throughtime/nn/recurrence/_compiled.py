"""A recurrence as one operator of the graphs of torch.compile."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import stateless

from throughtime.errors import UnsupportedError
from throughtime.nn.recurrence._context_structure import with_structure
from throughtime.nn.recurrence._structures import leaves_of, rebuilt
from throughtime.nn.recurrence._transitions import Transitions
from throughtime.nn.recurrence.step_inputs import StepInputs, UndrawnNoise
from throughtime.ops.program.registered import LoopOptions, LoopTensors, numbered
from throughtime.ops.program.tracing.watching import Watched
from throughtime.ops.recurrent.steps import Steps


class CompiledLoop:
    """The loop over time of a module f, with the parameters that a graph passes.

    Parameters
    ----------
    f : Module
        The transition.
    transitions
        Of the module.
    like
        A structure like that of the state.

    Attributes
    ----------
    number : int
        Of the loop in graphs.
    """

    def __init__(self, f: nn.Module, transitions: Transitions, like: Any) -> None:
        self._f, self._transitions, self._like = f, transitions, like
        self._checked = False
        self.number = numbered(self)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Give a copy a number of its own."""
        return CompiledLoop, (self._f, self._transitions, self._like)

    def run(self, tensors: LoopTensors, options: LoopOptions) -> list[Tensor]:
        """Return the states (T, …) after every step, and then the final states (B, …)."""
        if not self._checked:
            _check_tensors(self._f)
            self._checked = True
        begun = rebuilt(tensors.states, self._like)
        with _with_parameters(self._f, tensors.parameters):
            inputs = self._inputs(tensors, options, begun)
            after, final = self._transitions.states("plain", tensors.tokens, begun, options.steps, inputs)
        return [*leaves_of(after), *leaves_of(final)]

    def _inputs(self, tensors: LoopTensors, options: LoopOptions, state: Any) -> StepInputs | None:
        """Return the context of a call, and its noise, drawn from the seeds."""
        structure = options.structure
        context = None if structure is None else with_structure(tensors.context, structure)
        if options.seeds is None:
            return None if context is None else StepInputs(context)
        inputs = StepInputs(context, undrawn=UndrawnNoise(options.seeds, options.first_step))
        return inputs.drawn(self._f, options.steps, state)


def _check_tensors(f: nn.Module) -> None:
    """Check that a graph knows all tensors of f that may have a gradient."""
    known = {id(part) for part in f.parameters()}
    try:
        others = [name for name, part in Watched(f).tensors() if part.requires_grad and id(part) not in known]
    except Exception as error:
        raise UnsupportedError(
            f"Recurrence: torch.compile cannot find the tensors that {type(f).__name__} reads ({error}); "
            "leave this layer out of the graph with torch.compiler.disable"
        ) from error
    if others:
        raise UnsupportedError(
            f"Recurrence: under torch.compile, {others[0]} would have no gradient, because it is no "
            f"parameter of {type(f).__name__}; make it one, or leave this layer out of the graph with "
            "torch.compiler.disable"
        )


@contextmanager
def _with_parameters(f: nn.Module, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Give a module other parameters in this block, unless they have the same memory and need no gradient."""
    named = dict(f.named_parameters())
    pairs = dict(zip(named, parameters, strict=True))
    own = all(_same(named[name], part) for name, part in pairs.items())
    if own and not (torch.is_grad_enabled() and any(part.requires_grad for part in parameters)):
        yield
        return
    with stateless._reparametrize_module(f, pairs, tie_weights=True):  # noqa: SLF001 - functional_call of f's own loop
        yield


def _same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()


@torch.compiler.disable  # type: ignore[untyped-decorator]
def outside_of_graphs(
    f: Any, transitions: Transitions, tokens: Any, state: Any, steps: Steps, inputs: StepInputs | None
) -> tuple[Any, Any]:
    """Run a loop in an eager call, between two graphs of torch.compile."""
    inputs = None if inputs is None else inputs.drawn(f, steps, state)
    return transitions.states("plain", tokens, state, steps, inputs)
