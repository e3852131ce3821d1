"""`LiGRU` and `LiGRUCell`: light gated recurrent units."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, relu

from throughtime.nn.cells.layer import CellLayer
from throughtime.nn.cells.masks import Masks, kept, masked
from throughtime.nn.cells.normalization import normalization_of, normalized
from throughtime.nn.cells.parameters import add_parameters, checked_choice, set_uniform
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.recording import record

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "tanh": torch.tanh}


class LiGRUCell(Cell):
    r"""One step of `LiGRU`, where equations and options are described.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, normalization, activation
        As in `LiGRU`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> recurrence = tt.nn.Recurrence(tt.nn.LiGRUCell(3, 5))
    >>> recurrence(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    maskable: frozenset[str] = frozenset({"h", "candidate"})
    stuck_gates = MappingProxyType(
        {
            ("update", "closed"): "h is replaced at every step, and keeps nothing",
            ("update", "open"): "h stays what it is, and nothing new enters it",
        }
    )
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        normalization: Literal["batch", "layer"] | None = "batch",
        activation: Literal["relu", "tanh"] = "relu",
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.activation = checked_choice(activation, ("relu", "tanh"), "activation", "LiGRU")
        rows = 2 * hidden_size
        self.norm = normalization_of(
            normalization, rows, bias=bias, layer="LiGRU", device=device, dtype=dtype
        )
        bias_shape = (rows,) if bias and self.norm is None else None
        shapes = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size), "bias_ih": bias_shape}
        add_parameters(self, shapes, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weights uniformly within ±1/√H, the recurrent ones to orthogonal matrices, and reset N."""
        set_uniform(self, self.hidden_size)
        with torch.no_grad():
            for block in self.weight_hh.chunk(2):
                nn.init.orthogonal_(block)
        if self.norm is not None:
            self.norm.reset_parameters()  # type: ignore[operator]

    def prepare(self, tokens: Tensor) -> Tensor:
        """Return N(W x) of all tokens (T, I) at once."""
        product = linear(tokens, self.weight_ih, self.bias_ih)
        return product if self.norm is None else normalized(product, self.norm)

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return the blocks of ``weight_hh`` by gate."""
        return dict(zip(("update", "candidate"), self.weight_hh.chunk(2), strict=True))

    def forward(self, state: Tensor, x_t: Tensor, noise: Masks | None = None) -> Tensor:
        """Return h_t of h_{t−1} (n, H) and prepared tokens (n, 2·H)."""
        z, candidate = (x_t + linear(masked(state, noise), self.weight_hh)).chunk(2, 1)
        z = record("update", torch.sigmoid(z))
        candidate = record("candidate", _ACTIVATIONS[self.activation](candidate))
        return z * state + (1 - z) * kept(candidate, noise)


class LiGRU(CellLayer):
    r"""Light gated recurrent unit: no reset gate, a ReLU candidate, and normalised products of the input.

    .. code-block:: text

        z_t  = σ(N(W_z x_t) + U_z h_{t−1})
        h̃_t = φ(N(W_h x_t) + U_h h_{t−1})
        h_t  = z_t ⊙ h_{t−1} + (1 − z_t) ⊙ h̃_t

    N is batch normalisation, whose mean and variance are those of all tokens of the batch, without padding,
    in training, and running averages in evaluation; or layer normalisation of all 2·H rows. Its β is the
    bias. A ReLU candidate is unbounded; batch normalisation limits its magnitude [1]_.

    The parameters of a cell are ``weight_ih`` (2·H, I) and ``weight_hh`` (2·H, H), in row blocks z, h̃, and
    those of ``norm``; without normalisation ``bias_ih`` (2·H,). Each block of ``weight_hh`` is
    initialised to an orthogonal matrix.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers
        Number of stacked layers.
    bias
        Whether the biases b are present.
    batch_first
        Whether plain tensors are (B, L, I) and not (L, B, I).
    dropout
        Probability of dropout on the output of each layer but the last, in training.
    bidirectional
        Whether a second recurrence runs backward; both outputs are concatenated.
    device, dtype
        Of the parameters. They belong to the cells ``recurrences.l0.f``, ``recurrences.l0_reverse.f``, …
    normalization : "batch", "layer" or None
        N; None for W x_t + b as it is.
    activation : "relu" or "tanh"
        φ.

    Returns
    -------
    output
        (T, directions · H), h of every step, of the same kind as the input.
    h : Tensor
        (layers · directions, B, H): h of each sequence after its last step.

    Raises
    ------
    ShapeError, InputTypeError
        If an option is not one of those listed, or the input or the state does not fit.

    References
    ----------
    .. [1] M. Ravanelli, P. Brakel, M. Omologo and Y. Bengio, "Light gated recurrent units for speech
       recognition", IEEE Transactions on Emerging Topics in Computational Intelligence 2 (2018), section III.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.LiGRU(3, 5)
    >>> output, h = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    """

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
        normalization: Literal["batch", "layer"] | None = "batch",
        activation: Literal["relu", "tanh"] = "relu",
    ) -> None:
        def cell(features: int) -> LiGRUCell:
            return LiGRUCell(
                features,
                hidden_size,
                bias=bias,
                device=device,
                dtype=dtype,
                normalization=normalization,
                activation=activation,
            )

        sizes, flags = (input_size, hidden_size, num_layers), (bias, batch_first, bidirectional)
        super().__init__(cell, sizes, flags, dropout)
        self.normalization = normalization
        self.activation = activation

    def describe(self) -> Stateful | WholeSequence:
        """Describe the layer: stateful, or if bidirectional, one that needs whole sequences."""
        return self._description()

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {"normalization": (self.normalization, "batch"), "activation": (self.activation, "relu")}
