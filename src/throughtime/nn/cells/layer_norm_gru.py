"""`LayerNormGRU` and `LayerNormGRUCell`: gated recurrent units with layer normalisation inside the cell."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from throughtime.errors import ShapeError
from throughtime.nn.cells.layer import CellLayer
from throughtime.nn.cells.masks import Masks, kept, masked
from throughtime.nn.cells.parameters import add_parameters, set_uniform
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.recording import record
from throughtime.nn.recurrent.gru import GRUSpec


class LayerNormGRUCell(Cell):
    r"""One step of `LayerNormGRU`, where equations and options are described.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, separate, eps
        As in `LayerNormGRU`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> recurrence = tt.nn.Recurrence(tt.nn.LayerNormGRUCell(3, 5))
    >>> recurrence(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    maskable: frozenset[str] = frozenset({"h", "candidate"})
    stuck_gates = GRUSpec.stuck_gates
    weight_ih: Tensor
    weight_hh: Tensor
    weight_norm_ih: Tensor
    weight_norm_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        separate: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not 0 < eps < float("inf"):
            raise ShapeError(f"LayerNormGRU: eps must be finite and above 0, got {eps}")
        self.eps, rows = eps, 3 * hidden_size
        self.blocks = [2 * hidden_size, hidden_size] if separate else [rows]
        add_parameters(
            self,
            {
                "weight_ih": (rows, input_size),
                "weight_hh": (rows, hidden_size),
                "weight_norm_ih": (rows,),
                "weight_norm_hh": (rows,),
                "bias_ih": (rows,) if bias else None,
                "bias_hh": (rows,) if bias else None,
            },
            device,
            dtype,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set weights and biases uniformly within ±1/√H, gains to one."""
        set_uniform(self, self.hidden_size)
        nn.init.ones_(self.weight_norm_ih)
        nn.init.ones_(self.weight_norm_hh)

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return the blocks of ``weight_hh`` by gate, whose products are normalised."""
        return dict(zip(("reset", "update", "candidate"), self.weight_hh.chunk(3), strict=True))

    def forward(self, state: Tensor, x_t: Tensor, noise: Masks | None = None) -> Tensor:
        """Return h_t of h_{t−1} (n, H) and x_t (n, I)."""
        from_x = self._normalized(linear(x_t, self.weight_ih), self.weight_norm_ih, self.bias_ih)
        recurrent = linear(masked(state, noise), self.weight_hh)
        from_h = self._normalized(recurrent, self.weight_norm_hh, self.bias_hh)
        (r_x, z_x, n_x), (r_h, z_h, n_h) = from_x.chunk(3, 1), from_h.chunk(3, 1)
        r, z = record("reset", torch.sigmoid(r_x + r_h)), record("update", torch.sigmoid(z_x + z_h))
        n = kept(record("candidate", torch.tanh(n_x + r * n_h)), noise)
        return (1 - z) * n + z * state

    def _normalized(self, product: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
        parts = [layer_norm(part, part.shape[1:], eps=self.eps) for part in product.split(self.blocks, 1)]
        normal = gain * (parts[0] if len(parts) == 1 else torch.cat(parts, 1))
        return normal if bias is None else normal + bias


class LayerNormGRU(CellLayer):
    r"""Gated recurrent unit with layer normalisation of both products.

    .. code-block:: text

        (r, z, n)_x = LN(W_ih x_t; γ_ih, b_ih),  (r, z, n)_h = LN(W_hh h_{t−1}; γ_hh, b_hh)
        r = σ(r_x + r_h), z = σ(z_x + z_h)
        n = tanh(n_x + r ⊙ n_h)
        h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}
        LN(a; γ, b) = γ ⊙ (a − mean(a)) / √(var(a) + eps) + b

    Mean and variance are computed over the 2·H rows of r and z together and over the H rows of n separately,
    as in [1]_, where z is the weight of the new value, 1 − z here. With ``separate=False`` they are computed
    over all 3·H rows of a product, as in haste's layer of this name and in `LayerNormLSTM`; this is a
    different function of the same weights.

    The parameters of a cell are ``weight_ih`` (3·H, I), ``weight_hh`` (3·H, H), ``weight_norm_ih`` and
    ``weight_norm_hh``, γ, (3·H,), initialised to ones, ``bias_ih`` and ``bias_hh`` (3·H,), in row blocks r,
    z, n.

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
    separate
        Whether n is normalised separately from r and z.
    eps
        Added to the variance, as in `torch.nn.LayerNorm`.

    Returns
    -------
    output
        (T, directions · H), h of every step, of the same kind as the input.
    h : Tensor
        (layers · directions, B, H): h of each sequence after its last step.

    Raises
    ------
    ShapeError, InputTypeError
        If eps is not above 0, or the input or the state does not fit.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", arXiv:1607.06450 (2016),
       supplementary material, the GRU of skip-thought vectors.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.LayerNormGRU(3, 5)
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
        separate: bool = True,
        eps: float = 1e-5,
    ) -> None:
        def cell(features: int) -> LayerNormGRUCell:
            return LayerNormGRUCell(
                features, hidden_size, bias=bias, device=device, dtype=dtype, separate=separate, eps=eps
            )

        sizes, flags = (input_size, hidden_size, num_layers), (bias, batch_first, bidirectional)
        super().__init__(cell, sizes, flags, dropout)
        self.separate = separate
        self.eps = eps

    def describe(self) -> Stateful | WholeSequence:
        """Describe the layer: stateful, or if bidirectional, one that needs whole sequences."""
        return self._description()

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {"separate": (self.separate, True), "eps": (self.eps, 1e-5)}
