"""`PeepholeSRU` and `PeepholeSRUCell`: simple recurrent units whose gates see their own state."""

from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from throughtime.nn.cells.layer import CellLayer
from throughtime.nn.cells.masks import Masks, kept, masked
from throughtime.nn.cells.parameters import add_parameters, set_uniform
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.recording import record


class PeepholeSRUCell(Cell):
    r"""One step of `PeepholeSRU`, where equations and options are described.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype
        As in `PeepholeSRU`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> recurrence = tt.nn.Recurrence(tt.nn.PeepholeSRUCell(3, 5))
    >>> recurrence(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    state_names: tuple[str, ...] = ("h", "c")
    maskable: frozenset[str] = frozenset({"h", "candidate"})
    stuck_gates = MappingProxyType(
        {
            ("forget", "closed"): "c keeps nothing from step to step, so there is no memory in it",
            ("forget", "open"): "c stays what it is, and nothing new enters it",
            ("reset", "closed"): "h shows nothing of c",
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
    ) -> None:
        super().__init__(input_size, hidden_size)
        rows = (3 if input_size == hidden_size else 4) * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (2, hidden_size),
            "bias_ih": (rows,) if bias else None,
        }
        add_parameters(self, shapes, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the matrix and the biases uniformly within ±1/√I, and v within ±1/√H."""
        set_uniform(self, self.input_size)
        bound = self.hidden_size**-0.5
        nn.init.uniform_(self.weight_hh, -bound, bound)

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return diag(v_f) and diag(v_r), the factors of c."""
        return {name: torch.diag(v) for name, v in zip(("forget", "reset"), self.weight_hh, strict=True)}

    def forward(
        self, state: tuple[Tensor, Tensor], x_t: Tensor, noise: Masks | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return h_t and c_t of c_{t−1} (n, H) and x_t (n, I)."""
        _, c = state
        seen = masked(c, noise)
        from_x = linear(x_t, self.weight_ih, self.bias_ih)
        f, candidate, r, *highway = from_x.split(self.hidden_size, 1)
        v_f, v_r = self.weight_hh.unbind()
        f, r = record("forget", torch.sigmoid(f + v_f * seen)), record("reset", torch.sigmoid(r + v_r * seen))
        c = record("c", f * c + (1 - f) * kept(record("candidate", candidate), noise))
        return r * c + (1 - r) * (highway[0] if highway else x_t), c


class PeepholeSRU(CellLayer):
    r"""Simple recurrent unit whose gates see the state of their own unit.

    .. code-block:: text

        f_t = σ(W_f x_t + v_f ⊙ c_{t−1} + b_f)              (1)
        c_t = f_t ⊙ c_{t−1} + (1 − f_t) ⊙ (W x_t + b)       (2)
        r_t = σ(W_r x_t + v_r ⊙ c_{t−1} + b_r)              (3)
        h_t = r_t ⊙ c_t + (1 − r_t) ⊙ x'_t                  (4)

    x' is x, or W' x + b' in a layer whose input does not have H features. Units do not interact within a
    layer: a step is elementwise and takes a fraction of the time of an LSTM's, but the steps of a sequence
    follow one another. With v_f = v_r = 0 this is `SRU`, whose steps threads share. The paper has no b
    in (2), and a constant factor at x' for deep stacks, which is left out here.

    The parameters of a cell are ``weight_ih`` (3H, I), rows of f, c, r, and for I ≠ H those of x', (4H, I);
    ``weight_hh`` (2, H), v_f and v_r; and ``bias_ih``, one number for each row of ``weight_ih``.

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
    (h, c) : tuple of Tensor
        (layers · directions, B, H) each: the state of each sequence after its last step.

    Raises
    ------
    ShapeError, InputTypeError
        If a size is below one, or the input or the state does not fit.

    References
    ----------
    .. [1] T. Lei, Y. Zhang, S. I. Wang, H. Dai and Y. Artzi, "Simple recurrent units for highly
       parallelizable recurrence", EMNLP (2018), equations 1 to 4.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.PeepholeSRU(3, 5)
    >>> output, (h, c) = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(c.shape)
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
        def cell(features: int) -> PeepholeSRUCell:
            return PeepholeSRUCell(features, hidden_size, bias=bias, device=device, dtype=dtype)

        sizes, flags = (input_size, hidden_size, num_layers), (bias, batch_first, bidirectional)
        super().__init__(cell, sizes, flags, dropout)

    def describe(self) -> Stateful | WholeSequence:
        """Describe the layer: stateful, or if bidirectional, one that needs whole sequences."""
        return self._description()
