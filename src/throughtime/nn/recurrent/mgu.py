"""`MGU`: the minimal gated unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.nn.recurrent.layer import Recurrent
from throughtime.ops.recurrent.activations import (
    SIGMOID,
    TANH,
    Activation,
    ActivationLike,
    activated,
    activations_of,
)
from throughtime.ops.recurrent.bounds import bound_of
from throughtime.ops.recurrent.spec import CellSpec, NativeCell, RecurrentInput, State
from throughtime.ops.recurrent.weights import Weights


@dataclass(frozen=True, eq=False)
class MGUSpec(CellSpec):
    """The cell of `MGU`, where the options are described; activations are those of f and of n."""

    activations: tuple[Activation, ...] = (SIGMOID, TANH)

    kind: ClassVar[str] = "MGU"
    activation_roles: ClassVar[tuple[str, ...]] = ("f", "the candidate n")
    stuck_gates: ClassVar[Mapping[tuple[str, str], str]] = {
        ("forget", "closed"): "h stays what it is, and nothing new enters it",
        ("forget", "open"): "h is replaced at every step, and keeps nothing",
    }

    @property
    def row_blocks(self) -> tuple[str, ...]:
        """The gate f, and the candidate n."""
        return ("forget", "candidate")

    def step(self, x: Tensor, state: State, weights: Weights, context: Tensor | None) -> tuple[State, Tensor]:
        """Compute f, n and h by the equations of `MGU`."""
        of_gate, of_candidate = self.activations
        from_x = linear(x, weights.ih, weights.bias_ih)
        x_f, x_n = (from_x if context is None else from_x + context).chunk(2, 1)
        f = activated(of_gate, x_f + _product(0, state.h, weights), self.clip)
        n = activated(of_candidate, x_n + _product(1, f * state.h, weights), self.clip)
        return State((1 - f) * state.h + f * n, state.c), torch.stack([f, n], 1)

    def pre_activations(
        self, from_x: Tensor, before: State, after: State, kept: Mapping[str, Tensor], weights: Weights
    ) -> dict[str, Tensor]:
        """Add the products of h_{t−1}, and of f ⊙ h_{t−1}."""
        del after
        x_f, x_n = from_x.chunk(2, 1)
        return {
            "forget": x_f + _product(0, before.h, weights),
            "candidate": x_n + _product(1, kept["forget"] * before.h, weights),
        }

    def recurrent_inputs(self, h_before: Tensor, kept: Tensor) -> list[RecurrentInput]:
        """Return h_{t−1} for the rows of f, and f ⊙ h_{t−1} for those of n."""
        size = h_before.shape[1]
        return [
            RecurrentInput(slice(None, size), h_before),
            RecurrentInput(slice(size, None), kept[:, 0] * h_before),
        ]

    @property
    def keeping_biases(self) -> Mapping[str, int]:
        """A closed gate keeps the old value."""
        return {"forget": -1}

    @property
    def native(self) -> NativeCell:
        """One kernel for all options."""
        return NativeCell("mgu")


def _product(block: int, h: Tensor, weights: Weights) -> Tensor:
    """W_hh h + b_hh of one block of rows."""
    bias = None if weights.bias_hh is None else weights.bias_hh.chunk(2)[block]
    return linear(h, weights.hh.chunk(2)[block], bias)


class MGU(Recurrent):
    r"""Minimal gated unit: a gated recurrent unit with one gate, which resets and updates.

    The equations of a step are::

        f   = σ(W_if x_t + b_if + W_hf h_{t−1} + b_hf)
        n   = tanh(W_in x_t + b_in + W_hn (f ⊙ h_{t−1}) + b_hn)
        h_t = (1 − f) ⊙ h_{t−1} + f ⊙ n

    It has two thirds of a GRU's parameters. Takes plain tensors and packed sequences as `torch.nn.GRU` does,
    and a `Ragged` of (T, input_size). ``layer.trace(x)`` gives every h and gate, ``layer.step(x_t, state)``
    runs a stream.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As in `torch.nn.GRU`; ``batch_first`` matters to plain tensors alone. Parameters are called as there;
        ``weight_ih_l{k}`` and ``weight_hh_l{k}`` have the rows of f, then those of n.
    clip
        Bound on what goes into the activations; None for none.
    activations
        Of f, and of n: names of `throughtime.nn.Activation`, or tuples of a name and its numbers.
    context_size
        C of a context s, one vector for each sequence: ``layer(x, state, context=s)`` adds W_s s to what
        every gate gets of the input, at every step and in every layer; 0 for none. Its weights are
        ``weight_context_l{k}``, (2·H, C).
    learn_initial_state
        Whether the state of a call that gives none is a parameter, ``initial_h`` (layers · directions, H),
        which begins as zeros.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : Tensor
        h after each sequence's own last step, (layers · directions, B, H).

    Raises
    ------
    ShapeError, InputTypeError
        If features, state, dtype or device do not fit; the message names both sides.

    References
    ----------
    .. [1] G.-B. Zhou, J. Wu, C.-L. Zhang and Z.-H. Zhou, "Minimal gated unit for recurrent neural networks",
       International Journal of Automation and Computing 13 (2016), arXiv:1603.09420, section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> output, h = tt.nn.MGU(3, 5)(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    """

    spec_class = MGUSpec
    spec: MGUSpec

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        batch_first: bool = False,  # noqa: FBT001, FBT002
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        clip: float | None = None,
        activations: Sequence[ActivationLike] = ("sigmoid", "tanh"),
        context_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None:
        spec = MGUSpec(
            activations_of(activations, MGUSpec.activation_roles, "MGU"), clip=bound_of(clip, "clip", "MGU")
        )
        super().__init__(
            spec,
            "GRU",
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            context_size=context_size,
            learn_initial_state=learn_initial_state,
            device=device,
            dtype=dtype,
        )
