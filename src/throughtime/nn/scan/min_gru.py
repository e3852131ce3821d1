"""`MinGRU`: the gated recurrent unit whose gates do not see the state."""

from typing import Any

import torch

from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.scan.activation import checked_activation
from throughtime.nn.scan.layer import ScanLayer
from throughtime.ops.scan.gates import Candidate


class MinGRU(ScanLayer):
    r"""Minimal gated recurrent unit, which runs in parallel over time.

    .. code-block:: text

        z_t  = σ(W_z x_t + b_z)                     (1)
        h̃_t = φ(W_h x_t + b_h)                     (2)
        h_t  = (1 − z_t) ⊙ h_{t−1} + z_t ⊙ h̃_t    (3)

    Gate and candidate do not depend on h. So they are one product over all tokens, and (3) is a linear
    recurrence, whose steps threads share: a call on one long sequence takes a fraction of the time of `GRU`.
    The price is that a gate depends on the layer's input at its own step alone; what depends on the past
    needs a second layer.

    (3) is computed as it stands, not in logarithms as in appendix B of [1]_. In float32 that is stable: every
    state is an average of the candidates so far and h_0, with weights between 0 and 1, so nothing overflows,
    and a rounding error shrinks with its state. Logarithms are for half precision, whose tensors are computed
    in float32 here.

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
        Of the parameters: ``weight_ih_l0`` (2H, I), rows of z, then of h̃, and ``bias_ih_l0`` (2H,);
        ``…_l0_reverse``, ``…_l1``, … of the other directions and layers.
    activation : "positive", "identity" or "tanh"
        φ. "positive" is x + 1/2 for x ≥ 0 and σ(x) below, with which all states stay positive, as the form in
        logarithms needs. "identity" is that of the form without logarithms.

    Returns
    -------
    output
        (T, H), h of every step, of the kind that came in.
    h : Tensor
        (layers · directions, B, H): each sequence's last state.

    Raises
    ------
    ShapeError, InputTypeError
        If the input or the state does not fit; the message names both sides.

    References
    ----------
    .. [1] L. Feng, F. Tung, M. O. Ahmed, Y. Bengio and H. Hajimirsadeghi, "Were RNNs all we needed?",
       arXiv:2410.01201 (2024), section 3.1.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.MinGRU(3, 5)
    >>> output, h = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(0, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 0, 2], features=(5,), dtype=float32, requires_grad=True), (1, 3, 5))
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
        activation: Candidate = "positive",
    ) -> None:
        super().__init__(
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            "update",
            checked_activation(activation, "MinGRU"),
            device=device,
            dtype=dtype,
        )

    def describe(self) -> Stateful | WholeSequence:
        """Return how the layer passes on its state; with both directions it reads whole sequences."""
        return self._description()

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {"activation": (self.candidate, "positive")}
