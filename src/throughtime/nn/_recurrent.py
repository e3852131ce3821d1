"""`RNN`, `LSTM` and `GRU` with torch.nn's signature, names and results, and every state in reach."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn._output import RecurrentOutput, unwrapped
from throughtime.nn._precision import precision
from throughtime.nn._quick_step import quick_step
from throughtime.nn._stack import StackResult, run_stack
from throughtime.nn._state import Sizes, batched_state, like_state
from throughtime.nn._tokens import Input, checked, from_ragged, like_input, ragged_of, tokens_of
from throughtime.nn._trace import Trace, traced
from throughtime.ops.steps import Steps


class _Recurrent(nn.RNNBase):
    """What the three layers share: torch's parameters under torch's base class, and our loop.

    They are not instances of `torch.nn.LSTM` and its like, because torch.compile refuses all of those.
    """

    def forward(self, input: Any, hx: Any = None) -> RecurrentOutput:  # noqa: A002 - torch's names
        """Return ``output, state``; a state of None is zeros.

        Parameters
        ----------
        input : Tensor, PackedSequence or Ragged
            (L, I), (L, B, I) or, with ``batch_first``, (B, L, I); or tokens (T, I).
        hx
            The state: h of shape (layers · directions, B, H), for LSTM the pair (h, c); without B for (L, I).
        """
        x = self._checked(unwrapped(input))
        tokens, steps = tokens_of(x, batch_first=self.batch_first)
        result, _ = self._run(x, tokens, steps, hx, lambda y: like_input(y, x))
        return result

    def trace(self, x: Any, state: Any = None, *, pre_activations: bool = False) -> Trace:
        """Run as ``layer(x, state)`` does, and return every h, c and gate of every layer and direction.

        Parameters
        ----------
        x, state
            As in a call.
        pre_activations
            Whether the gates are wanted before their activation, too.

        Returns
        -------
        Trace
            ``trace.result`` is what the call returns; ``trace[layer, direction]`` has the states and gates
            as `Ragged`, differentiable.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> layer = tt.nn.LSTM(3, 5)
        >>> trace = layer.trace(tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]))
        >>> trace.c
        Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
        >>> trace.forget[0][3].sum().backward()  # the forget gate, fourth step of the first sequence
        >>> deep = tt.nn.GRU(3, 5, num_layers=2, bidirectional=True)
        >>> deep.trace(torch.randn(7, 3))[1, 0].update
        Ragged(lengths=[7], features=(5,), dtype=float32, requires_grad=True)
        """
        x = self._checked(unwrapped(x))
        ragged = ragged_of(x, batch_first=self.batch_first)
        tokens, steps = tokens_of(ragged, batch_first=False)
        result, stack = self._run(
            x,
            tokens,
            steps,
            state,
            lambda y: from_ragged(y, x, batch_first=self.batch_first),
            in_ragged_order=True,
        )
        return traced(self, result, stack.layers, ragged.layout, pre_activations=pre_activations)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run one step of a stream.

        Parameters
        ----------
        x_t : Tensor
            (B, I), one token of each of B streams, or (I,) of one.
        state
            What the step before returned, None at the beginning; shaped as in a call, without B for (I,).

        Returns
        -------
        y_t : Tensor
            (B, H) or (H,): h of the last layer.
        state
            For the next step.

        Examples
        --------
        >>> import torch, throughtime as tt
        >>> layer, x, state = tt.nn.GRU(3, 5), torch.randn(4, 3), None
        >>> for x_t in x:
        ...     y_t, state = layer.step(x_t, state)
        >>> torch.allclose(y_t, layer(x).output[-1], atol=1e-6)
        True
        """
        name = type(self).__name__
        if self.bidirectional:
            raise ShapeError(
                f"{name}.step: a bidirectional layer reads from the end, too, which a stream does not have "
                "yet; use bidirectional=False, or call the layer on whole sequences"
            )
        quick = quick_step(self, x_t, state)
        if quick is not None:
            return quick
        if not isinstance(x_t, Tensor) or x_t.dim() not in {1, 2}:
            kind = f"shape {tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
            raise ShapeError(f"{name}.step takes one token (I,), or one of each stream (B, I), got {kind}")
        x = self._checked(x_t.unsqueeze(0))
        tokens, steps = tokens_of(x, batch_first=False)
        result, _ = self._run(x, tokens, steps, state, lambda y: y)
        return (result.output[0] if x_t.dim() == 1 else result.output), result.state

    def _checked(self, x: Any) -> Input:
        return checked(x, self.input_size, self._weight, type(self).__name__)

    @property
    def _weight(self) -> Tensor:
        """One of the parameters, for its dtype and device."""
        weight: Tensor = getattr(self, self._all_weights[0][0])
        return weight

    def _run(
        self,
        x: Input,
        tokens: Tensor,
        steps: Steps,
        state: Any,
        wrap: Callable[[Tensor], Any],
        *,
        in_ragged_order: bool = False,
    ) -> tuple[RecurrentOutput, StackResult]:
        """Run on tokens; ``x`` is the input they came from, whose kind decides on the shape of states."""
        lstm, weight = self.mode == "LSTM", self._weight
        sizes = Sizes(
            self.num_layers * (2 if self.bidirectional else 1),
            self.proj_size or self.hidden_size,
            self.hidden_size if lstm else 0,
        )
        h0, c0 = batched_state(
            state, x, steps.batch, sizes, weight, type(self).__name__, as_given=in_ragged_order
        )
        dtypes = precision(
            self.mode,
            tokens,
            h0,
            c0,
            fused=isinstance(x, Tensor),
            projected=self.proj_size > 0,
        )
        stack = run_stack(
            self,
            _to(tokens, dtypes.compute),
            steps,
            _to(h0, dtypes.compute),
            _to(c0, dtypes.compute),
            save=in_ragged_order,
        )
        h_n = like_state(_to(stack.h_n, dtypes.h), x, as_given=in_ragged_order)
        output = wrap(_to(stack.y, dtypes.h))
        if not lstm:
            return RecurrentOutput(output, h_n), stack
        c_n = like_state(_to(stack.c_n, dtypes.c), x, as_given=in_ragged_order)
        return RecurrentOutput(output, (h_n, c_n)), stack


