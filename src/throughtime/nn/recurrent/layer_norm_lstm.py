"""`LayerNormLSTM`: long short-term memory with layer normalisation inside the cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from throughtime.errors import ShapeError
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
from throughtime.ops.recurrent.spec import CellSpec, NativeCell, State
from throughtime.ops.recurrent.weights import OwnParameter, Weights


@dataclass(frozen=True, eq=False)
class LayerNormLSTMSpec(CellSpec):
    """The cell of `LayerNormLSTM`, where the options are described.

    Activations are those of the gates, of the candidate g, and of the normalised c.
    """

    activations: tuple[Activation, ...] = (SIGMOID, TANH, TANH)
    eps: float = field(default=1e-5, kw_only=True)

    kind: ClassVar[str] = "LayerNormLSTM"
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    activation_roles: ClassVar[tuple[str, ...]] = ("the gates", "the candidate g", "c")
    stuck_gates: ClassVar[Mapping[tuple[str, str], str]] = {
        ("input", "closed"): "nothing new enters c",
        ("forget", "closed"): "c keeps nothing from step to step, so there is no memory in it",
        ("forget", "open"): "c forgets nothing, and may grow as long as sequences are",
        ("output", "closed"): "h shows nothing of c",
    }

    @property
    def row_blocks(self) -> tuple[str, ...]:
        """Torch's i f g o."""
        return ("input", "forget", "candidate", "output")

    @property
    def linear_names(self) -> tuple[str, ...]:
        """Both products before they are normalised, W_hh h_{t−1} and W_ih x_t, block by block."""
        return tuple(f"{product}_{gate}" for product in ("recurrent", "token") for gate in self.row_blocks)

    @property
    def recurrent_pre_activations(self) -> tuple[int, ...]:
        """W_hh h_{t−1} itself, which is not added to anything before it is normalised."""
        return tuple(range(self.gates, 2 * self.gates))

    @property
    def own_parameters(self) -> Mapping[str, OwnParameter]:
        """Gains of both products, gain and bias of c."""
        return {
            "weight_norm_ih": OwnParameter(self.gates, initial=1.0),
            "weight_norm_hh": OwnParameter(self.gates, initial=1.0),
            "weight_norm_c": OwnParameter(1, initial=1.0),
            "bias_norm_c": OwnParameter(1, initial=0.0),
        }

    def step(self, x: Tensor, state: State, weights: Weights, context: Tensor | None) -> tuple[State, Tensor]:
        """Compute i, f, g, o, c and h by the equations of `LayerNormLSTM`."""
        of_gates, of_candidate, of_c = self.activations
        from_x, from_h = linear(x, weights.ih), linear(state.h, weights.hh)
        total = self._normal_x(from_x, weights, context) + self._normal_h(from_h, weights)
        i, f, g, o = total.chunk(4, 1)
        i, f, o = (activated(of_gates, gate, self.clip) for gate in (i, f, o))
        g = activated(of_candidate, g, self.clip)
        c = f * state.c + i * g
        gain, bias = self.own_rows(weights)[-2:]
        h = o * activated(of_c, layer_norm(c, gain.shape, gain, bias, self.eps))
        if weights.hr is not None:
            h = linear(h, weights.hr)
        kept = torch.stack([i, f, g, o, *from_h.chunk(4, 1), *from_x.chunk(4, 1)], 1)
        return State(h, c), kept

    def from_token(self, x: Tensor, weights: Weights, context: Tensor | None) -> Tensor:
        """Return LN(W_ih x) + b_ih + context."""
        return self._normal_x(linear(x, weights.ih), weights, context)

    def pre_activations(
        self, from_x: Tensor, before: State, after: State, kept: Mapping[str, Tensor], weights: Weights
    ) -> dict[str, Tensor]:
        """Add the normalised products of h_{t−1}."""
        del before, after
        from_h = torch.cat([kept[f"recurrent_{gate}"] for gate in self.row_blocks], 1)
        total = from_x + self._normal_h(from_h, weights)
        return dict(zip(self.row_blocks, total.chunk(4, 1), strict=True))

    def _normal_x(self, from_x: Tensor, weights: Weights, context: Tensor | None) -> Tensor:
        gain = torch.cat(self.own_rows(weights)[:4])
        normal = layer_norm(from_x, gain.shape, gain, weights.bias_ih, self.eps)
        return normal if context is None else normal + context

    def _normal_h(self, from_h: Tensor, weights: Weights) -> Tensor:
        gain = torch.cat(self.own_rows(weights)[4:8])
        return layer_norm(from_h, gain.shape, gain, weights.bias_hh, self.eps)

    def along_c(self, gradient: Tensor, c_before: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        """Return f ⊙ ∂L/∂c_t."""
        del c_before
        return gradient * gates["forget"]

    @property
    def keeping_biases(self) -> Mapping[str, int]:
        """An open forget gate and a closed input gate keep c."""
        return {"input": -1, "forget": 1}

    @property
    def native(self) -> NativeCell:
        """One kernel for all options."""
        return NativeCell("layer_norm_lstm", {"epsilon": self.eps})


class LayerNormLSTM(Recurrent):
    r"""Long short-term memory with layer normalisation of both products and of c.

    The equations of a step are::

        (i, f, g, o) before activation = LN(W_ih x_t; γ_ih, b_ih) + LN(W_hh h_{t−1}; γ_hh, b_hh)
        i, f, o = σ(·), g = tanh(·)
        c_t = f ⊙ c_{t−1} + i ⊙ g
        h_t = o ⊙ tanh(LN(c_t; γ_c, b_c))
        LN(a; γ, b) = γ ⊙ (a − mean(a)) / √(var(a) + eps) + b

    With ``proj_size``, h_t = W_hr (o ⊙ …).

    As in the paper, mean and variance are those of all 4·H rows of a product at once; some libraries
    normalise each gate by itself, which is another function of the same weights. The paper's bias of the sum
    and the two of the normalisations add up, so there are torch's two here, ``bias_ih`` and ``bias_hh``.

    Takes what `torch.nn.LSTM` takes, and a `Ragged` of (T, input_size). ``layer.trace(x)`` gives every h, c
    and gate, and both products before normalisation (``recurrent_input`` …, ``token_input`` …);
    ``layer.step(x_t, state)`` runs a stream.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        As in `torch.nn.LSTM`; ``batch_first`` matters to plain tensors alone. Parameters are called and laid
        out as there; γ_ih and γ_hh are ``weight_norm_ih_l{k}`` and ``weight_norm_hh_l{k}``, (4·H,), γ_c and
        b_c are ``weight_norm_c_l{k}`` and ``bias_norm_c_l{k}``, (H,). Gains begin as ones, b_c as zeros.
    eps
        Added to the variance, as in `torch.nn.LayerNorm`.
    clip
        Bound on what goes into the activations of gates and of g; None for none.
    activations
        Of the gates, of g, and of the normalised c: names of `throughtime.nn.Activation`, or tuples of a name
        and its numbers.
    context_size
        C of a context s, one vector for each sequence: ``layer(x, state, context=s)`` adds W_s s to what goes
        into the activations, after the normalisation, at every step and in every layer; 0 for none. Its
        weights are ``weight_context_l{k}``, (4·H, C).
    learn_initial_state
        Whether the state of a call that gives none is a parameter, ``initial_h`` and ``initial_c``
        (layers · directions, H), which begins as zeros.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : tuple of Tensor
        (h, c) after each sequence's own last step, each (layers · directions, B, H).

    Raises
    ------
    ShapeError, InputTypeError
        If features, state, dtype or device do not fit; the message names both sides.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450 (2016),
       supplementary material, equations 20 to 22.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.LayerNormLSTM(3, 5)
    >>> output, (h, c) = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(c.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    """

    spec_class = LayerNormLSTMSpec
    spec: LayerNormLSTMSpec

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        batch_first: bool = False,  # noqa: FBT001, FBT002
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        eps: float = 1e-5,
        clip: float | None = None,
        activations: Sequence[ActivationLike] = ("sigmoid", "tanh", "tanh"),
        context_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None:
        if not 0 < eps < float("inf"):
            raise ShapeError(f"LayerNormLSTM: eps must be finite and above 0, got {eps}")
        spec = LayerNormLSTMSpec(
            activations_of(activations, LayerNormLSTMSpec.activation_roles, "LayerNormLSTM"),
            eps=float(eps),
            clip=bound_of(clip, "clip", "LayerNormLSTM"),
        )
        super().__init__(
            spec,
            "LSTM",
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            proj_size,
            context_size=context_size,
            learn_initial_state=learn_initial_state,
            device=device,
            dtype=dtype,
        )
