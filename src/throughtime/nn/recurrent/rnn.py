"""`RNN`: the Elman RNN."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import _VF, Tensor
from torch.nn.functional import linear

from throughtime.nn.recurrent.layer import Recurrent
from throughtime.ops.recurrent.activations import (
    RELU,
    TANH,
    Activation,
    ActivationLike,
    activated,
    activations_of,
)
from throughtime.ops.recurrent.bounds import bound_of
from throughtime.ops.recurrent.spec import CellSpec, KerasLayout, NativeCell, OnnxLayout, State
from throughtime.ops.recurrent.weights import Weights


@dataclass(frozen=True, eq=False)
class RNNSpec(CellSpec):
    """The cell of `RNN`: one activation, that of h."""

    activations: tuple[Activation, ...] = (TANH,)

    kind: ClassVar[str] = "RNN"
    activation_roles: ClassVar[tuple[str, ...]] = ("h",)

    @property
    def row_blocks(self) -> tuple[str, ...]:
        """One block, of h itself."""
        return ("h",)

    @property
    def gate_names(self) -> tuple[str, ...]:
        """There are no gates: h is all that a step makes."""
        return ()

    def step(self, x: Tensor, state: State, weights: Weights, context: Tensor | None) -> tuple[State, Tensor]:
        """Compute h by the equation of `RNN`."""
        h = activated(self.activations[0], torch.add(*self._sums(x, state.h, weights, context)), self.clip)
        return State(h, state.c), h.new_zeros(h.shape[0], 0, h.shape[1])

    def pre_activations(
        self, from_x: Tensor, before: State, after: State, kept: Mapping[str, Tensor], weights: Weights
    ) -> dict[str, Tensor]:
        """Add the product of h_{t−1}."""
        del after, kept
        return {"h": from_x + linear(before.h, weights.hh, weights.bias_hh)}

    @property
    def native(self) -> NativeCell:
        """The kernels for tanh and relu are faster than the general one."""
        plain = {TANH: "rnn_tanh", RELU: "rnn_relu"}.get(self.activations[0])
        return NativeCell(plain if plain and not self.options().keys() - {"activations"} else "rnn_general")

    @property
    def torch_function(self) -> Any:
        """Torch's fused RNN with tanh or relu."""
        if self.options(bounds=True).keys() - {"activations"}:
            return None
        return {TANH: _VF.rnn_tanh, RELU: _VF.rnn_relu}.get(self.activations[0])

    def returns_autocast_dtype(self, *, fused: bool) -> bool:
        """Torch's RNN ends in a product, which autocast runs in its dtype."""
        del fused
        return True

    @property
    def onnx(self) -> OnnxLayout:
        """One block."""
        return OnnxLayout("RNN", (0,), (0,))

    @property
    def keras(self) -> KerasLayout:
        """One block."""
        return KerasLayout("SimpleRNN", (0,))

    def layer_options(self) -> dict[str, Any]:
        """Return the activation as ``nonlinearity``, which torch calls it."""
        options = super().layer_options()
        if "activations" in options:
            (options["nonlinearity"],) = options.pop("activations")
        return options


class RNN(Recurrent):
    r"""Elman RNN: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), or another activation in place of tanh.

    Takes what `torch.nn.RNN` takes, and a `Ragged` of (T, input_size): every sequence then starts from
    its own initial state and ends with its own last one; nothing is padded, packed or sorted by you.
    ``layer.trace(x)`` gives the states of every layer and step, ``layer.step(x_t, state)`` runs a stream.

    Parameters
    ----------
    input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional
        As in `torch.nn.RNN`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways. The nonlinearity may be any `throughtime.nn.Activation`:
        a name, or a tuple of a name and its numbers.
    clip
        Bound on what goes into the activation; None for none.
    context_size
        C of a context s, one vector for each sequence: ``layer(x, state, context=s)`` adds W_s s to what
        every gate gets of the input, at every step and in every layer; 0 for none. Its weights are
        ``weight_context_l{k}``, (H, C).
    learn_initial_state
        Whether the state of a call that gives none is a parameter, ``initial_h`` (layers · directions, H),
        which begins as zeros.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : Tensor
        h after each sequence's last step, (layers · directions, B, H); of an empty one, its first.

    Raises
    ------
    ShapeError, InputTypeError
        If features, state, dtype or device do not fit; the message names both sides.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.RNN(3, 5)
    >>> output, h = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(0, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 0, 2], features=(5,), dtype=float32, requires_grad=True), (1, 3, 5))
    """

    spec_class = RNNSpec
    spec: RNNSpec

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: ActivationLike = "tanh",
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        batch_first: bool = False,  # noqa: FBT001, FBT002
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        clip: float | None = None,
        context_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None:
        self.nonlinearity = nonlinearity
        spec = RNNSpec(
            activations_of([nonlinearity], RNNSpec.activation_roles, "RNN"),
            clip=bound_of(clip, "clip", "RNN"),
        )
        super().__init__(
            spec,
            "RNN_RELU" if nonlinearity == "relu" else "RNN_TANH",
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            context_size=context_size,
            learn_initial_state=learn_initial_state,
            device=device,
            dtype=dtype,
        )
