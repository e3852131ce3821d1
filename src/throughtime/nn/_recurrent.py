"""`RNN`, `LSTM` and `GRU` with torch.nn's signature, names and results, on ragged batches too."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import KindError, ShapeError
from throughtime.nn._output import RecurrentOutput, check_features, unwrapped
from throughtime.ops.recurrent import Cell, State, recurrent_direction
from throughtime.ragged import Ragged


class _OnRagged(nn.RNNBase):
    """Takes a Ragged by our own loop, and everything else as the torch layer behind it does."""

    def forward(self, x: Any, state: Any = None) -> RecurrentOutput:
        """Return ``output, state``; a state of None is zeros."""
        x = unwrapped(x)
        if not isinstance(x, Ragged):
            return RecurrentOutput(*super().forward(x, state))
        check_features(x, self.input_size, type(self).__name__)
        output, final = _stack(self, x, _initial_state(self, x, state))
        return RecurrentOutput(output, final if self.mode == "LSTM" else final[0])


def _stack(module: nn.RNNBase, x: Ragged, state: State) -> tuple[Ragged, State]:
    """Run all layers and directions; states are (layers · directions, B, H)."""
    directions = 2 if module.bidirectional else 1
    cell: Cell = module.mode  # type: ignore[assignment]
    values, finals = x.values, []
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            number = layer * directions + direction
            output, final = recurrent_direction(
                cell,
                values,
                x.layout,
                tuple(part[number] for part in state),
                _weights(module, layer, direction),
                reverse=direction == 1,
            )
            outputs.append(output)
            finals.append(final)
        values = torch.cat(outputs, -1) if directions == 2 else outputs[0]
        if layer < module.num_layers - 1:
            values = F.dropout(values, module.dropout, module.training)
    return x.with_values(values), tuple(torch.stack(parts) for parts in zip(*finals, strict=True))


def _weights(module: nn.RNNBase, layer: int, direction: int) -> Sequence[Tensor]:
    names = module._all_weights[layer * (2 if module.bidirectional else 1) + direction]  # noqa: SLF001
    return [getattr(module, name) for name in names]


def _initial_state(module: nn.RNNBase, x: Ragged, state: Any) -> State:
    count = module.num_layers * (2 if module.bidirectional else 1)
    sizes = [module.proj_size or module.hidden_size]
    if module.mode == "LSTM":
        sizes.append(module.hidden_size)
    if state is None:
        return tuple(torch.zeros(count, len(x), size, dtype=x.dtype, device=x.device) for size in sizes)
    parts = state if module.mode == "LSTM" else (state,)
    if (
        not isinstance(parts, tuple | list)
        or len(parts) != len(sizes)
        or not all(isinstance(part, Tensor) for part in parts)
    ):
        expected = "a pair of tensors (h_0, c_0)" if module.mode == "LSTM" else "one tensor h_0"
        raise KindError(f"{type(module).__name__} takes {expected} as its state, got {_kind(state)}")
    for part, size, name in zip(parts, sizes, ("h_0", "c_0"), strict=False):
        if part.shape != (count, len(x), size):
            raise ShapeError(
                f"{type(module).__name__}: {name} has shape {tuple(part.shape)}, expected "
                f"{(count, len(x), size)} (layers x directions, sequences, size)"
            )
    return tuple(parts)


def _kind(state: object) -> str:
    if isinstance(state, Tensor):
        return f"a tensor of shape {tuple(state.shape)}"
    if isinstance(state, tuple | list):
        return f"a {type(state).__name__} of {len(state)}"
    return type(state).__name__


class RNN(_OnRagged, nn.RNN):
    r"""Elman RNN: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), or relu in place of tanh.

    Takes what `torch.nn.RNN` takes, and a `Ragged` of (T, input_size): every sequence then starts from
    its own initial state and ends with its own last one; nothing is padded, packed or sorted by you.

    Parameters
    ----------
    input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional
        As in `torch.nn.RNN`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : Tensor
        h after each sequence's last step, (layers · directions, B, H); of an empty one, its first.

    Raises
    ------
    ShapeError, KindError
        If features or state do not fit; the message names both shapes.

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


class LSTM(_OnRagged, nn.LSTM):
    r"""Long short-term memory, gates in torch's order i, f, g, o.

    i, f, o = σ(W_i* x_t + b_i* + W_h* h_{t−1} + b_h*), g = tanh(W_ig x_t + b_ig + W_hg h_{t−1} + b_hg),
    c_t = f ⊙ c_{t−1} + i ⊙ g, h_t = o ⊙ tanh(c_t); with ``proj_size``, h_t = W_hr (o ⊙ tanh(c_t)).

    Takes what `torch.nn.LSTM` takes, and a `Ragged` of (T, input_size).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        As in `torch.nn.LSTM`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : tuple of Tensor
        (h, c) after each sequence's own last step, each (layers · directions, B, H).

    Raises
    ------
    ShapeError, KindError
        If features or state do not fit; the message names both shapes.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997); with
       the forget gate of F. Gers et al., Neural Computation 12 (2000).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Embedding(10, 3), tt.nn.LSTM(3, 5, bidirectional=True), nn.Linear(10, 2))
    >>> model(tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])]))
    Ragged(lengths=[3, 1], features=(2,), dtype=float32, requires_grad=True)
    """


class GRU(_OnRagged, nn.GRU):
    r"""Gated recurrent unit in torch's form: the reset gate after the product, z keeping the old value.

    r, z = σ(W_i* x_t + b_i* + W_h* h_{t−1} + b_h*), n = tanh(W_in x_t + b_in + r ⊙ (W_hn h_{t−1} + b_hn)),
    h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}.

    Takes what `torch.nn.GRU` takes, and a `Ragged` of (T, input_size).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As in `torch.nn.GRU`; ``batch_first`` matters to plain tensors alone. Parameters carry torch's
        names, so state dicts load both ways.

    Returns
    -------
    output
        h of every step of the last layer, of the kind that came in: Ragged (T, directions · H).
    state : Tensor
        h after each sequence's own last step, (layers · directions, B, H).

    Raises
    ------
    ShapeError, KindError
        If features or state do not fit; the message names both shapes.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
       machine translation", EMNLP (2014); in the variant of cuDNN.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> output, h = tt.nn.GRU(3, 5)(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    """
