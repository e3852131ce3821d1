"""`MultiplicativeLSTM` and `MultiplicativeLSTMCell`: an LSTM whose recurrent matrix depends on the input."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.nn.cells.layer import CellLayer
from throughtime.nn.cells.masks import Masks, kept, masked
from throughtime.nn.cells.parameters import add_parameters, set_uniform
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.recording import record
from throughtime.nn.recurrent.lstm import LSTMSpec


class MultiplicativeLSTMCell(Cell):
    r"""One step of `MultiplicativeLSTM`, where equations and options are described.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype
        As in `MultiplicativeLSTM`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> recurrence = tt.nn.Recurrence(tt.nn.MultiplicativeLSTMCell(3, 5))
    >>> recurrence(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    state_names: tuple[str, ...] = ("h", "c")
    maskable: frozenset[str] = frozenset({"h", "candidate"})
    stuck_gates = LSTMSpec.stuck_gates
    weight_ih: Tensor
    weight_mx: Tensor
    weight_hh: Tensor
    weight_mh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size)
        rows = 4 * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_mx": (hidden_size, input_size),
            "weight_hh": (hidden_size, hidden_size),
            "weight_mh": (rows, hidden_size),
            "bias_ih": (rows,) if bias else None,
        }
        add_parameters(self, shapes, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all parameters uniformly within ±1/√H."""
        set_uniform(self, self.hidden_size)

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return W_mh, the factor of h in m."""
        return {"intermediate": self.weight_hh}

    def forward(
        self, state: tuple[Tensor, Tensor], x_t: Tensor, noise: Masks | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return h_t and c_t of h_{t−1} and c_{t−1} (n, H) and x_t (n, I)."""
        h, c = state
        m = linear(x_t, self.weight_mx) * linear(masked(h, noise), self.weight_hh)
        total = linear(x_t, self.weight_ih, self.bias_ih) + linear(m, self.weight_mh)
        i, f, g, o = total.chunk(4, 1)
        i, f = record("input", torch.sigmoid(i)), record("forget", torch.sigmoid(f))
        c = record("c", f * c + i * kept(record("candidate", torch.tanh(g)), noise))
        return record("output", torch.sigmoid(o)) * torch.tanh(c), c


class MultiplicativeLSTM(CellLayer):
    r"""Multiplicative LSTM: the recurrent matrix W_m* diag(W_mx x_t) W_mh depends on the input.

    .. code-block:: text

        m_t     = (W_mx x_t) ⊙ (W_mh h_{t−1})
        i, f, o = σ(W_i* x_t + W_m* m_t + b)
        g       = tanh(W_ig x_t + W_mg m_t + b)
        c_t     = f ⊙ c_{t−1} + i ⊙ g
        h_t     = o ⊙ tanh(c_t)

    The parameters of a cell are ``weight_ih`` (4·H, I) and ``weight_mh`` (4·H, H), for W_i* and W_m* in row
    blocks i, f, g, o as in torch, ``weight_mx`` (H, I), ``weight_hh`` (H, H), which is W_mh, and ``bias_ih``
    (4·H,).

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

    Returns
    -------
    output
        (T, directions · H), h of every step, of the same kind as the input.
    h, c : tuple of Tensor
        Each (layers · directions, B, H): h and c of each sequence after its last step.

    Raises
    ------
    ShapeError, InputTypeError
        If the input or the state does not fit.

    References
    ----------
    .. [1] B. Krause, L. Lu, I. Murray and S. Renals, "Multiplicative LSTM for sequence modelling",
       arXiv:1609.07959 (2016), section 3; with h_t = o ⊙ tanh(c_t), as in A. Radford, R. Jozefowicz and
       I. Sutskever, "Learning to generate reviews and discovering sentiment", arXiv:1704.01444 (2017).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.MultiplicativeLSTM(3, 5)
    >>> output, (h, c) = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
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
    ) -> None:
        def cell(features: int) -> MultiplicativeLSTMCell:
            return MultiplicativeLSTMCell(features, hidden_size, bias=bias, device=device, dtype=dtype)

        sizes, flags = (input_size, hidden_size, num_layers), (bias, batch_first, bidirectional)
        super().__init__(cell, sizes, flags, dropout)

    def describe(self) -> Stateful | WholeSequence:
        """Describe the layer: stateful, or if bidirectional, one that needs whole sequences."""
        return self._description()
