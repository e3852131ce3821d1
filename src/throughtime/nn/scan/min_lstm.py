"""`MinLSTM`: the LSTM whose gates do not see the state."""

from typing import Any

import torch

from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.scan.activation import checked_activation
from throughtime.nn.scan.layer import ScanLayer
from throughtime.ops.scan.gates import Candidate


class MinLSTM(ScanLayer):
    r"""Minimal LSTM with normalised gates, which runs in parallel over time.

    .. code-block:: text

        f_t  = σ(W_f x_t + b_f)                                   (1)
        i_t  = σ(W_i x_t + b_i)                                   (2)
        h̃_t = φ(W_h x_t + b_h)                                   (3)
        f'_t = f_t / (f_t + i_t),   i'_t = i_t / (f_t + i_t)      (4)
        h_t  = f'_t ⊙ h_{t−1} + i'_t ⊙ h̃_t                      (5)

    Gates and candidate do not depend on h. So they are one product over all tokens, and (5) is a linear
    recurrence, whose steps threads share; see `MinGRU`.

    (5) is computed as it stands, not in logarithms as in appendix B of [1]_: each state is an average of the
    candidates so far and h_0, which in float32 neither overflows nor gathers errors. (4) is computed as
    f' = (1 + exp(−i)) / (2 + exp(−f) + exp(−i)) of the pre-activations, scaled so that the largest term is 1,
    since both gates may be too small for a quotient.

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
        Of the parameters: ``weight_ih_l0`` (3H, I), rows of f, i, then h̃, and ``bias_ih_l0`` (3H,);
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
       arXiv:2410.01201 (2024), section 3.2.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.MinLSTM(3, 5, num_layers=2)
    >>> output, h = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (2, 2, 5))
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
            "normalized",
            checked_activation(activation, "MinLSTM"),
            device=device,
            dtype=dtype,
        )

    def describe(self) -> Stateful | WholeSequence:
        """Return how the layer passes on its state; with both directions it reads whole sequences."""
        return self._description()

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {"activation": (self.candidate, "positive")}
