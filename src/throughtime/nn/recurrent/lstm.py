"""`LSTM`: long short-term memory, torch's and its relatives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import _VF, Tensor, nn
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
from throughtime.ops.recurrent.spec import CellSpec, KerasLayout, NativeCell, OnnxLayout, State
from throughtime.ops.recurrent.weights import OwnParameter, Weights


@dataclass(frozen=True, eq=False)
class LSTMSpec(CellSpec):
    """The cell of `LSTM`, where the options are described.

    Activations are those of the gates, of the candidate g, and of c. Peephole weights are those of i, f and
    o, of coupled gates those of i and o.
    """

    activations: tuple[Activation, ...] = (SIGMOID, TANH, TANH)
    peephole: bool = field(default=False, kw_only=True)
    coupled: bool = field(default=False, kw_only=True)
    cell_clip: float = field(default=math.inf, kw_only=True)

    kind: ClassVar[str] = "LSTM"
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
        """Torch's i f g o; a coupled forget gate has no rows."""
        return tuple(gate for gate in self.gate_names if not (self.coupled and gate == "forget"))

    @property
    def gate_names(self) -> tuple[str, ...]:
        """The values of i f g o, f also where it is 1 − i."""
        return ("input", "forget", "candidate", "output")

    @property
    def own_parameters(self) -> Mapping[str, OwnParameter]:
        """Peepholes."""
        return {"weight_peephole": OwnParameter(len(self._peephole_gates))} if self.peephole else {}

    @property
    def _peephole_gates(self) -> tuple[str, ...]:
        return ("input", "output") if self.coupled else ("input", "forget", "output")

    def step(self, x: Tensor, state: State, weights: Weights, context: Tensor | None) -> tuple[State, Tensor]:
        """Compute i, f, g, c, o and h by the equations of `LSTM`."""
        of_gates, of_candidate, of_c = self.activations
        sums = torch.add(*self._sums(x, state.h, weights, context)).chunk(self.gates, 1)
        before = dict(zip(self.row_blocks, sums, strict=True))
        peepholes = self._peepholes(weights)
        for gate in ("input", "forget"):
            if gate in peepholes:
                before[gate] = before[gate] + peepholes[gate] * state.c
        i = activated(of_gates, before["input"], self.clip)
        f = 1 - i if self.coupled else activated(of_gates, before["forget"], self.clip)
        g = activated(of_candidate, before["candidate"], self.clip)
        c = f * state.c + i * g
        if self.cell_clip < math.inf:
            c = c.clamp(-self.cell_clip, self.cell_clip)
        if "output" in peepholes:
            before["output"] = before["output"] + peepholes["output"] * c
        o = activated(of_gates, before["output"], self.clip)
        h = o * activated(of_c, c)
        if weights.hr is not None:
            h = linear(h, weights.hr)
        return State(h, c), torch.stack([i, f, g, o], 1)

    def pre_activations(
        self, from_x: Tensor, before: State, after: State, kept: Mapping[str, Tensor], weights: Weights
    ) -> dict[str, Tensor]:
        """Add the products of h_{t−1}, and what the peepholes see of c."""
        del kept
        sums = (from_x + linear(before.h, weights.hh, weights.bias_hh)).chunk(self.gates, 1)
        values = dict(zip(self.row_blocks, sums, strict=True))
        for gate, peephole in self._peepholes(weights).items():
            values[gate] = values[gate] + peephole * (after.c if gate == "output" else before.c)
        return values

    def _peepholes(self, weights: Weights) -> dict[str, Tensor]:
        return dict(zip(self._peephole_gates, self.own_rows(weights), strict=False))

    def along_c(self, gradient: Tensor, c_before: Tensor, gates: Mapping[str, Tensor]) -> Tensor:
        """Return f ⊙ ∂L/∂c_t, zero where the bound on c acted."""
        if self.cell_clip < math.inf:
            unbounded = gates["forget"] * c_before + gates["input"] * gates["candidate"]
            gradient = torch.where(unbounded.abs() > self.cell_clip, torch.zeros_like(gradient), gradient)
        return gradient * gates["forget"]

    @property
    def keeping_biases(self) -> Mapping[str, int]:
        """An open forget gate and a closed input gate keep c."""
        return {"input": -1} if self.coupled else {"input": -1, "forget": 1}

    @property
    def native(self) -> NativeCell:
        """The plain kernel has one set of activations and is the fastest."""
        general = "lstm_coupled" if self.coupled else "lstm_general"
        return NativeCell(general if self.options() else "lstm", {"cell_clip": self.cell_clip})

    @property
    def torch_function(self) -> Any:
        """Torch's fused LSTM."""
        return None if self.options(bounds=True) else _VF.lstm

    def returns_autocast_dtype(self, *, fused: bool) -> bool:
        """Torch runs a dense LSTM as one operation, in the autocast dtype."""
        return fused

    @property
    def onnx(self) -> OnnxLayout:
        """ONNX has the blocks i o f c and peepholes i o f; coupled gates are ``input_forget``."""
        names = ("input_forget",)
        if self.coupled:
            blocks = {"to_onnx": (0, 2, -1, 1), "from_onnx": (0, 3, 1)}
            own = {"own_to_onnx": (0, 1, -1), "own_from_onnx": (0, 1)}
            return OnnxLayout("LSTM", **blocks, **own, attribute_names=names, attributes={"input_forget": 1})
        return OnnxLayout("LSTM", (0, 3, 1, 2), (0, 2, 3, 1), (0, 2, 1), (0, 2, 1), names)

    @classmethod
    def options_from_onnx(cls, attributes: Mapping[str, Any], *, own: bool) -> dict[str, Any]:
        """Read ``input_forget``, and whether there are peepholes."""
        return {"peephole": own, "coupled": bool(attributes.get("input_forget", 0))}

    @property
    def keras(self) -> KerasLayout:
        """Keras's i f c o is the order here."""
        return KerasLayout("LSTM", (0, 1, 2, 3))


