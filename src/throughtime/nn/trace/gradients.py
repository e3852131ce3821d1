"""The gradient of a loss with respect to every state and gate of a recurrent layer, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from throughtime.errors import ShapeError
from throughtime.nn.trace.reading import Reading
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.spec import CellSpec
from throughtime.ragged import Layout, Ragged


@dataclass(frozen=True, repr=False)
class DirectionGradients:
    r"""What one backward pass brought to every step of one layer and direction, as `Ragged` batches.

    Parameters
    ----------
    h : Ragged
        (T, P) ∂L/∂h_t in whole: by way of this step's output and of all later steps.
    pre_activations : mapping of str to Ragged
        (T, H) each: of the gates before their activation, of an RNN's "h". A GRU with the reset gate after
        the product also has "recurrent_candidate", that of W_hn h_{t−1} + b_hn.
    """

    h: Ragged
    pre_activations: Mapping[str, Ragged]
    _c: tuple[Ragged, Ragged] | None = None
    _clipped_fraction: Ragged | None = None

    @property
    def clipped_fraction(self) -> Ragged:
        """(T,): the fraction that bounds clipped of the gradient that each step passes on; 0 is nothing.

        1 − s·f with s the share of entries within ``value`` and f the factor that ``norm`` asks for, the
        smaller of h's and c's; see ``layer.bound_gradients``.
        """
        if self._clipped_fraction is None:
            raise ShapeError("this layer does not clip gradients; use layer.bound_gradients(norm=...)")
        return self._clipped_fraction

    @property
    def c(self) -> Ragged:
        """(T, H) ∂L/∂c_t in whole; LSTM only."""
        return self._cell[0]

    @property
    def c_along_c(self) -> Ragged:
        """(T, H): the part of ∂L/∂c_t that came along the cell states, f_{t+1} ⊙ ∂L/∂c_{t+1}; LSTM only.

        At the last step it is zero, so a gradient of the final c counts as the rest.
        """
        return self._cell[1]

    @property
    def c_through_h(self) -> Ragged:
        """(T, H): the rest of ∂L/∂c_t, which came through h_t, peepholes, and what the loss did to c_t."""
        whole, along = self._cell
        return whole.with_values(whole.values - along.values)

    @property
    def _cell(self) -> tuple[Ragged, Ragged]:
        if self._c is None:
            raise ShapeError("this layer has no cell state c; use the gradients of h and pre_activations")
        return self._c

    def __repr__(self) -> str:
        names = ["h", *(["c", "c_along_c", "c_through_h"] if self._c else []), "pre_activations"]
        return f"DirectionGradients({', '.join(names)})"


@dataclass(frozen=True)
class Recorded:
    """Where a layer's gradients will be, and how to name those of one direction."""

    record: StepGradients
    direction: int
    spec: CellSpec
    read: Reading
    layout: Layout
    states: Mapping[str, Tensor]
    gates: Mapping[str, Tensor]
    initial_c: Tensor | None

    def gradients(self) -> DirectionGradients:
        """Return the gradients of the last backward pass."""
        d, spec = self.direction, self.spec
        parts = self.record.pre_activations[d].unbind(1)
        named = {
            name: self._ragged(part) for name, part in zip(spec.pre_activation_names, parts, strict=True)
        }
        h = self._ragged(self.record.h[d])
        unclipped = self.record.unclipped_fraction
        clipped = None if unclipped is None else self._ragged(1.0 - unclipped[d])
        if self.record.c is None:
            return DirectionGradients(h, MappingProxyType(named), None, clipped)
        c = self.record.c[d]
        with torch.no_grad():
            c_before = self.read.before(self.states["c"], self.initial_c)
            along = self.read.after(spec.along_c(c, c_before, self.gates))
        return DirectionGradients(h, MappingProxyType(named), (self._ragged(c), self._ragged(along)), clipped)

    def _ragged(self, values: Tensor) -> Ragged:
        return Ragged(values, self.layout.offsets, layout=self.layout)
