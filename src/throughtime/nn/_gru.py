"""`GRU`: the gated recurrent unit, torch's and its relatives."""

from collections.abc import Sequence
from typing import Literal

import torch

from throughtime.errors import ShapeError
from throughtime.nn._options import ActivationLike, activations_of, bound_of
from throughtime.nn._recurrent import Recurrent
from throughtime.ops.cell import CellSpec


class GRU(Recurrent):
    r"""Gated recurrent unit, unless told otherwise in torch's form.

    There the reset gate acts after the product, and z keeps the old value:

    r, z = σ(W_i* x_t + b_i* + W_h* h_{t−1} + b_h*), n = tanh(W_in x_t + b_in + r ⊙ (W_hn h_{t−1} + b_hn)),
    h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}.

    With ``reset_after=False``, n = tanh(W_in x_t + b_in + W_hn (r ⊙ h_{t−1}) + b_hn). With ``update="new"``,
    z admits the new value: h_t = (1 − z) ⊙ h_{t−1} + z ⊙ n. With a context s, every gate gets W_s s. So the
    GRU of Kiros et al. [2]_ is ``GRU(I, H, bias=False, reset_after=False, update="new", context_size=C)``.

    Takes what `torch.nn.GRU` takes, and a `Ragged` of (T, input_size). ``layer.trace(x)`` gives every h and
    gate, ``layer.step(x_t, state)`` runs a stream.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As in `torch.nn.GRU`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways.
    reset_after
        Whether the reset gate acts after the product, on W_hn h_{t−1} + b_hn (torch, cuDNN), or before it, on
        h_{t−1} (Cho et al. [1]_, Kiros et al.).
    update
        What z multiplies: the "old" value (torch, Keras, ONNX) or the "new" one (Kiros et al.). Negated rows
        of z in weights and biases turn one into the other.
    clip
        Bound on what goes into the activations; None for none.
    activations
        Of r and z, and of n: names of `throughtime.nn.Activation`, or tuples of a name and its
        numbers.
    context_size
        C of a context s, one vector for each sequence: ``layer(x, state, context=s)`` adds W_s s to what
        every gate gets of the input, at every step and in every layer; 0 for none. Its weights are
        ``weight_context_l{k}``, (3·H, C).
    learn_initial_state
        Whether the state of a call that gives none is a parameter, ``initial_h`` (layers · directions, H),
        which begins as zeros.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : Tensor
        h after each sequence's own last step, (layers · directions, B, H).

    Raises
    ------
    ShapeError, KindError
        If features, state, dtype or device do not fit; the message names both sides.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", EMNLP (2014), equations 5 to 8.
    .. [2] R. Kiros et al., "Skip-thought vectors", NeurIPS (2015), equations 5 to 8.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> output, h = tt.nn.GRU(3, 5)(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    >>> decoder = tt.nn.GRU(3, 5, bias=False, reset_after=False, update="new", context_size=7)
    >>> words, sentence = tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]), torch.randn(2, 7)
    >>> decoder(words, context=sentence).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
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
        reset_after: bool = True,
        update: Literal["old", "new"] = "old",
        clip: float | None = None,
        activations: Sequence[ActivationLike] = ("sigmoid", "tanh"),
        context_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None:
        if update not in {"old", "new"}:
            raise ShapeError(
                f"GRU: update says which value z multiplies, 'old' (torch) or 'new', got {update!r}"
            )
        spec = CellSpec(
            "GRU",
            activations_of(activations, ("r and z", "the candidate n"), "GRU"),
            reset_after=reset_after,
            update_new=update == "new",
            clip=bound_of(clip, "clip", "GRU"),
        )
        super().__init__(
            spec,
            "GRU",
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            context_size=context_size,
            learn_initial_state=learn_initial_state,
            device=device,
            dtype=dtype,
        )
