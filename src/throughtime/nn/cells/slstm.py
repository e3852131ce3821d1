"""`SLSTM` and `SLSTMCell`: long short-term memory with exponential gates."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear, logsigmoid

from throughtime.errors import ShapeError
from throughtime.nn.cells.layer import CellLayer
from throughtime.nn.cells.masks import Masks, kept, masked
from throughtime.nn.cells.parameters import add_parameters, checked_choice, set_uniform
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.recording import record


class SLSTMCell(Cell):
    r"""One step of `SLSTM`, where equations and options are described.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, num_heads, forget
        As in `SLSTM`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> recurrence = tt.nn.Recurrence(tt.nn.SLSTMCell(3, 5))
    >>> recurrence(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    state_names: tuple[str, ...] = ("h", "c", "n", "m")
    maskable: frozenset[str] = frozenset({"h", "candidate"})
    scaled_together: tuple[str, ...] = ("c", "n", "m")
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
        num_heads: int = 1,
        forget: Literal["sigmoid", "exp"] = "sigmoid",
    ) -> None:
        super().__init__(input_size, hidden_size)
        if num_heads < 1 or hidden_size % num_heads:
            raise ShapeError(f"SLSTM: num_heads must divide hidden_size {hidden_size}, got {num_heads}")
        self.forget = checked_choice(forget, ("sigmoid", "exp"), "forget", "SLSTM")
        rows, units = 4 * hidden_size, hidden_size // num_heads
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (num_heads, 4 * units, units),
            "bias_ih": (rows,) if bias else None,
        }
        add_parameters(self, shapes, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all parameters uniformly within ±1/√H."""
        set_uniform(self, self.hidden_size)

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return R by gate: the blocks of the heads on its diagonal."""
        heads = [head.chunk(4) for head in self.weight_hh]
        names = ("input", "forget", "candidate", "output")
        return {
            name: torch.block_diag(*blocks)
            for name, blocks in zip(names, zip(*heads, strict=True), strict=True)
        }

    def forward(
        self, state: tuple[Tensor, ...], x_t: Tensor, noise: Masks | None = None
    ) -> tuple[Tensor, ...]:
        """Return h, c, n and m of a step, of those before it (n, H) and x_t (n, I)."""
        h, c, n, m = state
        from_x = linear(x_t, self.weight_ih, self.bias_ih)
        i, f, z, o = (from_x + self._recurrent(masked(h, noise))).chunk(4, 1)
        log_f = (logsigmoid(f) if self.forget == "sigmoid" else f) + m
        m = torch.where(n == 0, i, torch.maximum(log_f, i))
        new = record("input", torch.exp(i - m))
        old = record("forget", torch.exp(torch.where(n == 0, 0.0, log_f - m)))
        c = record("c", old * c + new * kept(record("candidate", torch.tanh(z)), noise))
        n = record("n", old * n + new)
        return record("output", torch.sigmoid(o)) * c / n, c, n, m

    def _recurrent(self, h: Tensor) -> Tensor:
        """Return R h, gate by gate."""
        heads = [
            linear(part, block)
            for part, block in zip(h.chunk(len(self.weight_hh), 1), self.weight_hh, strict=True)
        ]
        if len(heads) == 1:
            return heads[0]
        gates = zip(*(head.chunk(4, 1) for head in heads), strict=True)
        return torch.cat([part for gate in gates for part in gate], 1)


class SLSTM(CellLayer):
    r"""sLSTM of xLSTM: an LSTM with an exponential input gate, normalised, in one or several heads.

    .. code-block:: text

        (ĩ, f̃, z̃, õ) = W x_t + R h_{t−1} + b
        m_t = max(log f_t + m_{t−1}, ĩ)                      stabiliser
        i'  = exp(ĩ − m_t),  f' = exp(log f_t + m_{t−1} − m_t)
        c_t = f' ⊙ c_{t−1} + i' ⊙ tanh(z̃)
        n_t = f' ⊙ n_{t−1} + i'                              normaliser
        h_t = σ(õ) ⊙ c_t / n_t
        log f_t = log σ(f̃), or f̃ with an exponential forget gate

    c_t and n_t are scaled by exp(−m_t), which cancels in h_t and prevents overflow; n_t is at
    least 1. In the initial state c, n and m are zeros; where n_{t−1} = 0, m_t is ĩ, as if m_{t−1} were −∞.

    R is block-diagonal with one block per head: a unit reads h of its own head only.

    The parameters of a cell are ``weight_ih`` (4·H, I), ``weight_hh`` (heads, 4·H / heads, H / heads), and
    ``bias_ih`` (4·H,). Row blocks are i, f, z, o; in ``weight_hh`` those of a head, in the others those of
    all units.

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
    num_heads
        Number of blocks of R; a divisor of H.
    forget : "sigmoid" or "exp"
        Activation of the forget gate.

    Returns
    -------
    output
        (T, directions · H), h of every step, of the same kind as the input.
    h, c, n, m : tuple of Tensor
        Each (layers · directions, B, H): h, c, n and m of each sequence after its last step.

    Raises
    ------
    ShapeError, InputTypeError
        If num_heads does not divide hidden_size, or the input or the state does not fit.

    References
    ----------
    .. [1] M. Beck, K. Pöppel, M. Spanring, A. Auer, O. Prudnikova, M. Kopp, G. Klambauer, J. Brandstetter and
       S. Hochreiter, "xLSTM: extended long short-term memory", NeurIPS (2024), equations 8 to 17.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.SLSTM(3, 5)
    >>> output, (h, c, n, m) = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
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
        num_heads: int = 1,
        forget: Literal["sigmoid", "exp"] = "sigmoid",
    ) -> None:
        def cell(features: int) -> SLSTMCell:
            return SLSTMCell(
                features,
                hidden_size,
                bias=bias,
                device=device,
                dtype=dtype,
                num_heads=num_heads,
                forget=forget,
            )

        sizes, flags = (input_size, hidden_size, num_layers), (bias, batch_first, bidirectional)
        super().__init__(cell, sizes, flags, dropout)
        self.num_heads = num_heads
        self.forget = forget

    def describe(self) -> Stateful | WholeSequence:
        """Describe the layer: stateful, or if bidirectional, one that needs whole sequences."""
        return self._description()

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {"num_heads": (self.num_heads, 1), "forget": (self.forget, "sigmoid")}
