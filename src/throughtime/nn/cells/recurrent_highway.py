"""`RecurrentHighway` and `RecurrentHighwayCell`: several highway layers inside each step."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from throughtime.errors import ShapeError
from throughtime.nn.cells.layer import CellLayer
from throughtime.nn.cells.masks import Masks, kept, masked
from throughtime.nn.cells.parameters import add_parameters, set_uniform
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.recording import record


class RecurrentHighwayCell(Cell):
    r"""One step of `RecurrentHighway`, where equations and options are described.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype, depth, coupled, transform_bias
        As in `RecurrentHighway`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> recurrence = tt.nn.Recurrence(tt.nn.RecurrentHighwayCell(3, 5))
    >>> recurrence(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    maskable: frozenset[str] = frozenset({"h", "candidate"})
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
        depth: int = 2,
        coupled: bool = True,
        transform_bias: float = -2.0,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if depth < 1:
            raise ShapeError(f"RecurrentHighway: depth must be at least 1, got {depth}")
        self.depth, self.gates, self.transform_bias = depth, 2 if coupled else 3, transform_bias
        rows = self.gates * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (depth, rows, hidden_size),
            "bias_ih": (depth, rows) if bias else None,
        }
        add_parameters(self, shapes, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all parameters uniformly within ±1/√H, then the biases of transform gates."""
        set_uniform(self, self.hidden_size)
        if self.bias_ih is not None:
            nn.init.constant_(self.bias_ih[:, self.hidden_size : 2 * self.hidden_size], self.transform_bias)

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return the blocks R by gate and level."""
        names = ("candidate", "transform", "carry")[: self.gates]
        return {
            f"{name}_{level + 1}": block
            for level, weight in enumerate(self.weight_hh)
            for name, block in zip(names, weight.chunk(self.gates), strict=True)
        }

    def forward(self, state: Tensor, x_t: Tensor, noise: Masks | None = None) -> Tensor:
        """Return h_t of h_{t−1} (n, H) and x_t (n, I)."""
        s = state
        for level in range(self.depth):
            bias = None if self.bias_ih is None else self.bias_ih[level]
            total = linear(masked(s, noise), self.weight_hh[level], bias)
            if level == 0:
                total = total + linear(x_t, self.weight_ih)
            a, t, *carry = total.chunk(self.gates, 1)
            t = record(f"transform_{level + 1}", torch.sigmoid(t))
            c = record(f"carry_{level + 1}", torch.sigmoid(carry[0])) if carry else 1 - t
            s = kept(record(f"candidate_{level + 1}", torch.tanh(a)), noise) * t + s * c
        return s


class RecurrentHighway(CellLayer):
    r"""Recurrent highway network, whose transition is a highway network with ``depth`` layers.

    .. code-block:: text

        s^0 = h_{t−1}
        a^k = tanh(W_a x_t [k = 1] + R_a^k s^{k−1} + b_a^k)
        t^k = σ(W_t x_t [k = 1] + R_t^k s^{k−1} + b_t^k)
        c^k = 1 − t^k, or σ(W_c x_t [k = 1] + R_c^k s^{k−1} + b_c^k)
        s^k = a^k ⊙ t^k + s^{k−1} ⊙ c^k,  k = 1, …, depth
        h_t = s^depth

    x_t is an input of the first highway layer only. The biases of the transform gates are initialised to
    ``transform_bias``, a negative number, so that an untrained layer mostly copies its state.

    The parameters of a cell are ``weight_ih`` (G·H, I), ``weight_hh`` (depth, G·H, H) and ``bias_ih``
    (depth, G·H), in row blocks a, t and, unless gates are coupled, c: G is 2 or 3.

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
    depth
        Number of highway layers in each step.
    coupled
        Whether the carry gate is 1 − t; otherwise it has separate weights.
    transform_bias
        Initial value of b_t.

    Returns
    -------
    output
        (T, directions · H), h of every step, of the same kind as the input.
    h : Tensor
        (layers · directions, B, H): h of each sequence after its last step.

    Raises
    ------
    ShapeError, InputTypeError
        If depth is below 1, or the input or the state does not fit.

    References
    ----------
    .. [1] J. G. Zilly, R. K. Srivastava, J. Koutník and J. Schmidhuber, "Recurrent highway networks", ICML
       (2017), equations 6 to 9.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.RecurrentHighway(3, 5)
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
        depth: int = 2,
        coupled: bool = True,
        transform_bias: float = -2.0,
    ) -> None:
        def cell(features: int) -> RecurrentHighwayCell:
            return RecurrentHighwayCell(
                features,
                hidden_size,
                bias=bias,
                device=device,
                dtype=dtype,
                depth=depth,
                coupled=coupled,
                transform_bias=transform_bias,
            )

        sizes, flags = (input_size, hidden_size, num_layers), (bias, batch_first, bidirectional)
        super().__init__(cell, sizes, flags, dropout)
        self.depth = depth
        self.coupled = coupled
        self.transform_bias = transform_bias

    def describe(self) -> Stateful | WholeSequence:
        """Describe the layer: stateful, or if bidirectional, one that needs whole sequences."""
        return self._description()

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {
            "depth": (self.depth, 2),
            "coupled": (self.coupled, True),
            "transform_bias": (self.transform_bias, -2.0),
        }
