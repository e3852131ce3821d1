"""`FullSoftmax` and `AdaptiveSoftmax`: words out of features, and the words' output vectors as embeddings."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.errors import ShapeError
from throughtime.models._cross_entropy import cross_entropy
from throughtime.nn import Linear
from throughtime.ops.linear import linear
from throughtime.ops.plain import unobserved


class Scored(NamedTuple):
    """How well each step was predicted."""

    losses: Tensor
    """(T,) −log p of what came, in nats."""
    right: Tensor
    """(T,) bool: whether the most probable was what came."""


def small(*shape: int) -> nn.Parameter:
    """Return weights uniform within 0.1, as Zaremba et al. (2014) begin theirs."""
    return nn.Parameter(torch.empty(shape).uniform_(-0.1, 0.1))


def at_least_float32(x: Tensor) -> Tensor:
    """Return half precision as float32: sums over many words need its digits."""
    return x.float() if x.dtype in {torch.bfloat16, torch.float16} else x


class FullSoftmax(nn.Module):
    """softmax(W h + b) over all V words, W of (V, D)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = small(classes, features)
        self.bias = nn.Parameter(torch.zeros(classes))

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the output vectors (T, D) of words (T,)."""
        return F.embedding(tokens, self.weight)

    def log_prob(self, h: Tensor) -> Tensor:
        """Return log-probabilities (T, V)."""
        return F.log_softmax(at_least_float32(linear(h, self.weight, self.bias)), -1)

    def score(self, h: Tensor, words: Tensor) -> Scored:
        """Return −log p of each word, given what the model made (T, D)."""
        return Scored(*cross_entropy(linear(h, self.weight, self.bias), words))


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    r"""`torch.nn.AdaptiveLogSoftmaxWithLoss` whose output vectors can be read as input embeddings.

    The output vector of a word w of the frequent cluster is its row of the head; of a word of rare cluster i,
    with its vector e_w of D / 4^i numbers and the cluster's projection P_i, it is P_iᵀ e_w. Tying means that
    this is also the word's input embedding, as W is in a full softmax.

    Parameters
    ----------
    features : int
        D.
    classes : int
        V; numbers must go from frequent to rare words.
    cutoffs : sequence of int
        Where clusters end, rising, below V.

    Raises
    ------
    ShapeError
        If there are no cutoffs, they do not rise from 1 to below V, or D is too small for so many clusters.

    References
    ----------
    .. [1] E. Grave et al., "Efficient softmax approximation for GPUs", ICML (2017).
    .. [2] A. Baevski and M. Auli, "Adaptive input representations for neural language modeling", ICLR (2019):
       tied, projections included.

    Examples
    --------
    >>> import torch
    >>> softmax = AdaptiveSoftmax(16, 20, [5, 10])
    >>> tuple(softmax.embed(torch.tensor([0, 7, 19])).shape)
    (3, 16)
    """

    def __init__(self, features: int, classes: int, cutoffs: Sequence[int]) -> None:
        ends = [0, *cutoffs, classes]
        if not cutoffs or any(a >= b for a, b in itertools.pairwise(ends)):
            raise ShapeError(
                f"cutoffs rise from 1 to below the {classes} words of the vocabulary; got {list(cutoffs)}"
            )
        if features < 4 ** len(cutoffs):
            raise ShapeError(
                f"with {len(cutoffs)} cutoffs the rarest words have vectors of {features} / 4^{len(cutoffs)} "
                "numbers, less than one; give fewer cutoffs, or larger embeddings"
            )
        super().__init__(features, classes, list(cutoffs), div_value=4.0, head_bias=True)
        self.head = _ours(self.head)
        tails = cast("Iterable[Iterable[nn.Linear]]", self.tail)
        self.tail = nn.ModuleList(nn.Sequential(*map(_ours, tail)) for tail in tails)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the output vectors (T, D) of words (T,)."""
        if not unobserved():
            return self._embed_in_graph(tokens)
        embedded = self.head.weight.new_zeros(len(tokens), self.in_features)
        for low, high, table, projection in self._tables():
            rows = ((tokens >= low) & (tokens < high)).nonzero().flatten()
            vectors = F.embedding(tokens.index_select(0, rows) - low, table)
            if projection is not None:
                vectors = linear(vectors, projection.t())
            embedded = embedded.index_copy(0, rows, vectors.to(embedded.dtype))
        return embedded

    def _embed_in_graph(self, tokens: Tensor) -> Tensor:
        """Return the same without indices of unknown number: each cluster's table is read for every word."""
        embedded = F.embedding(tokens.clamp(0, self.cutoffs[0] - 1), self.head.weight)
        for low, high, table, projection in list(self._tables())[1:]:
            vectors = F.embedding(tokens.clamp(low, high - 1) - low, table)
            if projection is not None:
                vectors = linear(vectors, projection.t())
            is_here = ((tokens >= low) & (tokens < high)).unsqueeze(1)
            embedded = torch.where(is_here, vectors.to(embedded.dtype), embedded)
        return embedded

    def _tables(self) -> Iterator[tuple[int, int, Tensor, Tensor | None]]:
        """Yield first and last word of each cluster, its vectors, and what projects them to D features."""
        ends = [0, *self.cutoffs]
        yield 0, ends[1], self.head.weight[: ends[1]], None
        for low, high, tail in zip(ends[1:], ends[2:], self.tail, strict=False):
            projection, vectors = tail.parameters()
            yield low, high, vectors, projection

    def log_prob(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return log-probabilities (T, V) of what the model made (T, D)."""
        head = F.log_softmax(self.head(input), -1)
        clusters = [
            F.log_softmax(tail(input), -1) + head[:, self.shortlist_size + place].unsqueeze(1)
            for place, tail in enumerate(self.tail)
        ]
        return torch.cat([head[:, : self.shortlist_size], *clusters], 1)

    def score(self, h: Tensor, words: Tensor) -> Scored:
        """Return −log p of each word, given what the model made (T, D)."""
        with torch.autocast(h.device.type, enabled=False):
            h = h.to(self.head.weight.dtype)
            if not len(words):  # torch's own asks for the smallest of no words
                return Scored(self.head(h).sum(-1), torch.empty_like(words, dtype=torch.bool))
            losses = -self(h, words).output
            with torch.no_grad():
                return Scored(losses, self.predict(h) == words)


def _ours(layer: nn.Linear) -> Linear:
    """Return our linear layer with the parameters of torch's."""
    ours = Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
    ours.weight, ours.bias = layer.weight, layer.bias
    return ours
