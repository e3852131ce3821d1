"""Inputs of a step besides its state and token: a context of each sequence, and random numbers.

They are passed as parts of the state and of the token: inputs that are constant over a sequence are leaves of
the state that the transition returns unchanged, inputs of single steps are leaves of the token. So the loop
over time, in Python and native, handles only states and tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrence.noise import Noise, draws_of
from throughtime.ops.recurrent.steps import Steps


@dataclass(frozen=True)
class UndrawnNoise:
    """What the random numbers of a call are drawn from, see `throughtime.nn.recurrence.noise.draws_of`."""

    seeds: Any
    first_step: Any


@dataclass(frozen=True)
class StepInputs:
    """A context, or noise, or both.

    Parameters
    ----------
    context
        Tensors (B, …), or None.
    noise : Noise, optional
        Of all sequences and tokens.
    undrawn : UndrawnNoise, optional
        In its place, see `drawn`: where torch.compile leaves the drawing to an operator.
    """

    context: Any = None
    noise: Noise | None = None
    undrawn: UndrawnNoise | None = None

    def drawn(self, f: Any, steps: Steps, state: Any) -> "StepInputs | None":
        """Return the inputs with the noise of a cell f; None if there are none."""
        noise = self.noise
        if self.undrawn is not None:
            like = pytree.tree_leaves(state)[0]
            noise = f.noise(draws_of(steps, self.undrawn.seeds, self.undrawn.first_step, like))
        return None if self.context is None and noise is None else StepInputs(self.context, noise)

    def of_pieces(self, of_sequences: Callable[[Tensor], Tensor]) -> "StepInputs":
        """Return the inputs for pieces of sequences; ``of_sequences`` selects each piece's row."""
        context = None if self.context is None else pytree.tree_map(of_sequences, self.context)
        if self.noise is None:
            return StepInputs(context)
        return StepInputs(
            context, Noise(pytree.tree_map(of_sequences, self.noise.sequences), self.noise.steps)
        )

    def of_state(self, state: Any) -> Any:
        """Return a state together with the inputs that are constant over a sequence."""
        constants = (
            {} if self.context is None else {"context": self.context},
            {} if self.noise is None else {"noise": self.noise.sequences},
        )
        return state, constants

    def of_tokens(self, prepared: Any) -> Any:
        """Return tokens with their noise."""
        return prepared, () if self.noise is None else self.noise.steps


def with_inputs(f: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Return f as a function of a state and a token that hold step inputs, see `StepInputs`."""
    return partial(_step_with_inputs, f)  # copies, pickles and traces follow f in it


def _step_with_inputs(f: Callable[..., Any], state: Any, token: Any) -> Any:
    """Return the next state with its constants."""
    (state, (context, of_sequences)), (x_t, of_steps) = state, token
    noise = {name: Noise(constant, of_steps) for name, constant in of_sequences.items()}
    return f(state, x_t, **context, **noise), (context, of_sequences)


def checked_constants(context: Any, batch: int, *, unbatched: bool) -> Any:
    """Return a context whose leaves are (B, …), from leaves without B for a single sequence."""

    def checked(part: Any) -> Tensor:
        if not isinstance(part, Tensor):
            raise InputTypeError(
                f"Recurrence: context must be a tensor or a structure of tensors, got {type(part).__name__}"
            )
        if unbatched:
            return part.unsqueeze(0)
        if part.dim() < 1 or part.shape[0] != batch:
            raise ShapeError(
                f"Recurrence: context has shape {tuple(part.shape)}, expected {batch} rows, one for each "
                "sequence"
            )
        return part

    return pytree.tree_map(checked, context)
