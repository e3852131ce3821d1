"""`RecurrenceTrace`: the states and recorded values of every step, and their gradients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.errors import ShapeError
from throughtime.nn.inputs.output import RecurrentOutput
from throughtime.nn.recurrence.step_inputs import StepInputs
from throughtime.ops.recurrent.steps import Steps
from throughtime.ragged import Ragged

if TYPE_CHECKING:
    from throughtime.nn.recurrence.recording import Recorded


@dataclass(frozen=True)
class RecurrenceGradients:
    """Gradients of a loss with respect to the state of every step and to recorded values.

    They are whole: by way of the output of their step and of all later steps.

    Parameters
    ----------
    states : Any
        In the structure of the state, each leaf a `Ragged` (T, …), or None without a gradient. A leaf is the
        tensor that f returns: what f has computed from it before, as h from c in an LSTM, is not part of its
        gradient, unless f records it.
    recorded : mapping of str to Ragged
        (T, …), of the values that f names with `throughtime.nn.record`.
    """

    states: Any
    recorded: Mapping[str, Ragged]


@dataclass(frozen=True)
class RecurrenceTrace:
    """What `Recurrence.trace` returns.

    Parameters
    ----------
    result : RecurrentOutput
        What the call returns.
    states : Any
        The state after every step, in the structure of the state, each leaf a `Ragged` (T, …).
    recorded : mapping of str to Ragged
        (T, …), the values that f names with `throughtime.nn.record`, at every step.
    gradients_of : callable, optional
        Returns `gradients`.
    kept : Kept, optional
        For layers that report the run.
    """

    result: RecurrentOutput
    states: Any
    recorded: Mapping[str, Ragged] = field(default_factory=dict)
    gradients_of: Callable[[], RecurrenceGradients] | None = field(default=None, repr=False)
    kept: "Kept | None" = field(default=None, repr=False)

    @property
    def gradients(self) -> RecurrenceGradients:
        """What ``loss.backward()`` brought to every state and recorded value."""
        if self.gradients_of is None:
            raise ShapeError(
                "this trace has no gradients; use layer.trace(x, gradients=True), then call backward() on a "
                "loss computed from the result of the trace"
            )
        return self.gradients_of()


Step = Callable[[Any, Any, StepInputs | None], Any]
"""(state, token, inputs) to the next state, in Python."""


@dataclass(frozen=True)
class LoopRun:
    """The arguments and results of a loop over time, sequences and tokens in the order of the loop.

    Parameters
    ----------
    step, inputs
        The transition in Python, and what it reads besides states and tokens.
    tokens
        Prepared, in the structure of the token, each leaf (T, …).
    begun, states
        The state before the first step (B, …), and after every step (T, …).
    steps
        Of the sequences, or of the pieces into which flags cut them.
    """

    step: Step
    inputs: StepInputs | None
    tokens: Any
    begun: Any
    states: Any
    steps: Steps


class Kept:
    """What a trace keeps of the steps, besides states."""

    def __init__(self, *, gradients: bool) -> None:
        self.with_gradients = gradients
        self.values: Mapping[str, Tensor] = {}
        self.recorded: Recorded | None = None
        self.run: LoopRun | None = None

    def of_tokens(self, wrap: Callable[[Tensor], Ragged]) -> RecurrenceGradients:
        """Return the gradients of the last backward pass."""
        if self.recorded is None:
            return RecurrenceGradients(None, {})
        values = self.recorded.value_gradients()
        return RecurrenceGradients(
            pytree.tree_map_only(Tensor, wrap, self.recorded.state_gradients()),
            MappingProxyType({name: wrap(value) for name, value in values.items() if value is not None}),
        )
