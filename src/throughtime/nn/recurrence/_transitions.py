"""`Transitions`: the step of a recurrence in the forms that a loop runs, natively where it can be traced."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from throughtime.errors import UnsupportedError
from throughtime.nn.recurrence._bounds import Bounds, bounded_step
from throughtime.nn.recurrence._program import Native, program_states
from throughtime.nn.recurrence._python_loop import python_states
from throughtime.nn.recurrence._recorded_values import RecordedValues
from throughtime.nn.recurrence._structures import leaves_of
from throughtime.nn.recurrence.recording import recorded
from throughtime.nn.recurrence.step_inputs import StepInputs, with_inputs
from throughtime.ops.program.tracing.cache import StepTracer, key_of
from throughtime.ops.program.tracing.errors import UntraceableError
from throughtime.ops.program.tracing.step import TracedStep
from throughtime.ops.recurrent.steps import Steps

Form = Literal["plain", "recorded"]
"""f itself, or f with the values that it records, see `throughtime.nn.recurrence.recording.recorded`."""


class Transitions:
    """The forms of one f, and the native program of each.

    Parameters
    ----------
    f : callable
        (state, token) to the next state.
    native
        As of `throughtime.nn.Recurrence`.
    leaves
        Number of leaves of the state.

    Attributes
    ----------
    bounds
        On the gradient that each step passes to the one before it, see `throughtime.nn.LSTM.bound_gradients`.
    """

    def __init__(self, f: Callable[..., Any], native: Native, leaves: int) -> None:
        self.f, self.native, self._leaves = f, native, leaves
        self.bounds: Bounds | None = None
        # For each form, without and with step inputs.
        forms: dict[Form, Callable[..., Any]] = {"plain": f, "recorded": recorded(f)}
        self._functions = {name: (form, with_inputs(form)) for name, form in forms.items()}
        self._tracers = {name: tuple(map(StepTracer, pair)) for name, pair in self._functions.items()}
        self._recorded = tuple(map(RecordedValues, self._functions["plain"]))
        self._reasons: set[str] = set()

    def step(self, state: Any, token: Any, inputs: StepInputs | None) -> Any:
        """Return the state after one step, in Python."""
        if inputs is None:
            return self.f(state, token)
        after, _ = self._functions["plain"][1](inputs.of_state(state), inputs.of_tokens(token))
        return after

    def recorded(self, state: Any, tokens: Any, inputs: StepInputs | None) -> dict[str, Tensor]:
        """Return the values that a step records, by name, of a step of no sequences."""
        if inputs is not None:
            state, tokens = inputs.of_state(state), inputs.of_tokens(tokens)
        return self._recorded[inputs is not None].of(state, tokens)

    def states(
        self, form: Form, tokens: Any, state: Any, steps: Steps, inputs: StepInputs | None
    ) -> tuple[Any, Any]:
        """Return the state after every step, (T, …) in the order of the tokens, and each sequence's last."""
        kept = len(leaves_of(state))
        if inputs is None:
            return self._run(form, 0, tokens, state, steps, kept)
        whole, read = inputs.of_state(state), inputs.of_tokens(tokens)
        states, final = self._run(form, 1, read, whole, steps, kept)
        return states[0], final[0]

    def known(self, state: Any, tokens: Tensor) -> TracedStep | None:
        """Return the traced step that the last call of f had, None if it is not valid for these tensors."""
        return self._tracers["plain"][0].known(key_of(state, tokens))

    def _run(
        self, form: Form, number: int, tokens: Any, state: Any, steps: Steps, kept: int
    ) -> tuple[Any, Any]:
        """Run a form; of the leaves of its states, only the first ``kept`` are wanted at every step."""
        try:
            can_be_native = self._may_be_native(leaves_of(tokens), state)
            traced = self._tracers[form][number].step(state, tokens) if can_be_native else None
        except UntraceableError as error:
            if self.native == "require":
                raise UnsupportedError(f"Recurrence: f cannot run in the native loop: {error}") from None
            result = self._in_python(form, number, tokens, state, steps, kept)
            self._warn(str(error))  # after the loop: if f is at fault, its own error is clearer
            return result
        if traced is None:
            return self._in_python(form, number, tokens, state, steps, kept)
        return program_states(traced, tokens, state, steps, kept, self.bounds)

    def _in_python(
        self, form: Form, number: int, tokens: Any, state: Any, steps: Steps, kept: int
    ) -> tuple[Any, Any]:
        f = self._functions[form][number]
        if self.bounds is not None:
            f = partial(bounded_step, f, self.bounds, self._leaves)
        return python_states(f, tokens, state, steps, kept)

    def _may_be_native(self, tokens: list[Tensor], state: Any) -> bool:
        if self.native == "never" or torch.compiler.is_compiling():
            return False
        leaves = *tokens, *leaves_of(state)
        return False not in [leaf.is_cpu for leaf in leaves]

    def _warn(self, reason: str) -> None:
        """Warn once for each reason why f does not run in the native loop."""
        if reason in self._reasons:
            return
        self._reasons.add(reason)
        warnings.warn(
            f"Recurrence: f runs step by step in Python, not in the native loop: {reason}. "
            "Pass native='never' to silence this warning, or native='require' to make it an error",
            stacklevel=8,
        )
