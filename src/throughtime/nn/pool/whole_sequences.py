"""`Pool` and `AttentionPool`: one vector for each whole sequence."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from throughtime.errors import ShapeError
from throughtime.nn.description.kinds import WholeSequence
from throughtime.nn.description.operator import Operator
from throughtime.nn.description.torch_layers import POOLS
from throughtime.nn.inputs.output import check_features, check_real, sequences_of
from throughtime.nn.linear import Linear
from throughtime.nn.pool.running import (
    running_attention,
    running_last,
    running_max,
    running_mean,
    running_std,
    running_sum,
    running_top_k,
)
from throughtime.ops.pool.layer import (
    last_over_time,
    max_over_time,
    mean_over_time,
    softmax_over_time,
    std_over_time,
    sum_over_time,
    top_k_over_time,
)
from throughtime.ragged import Ragged


class _Kind(NamedTuple):
    """A reduction of whole sequences: its function, that of streams if it has one, and its options."""

    reduce: Callable[..., Tensor]
    running: Callable[..., tuple[Tensor, Any]] | None = None
    needs_order: bool = False
    takes_k: bool = False

    @property
    def operator(self) -> str:
        """The name under which the reduction is exported."""
        return f"throughtime::{self.reduce.__name__}"


_KINDS = {
    "max": _Kind(max_over_time, running_max, needs_order=True),
    "mean": _Kind(mean_over_time, running_mean),
    "last": _Kind(last_over_time, running_last),
    "sum": _Kind(sum_over_time, running_sum),
    "std": _Kind(std_over_time, running_std),
    "top-k": _Kind(top_k_over_time, running_top_k, needs_order=True, takes_k=True),
}


class Pool(nn.Module):
    r"""Reduce every sequence to one vector: its maximum, mean, deviation, sum, last step, or k largest.

    max: y_d = max_t x[t, d]; mean: y_d = (1/L) Σ_t x[t, d]; std: y_d = √((1/L) Σ_t (x[t, d] − μ_d)²),
    μ being the mean [2]_; sum: y_d = Σ_t x[t, d]; last: y = x[L − 1];
    top-k: y[0, d], …, y[k − 1, d] are the k largest of x[0, d], …, x[L − 1, d], in the order in which they
    came [1]_. An empty sequence gives zeros, and one shorter than k zeros after its values. A plain tensor
    (N, C, L), as torch.nn's pooling takes it, is N sequences of L steps.

    Parameters
    ----------
    kind : "max", "mean", "std", "last", "sum" or "top-k"
        Which reduction.
    k : int, optional
        How many values "top-k" keeps.

    Returns
    -------
    Tensor
        (B, \*D), for "top-k" (B, k, \*D): an ordinary tensor, there is no time left.

    Raises
    ------
    ShapeError
        If the kind is unknown, or k is missing, below 1, or given to another kind.

    References
    ----------
    .. [1] N. Kalchbrenner, E. Grefenstette and P. Blunsom, "A convolutional neural network for modelling
       sentences", ACL (2014), section 3.3.
    .. [2] D. Snyder, D. Garcia-Romero, G. Sell, D. Povey and S. Khudanpur, "X-vectors: robust DNN embeddings
       for speaker recognition", ICASSP (2018), section 2.1, "statistics pooling".

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> x = tt.Ragged.from_list([torch.tensor([[1.], [3.], [2.]]), torch.empty(0, 1)])
    >>> tt.nn.Pool("max")(x), tt.nn.Pool("last")(x)
    (tensor([[3.],
            [0.]]), tensor([[2.],
            [0.]]))
    >>> tt.nn.Pool("top-k", k=2)(x)[0].flatten()
    tensor([3., 2.])
    """

    def __init__(self, kind: str, *, k: int | None = None) -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ShapeError(f"Pool: kind is one of {', '.join(_KINDS)}; got {kind!r}")
        if (k is not None) != _KINDS[kind].takes_k or (k is not None and k < 1):
            takes = ", ".join(repr(name) for name, entry in _KINDS.items() if entry.takes_k)
            raise ShapeError(f"Pool: k is for {takes} and at least 1, got kind {kind!r} with k={k}")
        self.kind = kind
        self.k = k

    def describe(self) -> WholeSequence:
        """State that no steps are left, and how to pool those of a stream."""
        running = _KINDS[self.kind].running
        if running is not None and self.k is not None:
            running = partial(running, k=self.k)
        return WholeSequence(POOLS, pools=True, running=running)

    def operators(self) -> tuple[Operator, ...]:
        """Return the reduction."""
        return (Operator.of(_KINDS[self.kind].operator, **({} if self.k is None else {"k": self.k})),)

    def forward(self, input: Any) -> Tensor:  # noqa: A002 - torch's name
        r"""Return (B, \*D), or (B, k, \*D)."""
        x, kind = sequences_of(input, "Pool"), _KINDS[self.kind]
        if kind.needs_order:
            check_real(x, f"Pool({self.kind!r})")
        return kind.reduce(x.values, x.layout, *([] if self.k is None else [self.k]))

    def extra_repr(self) -> str:
        """Name the reduction."""
        return repr(self.kind) + (f", k={self.k}" if self.k is not None else "")


class AttentionPool(nn.Module):
    r"""Reduce every sequence to a weighted mean of its steps, with learned weights.

    u_t = tanh(W x_t + b),  α_t = exp(u_t · v) / Σ_s exp(u_s · v),  y = Σ_t α_t x_t

    The sums run over the steps of one sequence. W, b and the context vector v are learned. An empty
    sequence gives zeros. A plain tensor (N, D, L) is N sequences of L steps.

    Parameters
    ----------
    features : int
        D, features per token.
    attention_size : int, optional
        A, features of u; D by default.

    Raises
    ------
    ShapeError
        If tokens have another number of features.

    References
    ----------
    .. [1] Z. Yang et al., "Hierarchical attention networks for document classification", NAACL (2016),
       equations 5 to 7.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> pool, x = tt.nn.AttentionPool(4), tt.Ragged.from_list([torch.randn(3, 4), torch.randn(1, 4)])
    >>> tuple(pool(x).shape)
    (2, 4)
    >>> pool.weights(x)  # α, whose sum over each sequence is 1
    Ragged(lengths=[3, 1], features=(), dtype=float32, requires_grad=True)
    """

    def __init__(self, features: int, attention_size: int | None = None) -> None:
        super().__init__()
        self.features = features
        self.attention = Linear(features, attention_size or features)
        self.context = Linear(attention_size or features, 1, bias=False)

    def describe(self) -> WholeSequence:
        """State that no steps are left, and how to pool those of a stream."""
        return WholeSequence(POOLS, pools=True, running=self._running)

    def operators(self) -> tuple[Operator, ...]:
        """Return the weighted mean."""
        weights = {"attention": self.attention, "context": self.context}
        return (Operator("throughtime.nn.AttentionPool", {"features": self.features, **weights}),)

    def forward(self, input: Any) -> Tensor:  # noqa: A002 - torch's name
        """Return (B, D)."""
        x = sequences_of(input, "AttentionPool")
        return sum_over_time(self.weights(x).values[:, None] * x.values, x.layout)

    def weights(self, x: Any) -> Ragged:
        """Return the weights α of the steps, Ragged (T,)."""
        x = sequences_of(x, "AttentionPool")
        weights: Ragged = x.with_values(softmax_over_time(self._scores(x), x.layout))
        return weights

    def _running(self, x: Ragged, state: Any) -> tuple[Tensor, Any]:
        """Return the weighted mean of all steps so far."""
        return running_attention(x, self._scores(x), state)

    def _scores(self, x: Ragged) -> Tensor:
        """Return u_t · v of each step, (T,)."""
        check_real(x, "AttentionPool")
        check_features(x, self.features, "AttentionPool")
        scores: Tensor = self.context(torch.tanh(self.attention(x.values)))[:, 0]
        return scores