def _to(tensor: Any, dtype: torch.dtype) -> Any:
    return tensor if tensor is None or tensor.dtype == dtype else tensor.to(dtype)


class RNN(_Recurrent):
    r"""Elman RNN: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh), or relu in place of tanh.

    Takes what `torch.nn.RNN` takes, and a `Ragged` of (T, input_size): every sequence then starts from
    its own initial state and ends with its own last one; nothing is padded, packed or sorted by you.
    ``layer.trace(x)`` gives the states of every layer and step, ``layer.step(x_t, state)`` runs a stream.

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
        nonlinearity: str = "tanh",
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        batch_first: bool = False,  # noqa: FBT001, FBT002
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if nonlinearity not in {"tanh", "relu"}:
            raise ShapeError(f"RNN: nonlinearity is 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(
            mode,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )


class LSTM(_Recurrent):
    r"""Long short-term memory, gates in torch's order i, f, g, o.

    i, f, o = σ(W_i* x_t + b_i* + W_h* h_{t−1} + b_h*), g = tanh(W_ig x_t + b_ig + W_hg h_{t−1} + b_hg),
    c_t = f ⊙ c_{t−1} + i ⊙ g, h_t = o ⊙ tanh(c_t); with ``proj_size``, h_t = W_hr (o ⊙ tanh(c_t)).

    Takes what `torch.nn.LSTM` takes, and a `Ragged` of (T, input_size). ``layer.trace(x)`` gives every h, c
    and gate, ``layer.step(x_t, state)`` runs a stream.

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
        If features, state, dtype or device do not fit; the message names both sides.

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
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )


class GRU(_Recurrent):
    r"""Gated recurrent unit in torch's form: the reset gate after the product, z keeping the old value.

    r, z = σ(W_i* x_t + b_i* + W_h* h_{t−1} + b_h*), n = tanh(W_in x_t + b_in + r ⊙ (W_hn h_{t−1} + b_hn)),
    h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}.

    Takes what `torch.nn.GRU` takes, and a `Ragged` of (T, input_size). ``layer.trace(x)`` gives every h and
    gate, ``layer.step(x_t, state)`` runs a stream.

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
        If features, state, dtype or device do not fit; the message names both sides.

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
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
