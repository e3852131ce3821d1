"""`Cell`: the step of a recurrence as a module, which `Recurrence` and wrappers such as `Zoneout` read."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from throughtime.errors import ShapeError
from throughtime.nn.description.kinds import NoSequence
from throughtime.nn.recurrence.noise import Draws, Noise

_ONE_STEP = NoSequence("runs one step of a sequence; Recurrence(cell) runs all of them")


class Cell(nn.Module):
    r"""One step of a recurrence: ``forward(state, x_t)`` returns the next state.

    A subclass defines ``forward`` in plain PyTorch operators on batches: a state whose leaves are (n, …), and
    one token (n, …) of each of n sequences. ``tt.nn.Recurrence(cell)`` runs it over sequences; the initial
    state and the read-out are those of the cell. Terms that depend on x_t alone, such as
    ``linear(x_t, weight)``, may be computed in ``forward``: `Recurrence` moves them out of the loop.

    ``forward`` may take two more arguments, by name: ``context``, the rows of ``layer(x, state, context=…)``
    for the n sequences, and ``noise``, random numbers that the cell requested in its method ``noise``. Each
    is passed only if there is one. ``forward`` must not draw random numbers itself.

    Parameters
    ----------
    input_size, hidden_size : int
        I, the features of a token, and H, those of h.

    Attributes
    ----------
    initial_state
        The initial state, in the form of ``state=`` of `Recurrence`. By default zeros (H,) for each of
        `state_names`.
    state_names : tuple of str
        Names of the leaves of the state, for traces; h comes first.
    maskable : frozenset of str
        Masks of `RecurrentDropout` that ``forward`` applies if they are passed as ``noise``: "h",
        "candidate".
    stuck_gates : mapping of (str, str) to str
        For the diagnosis: what it means if a gate that ``forward`` records is nearly always "closed" or
        "open", such as ``{("forget", "closed"): "c keeps nothing from step to step"}``.
    scaled_together : tuple of str
        Leaves of the state that share a scale, so that `Zoneout` cannot mix old and new values of one alone.

    Raises
    ------
    ShapeError
        If a size is below one.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from torch import nn
    >>> class Elman(tt.nn.Cell):
    ...     def __init__(self, input_size, hidden_size):
    ...         super().__init__(input_size, hidden_size)
    ...         self.token = nn.Linear(input_size, hidden_size)
    ...         self.recurrent = nn.Linear(hidden_size, hidden_size)
    ...
    ...     def forward(self, state, x_t):
    ...         return torch.tanh(self.token(x_t) + self.recurrent(state))
    >>> output, h = tt.nn.Recurrence(Elman(3, 5))(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (2, 5))
    """

    state_names: tuple[str, ...] = ("h",)
    maskable: frozenset[str] = frozenset()
    scaled_together: tuple[str, ...] = ()
    stuck_gates: Mapping[tuple[str, str], str] = MappingProxyType({})

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        for label, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ShapeError(f"{type(self).__name__}: {label} must be at least 1, got {size}")
        self.input_size, self.hidden_size = input_size, hidden_size

    @property
    def initial_state(self) -> Any:
        """Return the number of zeros of each leaf of the state."""
        sizes = (self.hidden_size,) * len(self.state_names)
        return sizes if len(sizes) > 1 else sizes[0]

    def read_out(self, state: Any) -> Any:
        """Return h, the first leaf of a state."""
        return pytree.tree_leaves(state)[0]

    def prepare(self, tokens: Tensor) -> Any:
        """Return the inputs of ``forward`` for all tokens (T, …) at once, one row for each token."""
        return tokens

    def noise(self, draws: Draws) -> Noise | None:
        """Return the random numbers of a training call, drawn before its first step, or None."""
        del draws
        return None

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return the matrices (H, H) that h_{t−1} is multiplied by, for `throughtime.diagnose.spectrum`.

        They are named by the gate whose pre-activation they add to; "h" for that of h itself. By default
        there are none: the spectrum is that of the Jacobian of a step.
        """
        return {}

    def reset_parameters(self) -> None:
        """Reinitialise the parameters; by default by this method of all child modules that have it."""
        for part in self.children():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()

    def describe(self) -> NoSequence:
        """Describe the cell: it runs a single step, not a sequence."""
        return _ONE_STEP

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.input_size}, {self.hidden_size}"


def call_step(cell: nn.Module, state: Any, x_t: Any, *, context: Any = None, noise: Any = None) -> Any:
    """Return cell(state, x_t), with context and noise passed only if they are not None."""
    more = {name: value for name, value in (("context", context), ("noise", noise)) if value is not None}
    return cell(state, x_t, **more)