class LSTM(Recurrent):
    r"""Long short-term memory, gates in torch's order i, f, g, o.

    The equations of a step are::

        i, f, o = σ(W_i* x_t + b_i* + W_h* h_{t−1} + b_h*)
        g       = tanh(W_ig x_t + b_ig + W_hg h_{t−1} + b_hg)
        c_t     = f ⊙ c_{t−1} + i ⊙ g
        h_t     = o ⊙ tanh(c_t)

    With ``proj_size``, h_t = W_hr (o ⊙ tanh(c_t)).

    With ``peephole``, i and f also get p_i ⊙ c_{t−1} and p_f ⊙ c_{t−1} before their activation, and o gets
    p_o ⊙ c_t. With ``coupled``, f = 1 − i. With ``cell_clip``, c_t is bounded before o and h_t see it.

    Takes what `torch.nn.LSTM` takes, and a `Ragged` of (T, input_size). ``layer.trace(x)`` gives every h, c
    and gate, ``layer.step(x_t, state)`` runs a stream.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        As in `torch.nn.LSTM`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways.
    peephole
        If True, gates also read c [2]_; the parameters ``weight_peephole_l{k}``, (3·H,), are p_i, p_f, p_o.
    coupled
        If True, f = 1 − i [3]_: weights and biases have three blocks of H rows, i, g, o, and a peephole
        two, i, o.
    clip, cell_clip
        Bounds on what goes into the activations of gates and of g, and on c_t; None for none.
    activations
        Of the gates, of g, and of c_t: names of `throughtime.nn.Activation`, or tuples of a name
        and its numbers, such as ``("hard_sigmoid", 0.2, 0.5)``.
    context_size
        C of a context s, one vector for each sequence: ``layer(x, state, context=s)`` adds W_s s to what
        every gate gets of the input, at every step and in every layer; 0 for none. Its weights are
        ``weight_context_l{k}``, (4·H, C).
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
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997); with
       the forget gate of F. Gers et al., Neural Computation 12 (2000).
    .. [2] F. Gers, N. Schraudolph and J. Schmidhuber, "Learning precise timing with LSTM recurrent networks",
       Journal of Machine Learning Research 3 (2002).
    .. [3] K. Greff et al., "LSTM: a search space odyssey", IEEE Transactions on Neural Networks and Learning
       Systems 28 (2017), section III.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 3), tt.nn.LSTM(3, 5, bidirectional=True), nn.Linear(10, 2))
    >>> model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    Ragged(lengths=[3, 1], features=(2,), dtype=float32, requires_grad=True)
    """

    spec_class = LSTMSpec
    spec: LSTMSpec

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
        peephole: bool = False,
        coupled: bool = False,
        clip: float | None = None,
        cell_clip: float | None = None,
        activations: Sequence[ActivationLike] = ("sigmoid", "tanh", "tanh"),
        context_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None:
        spec = LSTMSpec(
            activations_of(activations, LSTMSpec.activation_roles, "LSTM"),
            peephole=peephole,
            coupled=coupled,
            clip=bound_of(clip, "clip", "LSTM"),
            cell_clip=bound_of(cell_clip, "cell_clip", "LSTM"),
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

    # Torch's own, for code that asks a layer about the sizes of a pair.
    get_expected_cell_size = nn.LSTM.get_expected_cell_size
    check_forward_args = nn.LSTM.check_forward_args  # type: ignore[assignment]
    permute_hidden = nn.LSTM.permute_hidden  # type: ignore[assignment]
