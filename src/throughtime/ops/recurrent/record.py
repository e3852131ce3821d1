"""Gradients of every step, as the backward loop holds them in its hands: a record keeps them."""

from typing import Any

import torch
from torch import Tensor

from throughtime.errors import ShapeError

SUMMARY_NORMS = 6


class StepGradients:
    """The gradients of a loss with respect to every state and pre-activation of one layer.

    Empty until a backward pass has gone through the layer, and then of the last such pass. Rows are the
    tokens in the order of the layer's input.

    Parameters
    ----------
    whole
        Whether the gradients themselves are kept beside their norms, which cost next to nothing.

    Attributes
    ----------
    device : torch.device or None
        Where they are returned; None for the device of the loop, which is the CPU.
    """

    def __init__(self, *, whole: bool = True) -> None:
        self.whole = whole
        self.device: torch.device | None = None
        self._parts: tuple[Tensor | None, ...] | None = None
        self._made: tuple[Tensor, ...] = ()

    def fill(self, parts: tuple[Tensor | None, ...], *made: Tensor) -> None:
        """Keep what a backward pass writes, and the y, c and gates of the forward pass before it."""
        self._parts, self._made = parts, tuple(part.detach() for part in made)

    @property
    def filled(self) -> bool:
        """Whether a backward pass has gone through the layer."""
        return self._parts is not None

    @property
    def h(self) -> Tensor:
        """(D, T, P): the whole ∂L/∂h_t, from this step's output and from all later steps."""
        return self._present(0)

    @property
    def c(self) -> Tensor | None:
        """(D, T, H): the whole ∂L/∂c_t of an LSTM, else None."""
        return self.parts[1]

    @property
    def pre_activations(self) -> Tensor:
        """(D, T, K, H): of each gate before its activation, in torch's order; GRU also of W_hn h + b_hn."""
        return self._present(2)

    @property
    def unclipped_fraction(self) -> Tensor | None:
        """(D, T): the fraction of the gradient that `bound_gradients` left at a step; None without bounds."""
        return self.parts[3]

    @property
    def norms(self) -> Tensor:
        """(D, T, 6): norms of ∂L/∂h, ∂L/∂c, the gradient of what W_hh h_{t−1} adds to, and h_{t−1}.

        For a reset-before GRU, where that is r and z alone, also of the gradient of the candidate, and of
        r ⊙ h_{t−1}; else two zeros.
        """
        return self._present(4)[..., :SUMMARY_NORMS]

    @property
    def saturation(self) -> Tensor:
        """(D, T, S, 2): of each saved value how many units are below 0.1, and above 0.9."""
        counts = self._present(4)[..., SUMMARY_NORMS:]
        return counts.view(*counts.shape[:-1], counts.shape[-1] // 2, 2)

    @property
    def made(self) -> tuple[Tensor, ...]:
        """What the forward pass made: y (T, D·P), c (D, T, H) and gates (D, T, S, H)."""
        return tuple(map(self._moved, self._made)) if self.parts else ()  # type: ignore[arg-type]

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        """All of them, in the order of the backward call."""
        if self._parts is None:
            raise ShapeError(
                "no backward pass through this layer is recorded; call loss.backward() first (passes with "
                "create_graph=True or under torch.compile are not recorded)"
            )
        return tuple(map(self._moved, self._parts))

    def _moved(self, part: Tensor | None) -> Tensor | None:
        return part if part is None or self.device is None else part.to(self.device)

    def _present(self, place: int) -> Tensor:
        part: Any = self.parts[place]
        found: Tensor = part
        return found
