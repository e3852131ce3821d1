"""Gradients of every step, as the backward loop holds them in its hands; a record keeps them."""

import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.ops.cell import Cell, spec_of


class StepGradients:
    """The gradients of a loss with respect to every state and pre-activation of one layer.

    Empty until a backward pass has gone through the layer, and then of the last such pass. Rows are the
    tokens in the order of the layer's input.
    """

    def __init__(self) -> None:
        self._parts: tuple[Tensor, Tensor | None, Tensor] | None = None

    def fill(self, x: Tensor, directions: int, state: int, hidden: int, cell: Cell) -> None:
        """Take memory for a backward pass over the tokens ``x``; the loop writes all of it."""
        spec, tokens = spec_of(cell), x.shape[0]
        self._parts = (
            torch.empty(directions, tokens, state, dtype=x.dtype),
            torch.empty(directions, tokens, hidden, dtype=x.dtype) if spec.kind == "LSTM" else None,
            torch.empty(directions, tokens, spec.pre_activations, hidden, dtype=x.dtype),
        )

    @property
    def h(self) -> Tensor:
        """(D, T, P): the whole ∂L/∂h_t, from this step's output and from all later steps."""
        return self._filled[0]

    @property
    def c(self) -> Tensor | None:
        """(D, T, H): the whole ∂L/∂c_t of an LSTM, else None."""
        return self._filled[1]

    @property
    def pre_activations(self) -> Tensor:
        """(D, T, K, H): of each gate before its activation, in torch's order; GRU also of W_hn h + b_hn."""
        return self._filled[2]

    @property
    def _filled(self) -> tuple[Tensor, Tensor | None, Tensor]:
        if self._parts is None:
            raise ShapeError(
                "no backward pass has gone through this layer yet: call loss.backward() first; passes with "
                "create_graph=True, and those of torch.compile or of other devices, leave no record"
            )
        return self._parts
