"""`AttentionGRU` and `AttentionGRUCell`: gated recurrent units that read a memory at every step."""

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.cells.layer import CellLayer
from throughtime.nn.cells.masks import Masks, kept, masked
from throughtime.nn.cells.parameters import add_parameters, checked_choice, set_uniform
from throughtime.nn.description.kinds import Stateful, WholeSequence
from throughtime.nn.description.operator import Operator
from throughtime.nn.inputs.output import RecurrentOutput
from throughtime.nn.recurrence.cell import Cell
from throughtime.nn.recurrence.recording import record
from throughtime.nn.recurrence.trace import RecurrenceTrace
from throughtime.nn.recurrent.gru import GRUSpec
from throughtime.ragged import Ragged

Score = Literal["additive", "dot"]


class AttentionGRUCell(Cell):
    r"""One step of `AttentionGRU`, where equations and options are described.

    ``forward(state, x_t, context)`` takes the memory (n, M, D), or a pair of it and numbers (n, M) that are
    added to the scores: ``layer(x, context=memory)`` of `Recurrence`.

    Parameters
    ----------
    input_size, hidden_size, memory_size, bias, device, dtype, attention_size, score
        As in `AttentionGRU`.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> recurrence = tt.nn.Recurrence(tt.nn.AttentionGRUCell(3, 5, memory_size=4))
    >>> x, memory = tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)]), torch.randn(2, 6, 4)
    >>> recurrence(x, context=memory).output
    Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True)
    """

    maskable: frozenset[str] = frozenset({"h", "candidate"})
    stuck_gates = GRUSpec.stuck_gates
    weight_ih: Tensor
    weight_hh: Tensor
    weight_mh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_query: Tensor
    weight_key: Tensor
    weight_score: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        memory_size: int,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        attention_size: int | None = None,
        score: Score = "additive",
    ) -> None:
        super().__init__(input_size, hidden_size)
        attention_size = hidden_size if attention_size is None else attention_size
        for name, size in (("memory_size", memory_size), ("attention_size", attention_size)):
            if size < 1:
                raise ShapeError(f"AttentionGRU: {name} must be at least 1, got {size}")
        self.memory_size, self.attention_size = memory_size, attention_size
        self.score = checked_choice(score, ("additive", "dot"), "score", "AttentionGRU")
        rows = 3 * hidden_size
        shapes = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size),
            "weight_mh": (rows, memory_size),
            "bias_ih": (rows,) if bias else None,
            "bias_hh": (rows,) if bias else None,
            "weight_query": (attention_size, hidden_size),
            "weight_key": (attention_size, memory_size),
            "weight_score": (attention_size,) if score == "additive" else None,
        }
        add_parameters(self, shapes, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all parameters uniformly within ±1/√H."""
        set_uniform(self, self.hidden_size)

    def recurrent_blocks(self) -> dict[str, Tensor]:
        """Return the blocks of ``weight_hh`` by gate."""
        return dict(zip(("reset", "update", "candidate"), self.weight_hh.chunk(3), strict=True))

    def forward(self, state: Tensor, x_t: Tensor, context: Any = None, noise: Masks | None = None) -> Tensor:
        """Return h_t of h_{t−1} (n, H), x_t (n, I) and a memory."""
        memory, added = context if isinstance(context, tuple) else (context, None)
        if not isinstance(memory, Tensor) or memory.dim() != 3 or memory.shape[2] != self.memory_size:
            kind = f"shape {tuple(memory.shape)}" if isinstance(memory, Tensor) else type(memory).__name__
            raise ShapeError(
                f"AttentionGRU reads a memory (B, M, {self.memory_size}), as context= of a call, got {kind}"
            )
        h = masked(state, noise)
        scores = self._scores(h, memory)
        weights = record("attention", torch.softmax(scores if added is None else scores + added, 1))
        read = (weights.unsqueeze(2) * memory).sum(1)
        from_x = linear(x_t, self.weight_ih, self.bias_ih) + linear(read, self.weight_mh)
        from_h = linear(h, self.weight_hh, self.bias_hh)
        (r_x, z_x, n_x), (r_h, z_h, n_h) = from_x.chunk(3, 1), from_h.chunk(3, 1)
        r, z = record("reset", torch.sigmoid(r_x + r_h)), record("update", torch.sigmoid(z_x + z_h))
        n = kept(record("candidate", torch.tanh(n_x + r * n_h)), noise)
        return (1 - z) * n + z * state

    def _scores(self, h: Tensor, memory: Tensor) -> Tensor:
        """Return a score for each vector of the memory, (n, M)."""
        keys, query = linear(memory, self.weight_key), linear(h, self.weight_query).unsqueeze(1)
        if self.weight_score is None:
            return (keys * query).sum(2) / math.sqrt(self.attention_size)
        return (torch.tanh(keys + query) * self.weight_score).sum(2)


class AttentionGRU(CellLayer):
    r"""Gated recurrent unit that reads a memory of each sequence at every step, weighted by attention.

    .. code-block:: text

        e_k  = v · tanh(W_q h_{t−1} + W_k m_k),  or  (W_q h_{t−1}) · (W_k m_k) / √A
        a    = softmax(e)                                   over the vectors m_k of the memory
        s    = Σ_k a_k m_k
        r, z = σ(W_i* x_t + W_m* s + b_i* + W_h* h_{t−1} + b_h*)
        n    = tanh(W_in x_t + W_mn s + b_in + r ⊙ (W_hn h_{t−1} + b_hn))
        h_t  = (1 − z) ⊙ n + z ⊙ h_{t−1}

    The memory, such as the encoded source sentence in machine translation, is constant over the steps: its
    products W_k m_k are computed once per call. All layers and directions read the same memory. It is a
    separate argument, not part of the state, because it has no initial value.

    The parameters of a cell are those of torch's GRU, in row blocks r, z, n, ``weight_mh`` (3·H, D),
    ``weight_query`` (A, H), ``weight_key`` (A, D), and ``weight_score``, v, (A,).

    Parameters
    ----------
    input_size, hidden_size, memory_size : int
        I, H, and D, the features of a vector of the memory.
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
    attention_size
        A; by default H.
    score : "additive" or "dot"
        Scoring function e: "additive" is the first form [1]_, "dot" the second, a scaled dot product [2]_.

    Returns
    -------
    output
        (T, directions · H), h of every step, of the same kind as the input.
    h : Tensor
        (layers · directions, B, H): h of each sequence after its last step.

    Raises
    ------
    ShapeError, InputTypeError
        If an option is outside of its range, or the input, the memory or the state does not fit; the message
        names both sides.

    References
    ----------
    .. [1] D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and
       translate", ICLR (2015), section 3.1 and appendix A.1.2.
    .. [2] A. Vaswani et al., "Attention is all you need", NeurIPS (2017), equation 1.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> layer, x = tt.nn.AttentionGRU(3, 5, 4), tt.Ragged.from_list([torch.randn(4, 3), torch.randn(2, 3)])
    >>> source = tt.Ragged.from_list([torch.randn(6, 4), torch.randn(9, 4)])
    >>> output, h = layer(x, memory=source)
    >>> output, tuple(h.shape)
    (Ragged(lengths=[4, 2], features=(5,), dtype=float32, requires_grad=True), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        memory_size: int,
        num_layers: int = 1,
        bias: bool = True,  # noqa: FBT001, FBT002 - torch's signature
        batch_first: bool = False,  # noqa: FBT001, FBT002
        dropout: float = 0.0,
        bidirectional: bool = False,  # noqa: FBT001, FBT002
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        attention_size: int | None = None,
        score: Score = "additive",
    ) -> None:
        def cell(features: int) -> AttentionGRUCell:
            return AttentionGRUCell(
                features,
                hidden_size,
                memory_size,
                bias=bias,
                device=device,
                dtype=dtype,
                attention_size=attention_size,
                score=score,
            )

        sizes, flags = (input_size, hidden_size, num_layers), (bias, batch_first, bidirectional)
        super().__init__(cell, sizes, flags, dropout)
        self.memory_size, self.attention_size, self.score = memory_size, attention_size, score

    def describe(self) -> Stateful | WholeSequence:
        """Describe the layer: stateful, or if bidirectional, one that needs whole sequences."""
        return self._description()

    def operators(self) -> tuple[Operator, ...]:
        """Return the layer itself, which is not exported: it needs a memory beside the sequence."""
        return (Operator.of("throughtime.nn.AttentionGRU", layer=self),)

    def extra_repr(self) -> str:
        """Return the arguments that are not defaults."""
        sizes = f"{self.input_size}, {self.hidden_size}"
        return super().extra_repr().replace(sizes, f"{sizes}, {self.memory_size}", 1)

    def _options(self) -> dict[str, tuple[Any, Any]]:
        return {"attention_size": (self.attention_size, None), "score": (self.score, "additive")}

    def forward(
        self,
        input: Any,  # noqa: A002 - torch's names
        hx: Any = None,
        *,
        reset: Any = None,
        memory: Any = None,
    ) -> RecurrentOutput:
        """Return ``output, h``.

        Parameters
        ----------
        input : Tensor, PackedSequence or Ragged
            (L, I), (L, B, I) or, with ``batch_first``, (B, L, I); or tokens (T, I).
        hx
            h before the first step, (layers · directions, B, H); None for zeros.
        reset : Tensor, PackedSequence or Ragged
            bool, one flag for each token: where h restarts from zeros, with the same memory. See
            `throughtime.nn.LSTM.forward`.
        memory : Tensor or Ragged
            (B, M, D), or (M, D) for (L, I), or a `Ragged` of B sequences of vectors (D,), none of them empty.
        """
        return self._called(input, hx, reset, self._memory(memory))[0]

    def trace(
        self, x: Any, state: Any = None, *, reset: Any = None, memory: Any = None, gradients: bool = False
    ) -> RecurrenceTrace:
        """Run as a call does, and return h, the gates and the attention of every layer, direction and step.

        ``trace.states[layer, direction]["attention"]`` (T, M) has the weights of the memory's vectors.
        """
        return self._traced(x, state, reset, self._memory(memory), gradients=gradients)

    def step(
        self, x_t: Tensor, state: Any = None, *, reset: Any = None, memory: Any = None
    ) -> tuple[Tensor, Any]:
        """Run one step of a stream, as `GRU.step` does; ``memory`` is the same at every step."""
        return self._stepped(x_t, state, reset, self._memory(memory))

    def _memory(self, memory: Any) -> Any:
        """Return the memory in the form that cells take."""
        if isinstance(memory, Ragged):
            padded = memory.to_padded()
            # Far below all scores, where there is no vector; a softmax of nothing else is still a number.
            least = torch.finfo(padded.dtype).min / 2
            return padded, padded.new_zeros(padded.shape[:2]).masked_fill(~memory.mask(), least)
        if not isinstance(memory, Tensor):
            raise InputTypeError(
                f"AttentionGRU takes memory=, a Tensor (B, M, {self.memory_size}) or a Ragged, got "
                f"{type(memory).__name__}"
            )
        return memory
