"""`NextStep`: what comes next, after every step of a sequence; the part that words and frames share."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.models._inputs import InputKind
from throughtime.models._options import Cell
from throughtime.models._softmax import Scored
from throughtime.nn import GRU, LSTM, RNN, LockedDropout
from throughtime.nn.description import OfTokens, Series
from throughtime.ragged import Ragged

_CELLS: dict[str, type[LSTM] | type[GRU] | type[RNN]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


class NextStep(nn.Module):
    """Recurrent layers in one direction on top of each other, with locked dropout around each.

    The layers stand apart, as one `LSTM` of several layers knows only ordinary dropout between them.
    """

    reads: ClassVar[tuple[InputKind, ...]]

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        cell: Cell,
        dropout: float,
        input_dropout: float | None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if cell not in _CELLS:
            raise ShapeError(f"{name}: unknown cell {cell!r}; choose one of {', '.join(_CELLS)}")
        if len(sizes) < 2 or min(sizes) < 1:
            raise ShapeError(
                f"{name}: sizes and the number of layers are at least 1; got {len(sizes) - 1} layers, from "
                f"{sizes[0]} features" + (f" to {sizes[-1]}" if len(sizes) > 1 else "")
            )
        self.layers = nn.ModuleList(_CELLS[cell](i, o) for i, o in pairwise(sizes))
        self.input_dropout = LockedDropout(dropout if input_dropout is None else input_dropout)
        self.dropout = LockedDropout(dropout)

    def forward(self, x: Ragged) -> Ragged:
        """Return what comes next after every step."""
        h = self.states(x)
        return h.with_values(self.read_out(h.values))

    def states(self, x: Ragged) -> Ragged:
        """Return what the read-out reads at every step of a batch, (T, D).

        Inside of ``tt.bptt.Carried().carry(model, window)`` sequences go on where they stopped.
        """
        return self.states_of(x.with_values(self.features(x.values)))

    def states_of(self, features: Ragged) -> Ragged:
        """Return the same of steps whose features, as the first layer reads them, are given."""
        hidden: Ragged = self.input_dropout(features)
        for layer in self.layers:
            hidden = self.dropout(layer(hidden).output)
        return hidden.with_values(self.projected(hidden.values))

    def _in_order(self) -> Series:
        """Return what a call runs, in this order, for ``describe`` of the classes that read and predict."""
        parts: list[tuple[str, Any]] = [("features", OfTokens(self.features, self.input_features))]
        parts.append(("input_dropout", self.input_dropout))
        for place, layer in enumerate(self.layers):
            parts += [(f"layers.{place}", layer), ("dropout", self.dropout)]
        parts += [("projected", OfTokens(self.projected)), ("read_out", OfTokens(self.read_out))]
        return Series(tuple(parts))

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Read one step of B streams, and return what comes next; dropout does not act.

        Parameters
        ----------
        x_t : Tensor
            (B, …): one step of each stream.
        state
            What the step before returned; None at the beginning.

        Returns
        -------
        next : Tensor
            (B, …), as a call returns it for every step.
        state : tuple
            For the next step: the state of each layer.

        Raises
        ------
        ShapeError
            If the state is that of another architecture.
        """
        if state is not None and (not isinstance(state, tuple) or len(state) != len(self.layers)):
            held = f"one of {len(state)}" if isinstance(state, tuple) else f"a {type(state).__name__}"
            raise ShapeError(
                f"{type(self).__name__}.step: a state is a tuple with a part for each of {len(self.layers)} "
                f"layers, got {held}; use a state of the same architecture"
            )
        hidden, states = self.features(x_t), []
        for layer, before in zip(self.layers, state or [None] * len(self.layers), strict=True):
            hidden, state_after = layer.step(hidden, before)  # type: ignore[operator]
            states.append(state_after)
        return self.read_out(self.projected(hidden)), tuple(states)

    @property
    def input_features(self) -> int | None:
        """Numbers of a step as `features` reads it, None for words."""
        raise NotImplementedError

    def features(self, x: Tensor) -> Tensor:
        """Return what the first layer reads of steps, (T, …) to (T, D)."""
        raise NotImplementedError

    def projected(self, h: Tensor) -> Tensor:
        """Return what the read-out reads of the last layer's states, (T, H) to (T, D)."""
        return h

    def read_out(self, h: Tensor) -> Tensor:
        """Return what comes next, (T, D) to (T, …)."""
        raise NotImplementedError

    def score(self, h: Tensor, targets: Tensor) -> Scored:
        """Return how well what came was predicted at each step.

        Parameters
        ----------
        h : Tensor
            (T, D), the values of `states`.
        targets : Tensor
            (T, …): what came after each step.
        """
        raise NotImplementedError

    def draw(
        self, following: Tensor, temperature: float, top_p: float, generator: torch.Generator | None
    ) -> Tensor:
        """Sample a step from the distribution that `step` returns."""
        raise NotImplementedError
