"""`LSTM`: long short-term memory, torch's and its relatives."""

from collections.abc import Sequence

import torch
from torch import nn

from throughtime.nn._options import ActivationLike, activations_of, bound_of
from throughtime.nn._recurrent import Recurrent
from throughtime.ops.cell import CellSpec


class LSTM(Recurrent):
    r"""Long short-term memory, gates in torch's order i, f, g, o.

    i, f, o = σ(W_i* x_t + b_i* + W_h* h_{t−1} + b_h*), g = tanh(W_ig x_t + b_ig + W_hg h_{t−1} + b_hg),
    c_t = f ⊙ c_{t−1} + i ⊙ g, h_t = o ⊙ tanh(c_t); with ``proj_size``, h_t = W_hr (o ⊙ tanh(c_t)).

    With ``peephole``, i and f also get p_i ⊙ c_{t−1} and p_f ⊙ c_{t−1} before their activation, and o gets
    p_o ⊙ c_t. With ``coupled``, f = 1 − i. With ``cell_clip``, c_t is bounded before o and h_t see it.

    Takes what `torch.nn.LSTM` takes, and a `Ragged` of (T, input_size). ``layer.trace(x)`` gives every h, c
    and gate, ``layer.step(x_t, state)`` runs a stream.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        As in `torch.nn.LSTM`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways.
    peephole
        Whether gates see c [2]_; the parameters ``weight_peephole_l{k}``, (3·H,), are p_i, p_f, p_o.
    coupled
        Whether f = 1 − i [3]_: weights and biases have three blocks of H rows, i, g, o, and a peephole
        two, i, o.
    clip, cell_clip
        Bounds on what goes into the activations of gates and of g, and on c_t; None for none.
    activations
        Of the gates, of g, and of c_t: names of `throughtime.nn.Activation`, or tuples of a name
        and its numbers, such as ``("hard_sigmoid", 0.2, 0.5)``.
    context_size
        C of a context s, one vector for each sequence: ``layer(x, state, context=s)`` adds W_s s to what
        every gate gets of the input, at every step and in every layer; 0 for none. Its weights are
        ``weight_context_l{k}``, (4·H, C).
    learn_initial_state
        Whether the state of a call that gives none is a parameter, ``initial_h`` and ``initial_c``
        (layers · directions, H), which begins as zeros.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : tuple of Tensor
        (h, c) after each sequence's own last step, each (layers · directions, B, H).

    Raises
    ------
    ShapeError, KindError
        If features, state, dtype or device do not fit; the message names both sides.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997); with
       the forget gate of F. Gers et al., Neural Computation 12 (2000).
    .. [2] F. Gers, N. Schraudolph and J. Schmidhuber, "Learning precise timing with LSTM recurrent networks",
       Journal of Machine Learning Research 3 (2002).
    .. [3] K. Greff et al., "LSTM: a search space odyssey", IEEE Transactions on Neural Networks and Learning
       Systems 28 (2017), section III.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 3), tt.nn.LSTM(3, 5, bidirectional=True), nn.Linear(10, 2))
    >>> model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    Ragged(lengths=[3, 1], features=(2,), dtype=float32, requires_grad=True)
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
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        peephole: bool = False,
        coupled: bool = False,
        clip: float | None = None,
        cell_clip: float | None = None,
        activations: Sequence[ActivationLike] = ("sigmoid", "tanh", "tanh"),
        context_size: int = 0,
        learn_initial_state: bool = False,
    ) -> None:
        spec = CellSpec(
            "LSTM",
            activations_of(activations, ("the gates", "the candidate g", "c"), "LSTM"),
            peephole=peephole,
            coupled=coupled,
            clip=bound_of(clip, "clip", "LSTM"),
            cell_clip=bound_of(cell_clip, "cell_clip", "LSTM"),
        )
        super().__init__(
            spec,
            "LSTM",
            (input_size, hidden_size, num_layers),
            (bias, batch_first, bidirectional),
            dropout,
            proj_size,
            context_size=context_size,
            learn_initial_state=learn_initial_state,
            device=device,
            dtype=dtype,
        )

    # Torch's own, for code that asks a layer about the sizes of a pair.
    get_expected_cell_size = nn.LSTM.get_expected_cell_size
    check_forward_args = nn.LSTM.check_forward_args  # type: ignore[assignment]
    permute_hidden = nn.LSTM.permute_hidden  # type: ignore[assignment]
