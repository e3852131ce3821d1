"""`SRU`: simple recurrent units, with gates that do not see the state."""

import torch
from torch import Tensor

from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.description.operator import Operator
from throughtime.nn.scan.layer import ScanLayer, Traced
from throughtime.ops.scan.gated_output import gated_output
from throughtime.ops.scan.gates import BLOCKS
from throughtime.ops.sigmoid import sigmoid


class SRU(ScanLayer):
    r"""Simple recurrent unit without the state in its gates, which runs in parallel over time.

    .. code-block:: text

        f_t = σ(W_f x_t + b_f)                              (1)
        c_t = f_t ⊙ c_{t−1} + (1 − f_t) ⊙ (W x_t + b)       (2)
        r_t = σ(W_r x_t + b_r)                              (3)
        h_t = r_t ⊙ c_t + (1 − r_t) ⊙ x'_t                  (4)

    x' is x, or W' x + b' in a layer whose input does not have H features. These are equations (1) to (4) of
    [1]_ with v_f = v_r = 0: then nothing but (2) depends on the step before, and it is a linear recurrence,
    whose steps threads share; see `MinGRU`. The paper has no b in (2), and a constant factor
    at x' for deep stacks, which is left out here.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    num_layers
        Layers one on top of the other.
    bias
        Whether there are b.
    batch_first
        Whether plain tensors are (B, L, I) and not (L, B, I).
    dropout
        Probability of dropout on the output of each layer but the last, in training.
    bidirectional
        Whether a second recurrence reads from the end; outputs are side by side.
    device, dtype
        Of the parameters: ``weight_ih_l0`` (3H, I), rows of f, c, r, and for I ≠ H those of x', (4H, I);
        ``bias_ih_l0``; ``…_l0_reverse``, ``…_l1``, … of the other directions and layers.

    Returns
    -------
    output
        (T, H), h of every step, of the kind that came in.
    c : Tensor
        (layers · directions, B, H): each sequence's last state.

    Raises
    ------
    ShapeError, InputTypeError
        If the input or the state does not fit; the message names both sides.

    References
    ----------
    .. [1] T. Lei, Y. Zhang, S. I. Wang, H. Dai and Y. Artzi, "Simple recurrent units for highly
       parallelizable recurrence", EMNLP (2018), section 3.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.SRU(3, 5)
    >>> output, c = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(c.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    """

    state_name = "c"

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
        super().__init__(
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            "forget",
            "identity",
            device=device,
            dtype=dtype,
        )

    def describe(self) -> Stateful | WholeSequence:
        """Return how the layer passes on its state; with both directions it reads whole sequences."""
        return self._description()

    def operators(self) -> tuple[Operator, ...]:
        """Return the layer itself, whose weights and gates an exporter reads."""
        return super().operators()

    def _blocks(self, features: int) -> int:
        return BLOCKS[self.gates] + (1 if features == self.hidden_size else 2)

    def _output(self, h: Tensor, x: Tensor, products: list[Tensor], traced: Traced | None) -> Tensor:
        (rest,) = products
        if traced is None:
            return gated_output(rest, h, x if rest.shape[1] == self.hidden_size else None)
        gate, *highway = rest.split(self.hidden_size, 1)
        r, skipped = traced.name("reset", sigmoid(gate)), highway[0] if highway else x
        return traced.name("h", skipped + r * (h - skipped))
