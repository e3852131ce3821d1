"""`GRU`: the gated recurrent unit, torch's and its relatives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import _VF, Tensor
from torch.nn.functional import linear

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
from throughtime.ops.recurrent.spec import (
    CellSpec,
    KerasLayout,
    NativeCell,
    OnnxLayout,
    RecurrentInput,
    State,
)
from throughtime.ops.recurrent.weights import Weights


@dataclass(frozen=True, eq=False)
class GRUSpec(CellSpec):
    """The cell of `GRU`, where the options are described; activations are those of r and z, and of n."""

    activations: tuple[Activation, ...] = (SIGMOID, TANH)
    reset_after: bool = field(default=True, kw_only=True)
    update: Literal["old", "new"] = field(default="old", kw_only=True)

    kind: ClassVar[str] = "GRU"
    activation_roles: ClassVar[tuple[str, ...]] = ("r and z", "the candidate n")
    stuck_gates: ClassVar[Mapping[tuple[str, str], str]] = {
        ("reset", "closed"): "candidates see nothing of the state before",
        ("update", "closed"): "z is stuck near 0",
        ("update", "open"): "z is stuck near 1",
    }

    @property
    def row_blocks(self) -> tuple[str, ...]:
        """Torch's r z n."""
        return ("reset", "update", "candidate")

    @property
    def linear_names(self) -> tuple[str, ...]:
        """W_hn h_{t−1} + b_hn, which the reset gate multiplies, unless it acts before that product."""
        return ("recurrent_candidate",) if self.reset_after else ()

    @property
    def recurrent_pre_activations(self) -> tuple[int, ...]:
        """The rows of n add to W_hn h_{t−1} + b_hn, where that is a value of its own."""
        return (0, 1, 3) if self.reset_after else (0, 1, 2)

    def step(self, x: Tensor, state: State, weights: Weights, context: Tensor | None) -> tuple[State, Tensor]:
        """Compute r, z, n and h by the equations of `GRU`."""
        of_gates, of_candidate = self.activations
        from_x, from_h = self._sums(x, state.h, weights, context)
        (x_r, x_z, x_n), (h_r, h_z, h_n) = from_x.chunk(3, 1), from_h.chunk(3, 1)
        r = activated(of_gates, x_r + h_r, self.clip)
        z = activated(of_gates, x_z + h_z, self.clip)
        if self.reset_after:
            n = activated(of_candidate, x_n + r * h_n, self.clip)
            kept = torch.stack([r, z, n, h_n], 1)
        else:
            n = activated(of_candidate, x_n + self._candidate_product(r * state.h, weights), self.clip)
            kept = torch.stack([r, z, n], 1)
        h = (1 - z) * state.h + z * n if self.update == "new" else (1 - z) * n + z * state.h
        return State(h, state.c), kept

    @staticmethod
    def _candidate_product(h: Tensor, weights: Weights) -> Tensor:
        """W_hn h + b_hn."""
        first = 2 * (weights.hh.shape[0] // 3)
        return linear(h, weights.hh[first:], None if weights.bias_hh is None else weights.bias_hh[first:])

    def pre_activations(
        self, from_x: Tensor, before: State, after: State, kept: Mapping[str, Tensor], weights: Weights
    ) -> dict[str, Tensor]:
        """Add the products of h_{t−1}, that of n times r or of r ⊙ h_{t−1}."""
        del after
        size = 2 * (weights.hh.shape[0] // 3)
        bias = None if weights.bias_hh is None else weights.bias_hh[:size]
        r, z = (from_x[:, :size] + linear(before.h, weights.hh[:size], bias)).chunk(2, 1)
        if self.reset_after:
            n = from_x[:, size:] + kept["reset"] * kept["recurrent_candidate"]
        else:
            n = from_x[:, size:] + self._candidate_product(kept["reset"] * before.h, weights)
        return {"reset": r, "update": z, "candidate": n}

    def recurrent_inputs(self, h_before: Tensor, kept: Tensor) -> list[RecurrentInput]:
        """With the reset gate before the product, the rows of n are multiplied with r ⊙ h_{t−1}."""
        if self.reset_after:
            return super().recurrent_inputs(h_before, kept)
        size = 2 * h_before.shape[1]
        return [
            RecurrentInput(slice(None, size), h_before),
            RecurrentInput(slice(size, None), kept[:, 0] * h_before),
        ]

    @property
    def keeping_biases(self) -> Mapping[str, int]:
        """An open update gate keeps the old value, or with ``update="new"`` replaces it."""
        return {"update": 1 if self.update == "old" else -1}

    @property
    def native(self) -> NativeCell:
        """The plain kernel has one set of activations and is the fastest."""
        general = "gru_general" if self.reset_after else "gru_before"
        return NativeCell(general if self.options() else "gru", {"update_new": self.update == "new"})

    @property
    def torch_function(self) -> Any:
        """Torch's fused GRU."""
        return None if self.options(bounds=True) else _VF.gru

    @property
    def onnx(self) -> OnnxLayout:
        """ONNX has the blocks z r h."""
        return OnnxLayout(
            "GRU",
            (1, 0, 2),
            (1, 0, 2),
            attribute_names=("linear_before_reset",),
            attributes={"linear_before_reset": int(self.reset_after)},
        )

    @classmethod
    def options_from_onnx(cls, attributes: Mapping[str, Any], *, own: bool) -> dict[str, Any]:
        """Read ``linear_before_reset``, whose default is 0."""
        del own
        return {"reset_after": bool(attributes.get("linear_before_reset", 0))}

    @property
    def keras(self) -> KerasLayout:
        """Keras has the blocks z r h."""
        return KerasLayout("GRU", (1, 0, 2), two_biases=self.reset_after)


class GRU(Recurrent):
    r"""Gated recurrent unit, by default with the equations of torch.

    There the reset gate acts after the product, and z keeps the old value::

        r, z = σ(W_i* x_t + b_i* + W_h* h_{t−1} + b_h*)
        n    = tanh(W_in x_t + b_in + r ⊙ (W_hn h_{t−1} + b_hn))
        h_t  = (1 − z) ⊙ n + z ⊙ h_{t−1}

    With ``reset_after=False``, n = tanh(W_in x_t + b_in + W_hn (r ⊙ h_{t−1}) + b_hn). With ``update="new"``,
    z admits the new value: h_t = (1 − z) ⊙ h_{t−1} + z ⊙ n. With a context s, every gate gets W_s s. So the
    GRU of Kiros et al. [2]_ is ``GRU(I, H, bias=False, reset_after=False, update="new", context_size=C)``.

    Takes what `torch.nn.GRU` takes, and a `Ragged` of (T, input_size). ``layer.trace(x)`` gives every h and
    gate, ``layer.step(x_t, state)`` runs a stream.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As in `torch.nn.GRU`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways.
    reset_after
        Whether the reset gate acts after the product, on W_hn h_{t−1} + b_hn (torch, cuDNN), or before it, on
        h_{t−1} (Cho et al. [1]_, Kiros et al.).
    update
        What z multiplies: the "old" value (torch, Keras, ONNX) or the "new" one (Kiros et al.). Negated rows
        of z in weights and biases turn one into the other.
    clip
        Bound on what goes into the activations; None for none.
    activations
        Of r and z, and of n: names of `throughtime.nn.Activation`, or tuples of a name and its
        numbers.
    context_size
        C of a context s, one vector for each sequence: ``layer(x, state, context=s)`` adds W_s s to what
        every gate gets of the input, at every step and in every layer; 0 for none. Its weights are
        ``weight_context_l{k}``, (3·H, C).
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
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", EMNLP (2014), equations 5 to 8.
    .. [2] R. Kiros et al., "Skip-thought vectors", NeurIPS (2015), equations 5 to 8.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> output, h = tt.nn.GRU(3, 5)(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    >>> decoder = tt.nn.GRU(3, 5, bias=False, reset_after=False, update="new", context_size=7)
    >>> words, sentence = tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]), torch.randn(2, 7)
    >>> decoder(words, context=sentence).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    spec_class = GRUSpec
    spec: GRUSpec

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
        reset_after: bool = True,
        update: Literal["old", "new"] = "old",
        clip: float | None = None,
        activations: Sequence[ActivationLike] = ("sigmoid", "tanh"),
        context_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None:
        if update not in {"old", "new"}:
            raise ShapeError(
                f"GRU: update is the value that z multiplies, 'old' (as in torch) or 'new', got {update!r}"
            )
        spec = GRUSpec(
            activations_of(activations, GRUSpec.activation_roles, "GRU"),
            reset_after=reset_after,
            update=update,
            clip=bound_of(clip, "clip", "GRU"),
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
