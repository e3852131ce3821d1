"""`RNN`: the Elman network."""

import torch

from throughtime.nn._options import ActivationLike, activations_of, bound_of
from throughtime.nn._recurrent import Recurrent
from throughtime.ops.cell import CellSpec


class RNN(Recurrent):
    r"""Elman RNN: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), or another activation in place of tanh.

    Takes what `torch.nn.RNN` takes, and a `Ragged` of (T, input_size): every sequence then starts from
    its own initial state and ends with its own last one; nothing is padded, packed or sorted by you.
    ``layer.trace(x)`` gives the states of every layer and step, ``layer.step(x_t, state)`` runs a stream.

    Parameters
    ----------
    input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional
        As in `torch.nn.RNN`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways. The nonlinearity may be any `throughtime.nn.Activation`:
        a name, or a tuple of a name and its numbers.
    clip
        Bound on what goes into the activation; None for none.
    context_size
        C of a context s, one vector for each sequence: ``layer(x, state, context=s)`` adds W_s s to what
        every gate gets of the input, at every step and in every layer; 0 for none. Its weights are
        ``weight_context_l{k}``, (H, C).
    learn_initial_state
        Whether the state of a call that gives none is a parameter, ``initial_h`` (layers · directions, H),
        which begins as zeros.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : Tensor
        h after each sequence's last step, (layers · directions, B, H); of an empty one, its first.

    Raises
    ------
    ShapeError, KindError
        If features, state, dtype or device do not fit; the message names both sides.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer = tt.nn.RNN(3, 5)
    >>> output, h = layer(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(0, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 0, 2], features=(5,), dtype=float32, requires_grad=True), (1, 3, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: ActivationLike = "tanh",
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        batch_first: bool = False,  # noqa: FBT001, FBT002
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        clip: float | None = None,
        context_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None:
        activations = activations_of([nonlinearity], ("h",), "RNN")
        self.nonlinearity = nonlinearity
        spec = CellSpec("RNN", activations, clip=bound_of(clip, "clip", "RNN"))
        super().__init__(
            spec,
            "RNN_RELU" if nonlinearity == "relu" else "RNN_TANH",
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            context_size=context_size,
            learn_initial_state=learn_initial_state,
            device=device,
            dtype=dtype,
        )
