"""`NGrams`: a linear model of hashed word n-grams, whose weights a solver computes."""

import warnings
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from throughtime.errors import InputTypeError, ShapeError
from throughtime.models._inputs import InputKind, ModelInputs
from throughtime.models._options import HashBuckets, LongestGram
from throughtime.models._sequence_model import ExtraFeatures
from throughtime.models.solved import SolvedModel
from throughtime.nn.description import Operator, Series, WholeSequence
from throughtime.nn.inputs.output import as_ragged
from throughtime.ops.linear import linear
from throughtime.ops.ngrams import distinct_buckets, ngram_scores
from throughtime.ragged import Ragged

_LEAST = 2
"""Least number of training sequences with an n-gram whose weight is fitted."""


class _ReadBefore(ExtraFeatures):
    """Extra features that the layer before this one reads."""

    def operators(self) -> tuple[Operator, ...]:
        """Return nothing."""
        return ()


class HashedLinear(nn.Module):
    """Linear scores of the n-grams that occur in a sequence, and of further features of it.

    Parameters
    ----------
    buckets, longest : int
        Number of buckets, and largest n.
    extra : int
        K, the number of further features.
    outputs : int
        N.
    """

    idf: Tensor

    def __init__(self, buckets: int, longest: int, extra: int, outputs: int) -> None:
        super().__init__()
        self.buckets, self.longest = buckets, longest
        # Strides of the transpose: the weights of a bucket lie side by side, as they are read.
        self.weight = nn.Parameter(torch.empty(buckets + extra, outputs).t())
        self.bias = nn.Parameter(torch.empty(outputs))
        self.register_buffer("idf", torch.ones(buckets))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias from a normal distribution of standard deviation 0.1."""
        nn.init.normal_(self.weight, std=0.1)
        nn.init.normal_(self.bias, std=0.1)

    def describe(self) -> WholeSequence:
        """State that no steps are left."""
        return WholeSequence("counts the n-grams of the whole sequence", pools=True)

    def operators(self) -> tuple[Operator, ...]:
        """Return the scores of the n-grams."""
        weight = self.weight[:, : self.buckets]
        arguments = {"weight": weight, "bias": self.bias, "idf": self.idf, "longest": self.longest}
        of_extra = self.weight[:, self.buckets :]
        arguments |= {"extra_weight": of_extra, "extra": of_extra.shape[1]}
        return (Operator("throughtime::ngram_scores", arguments),)

    def forward(self, x: Ragged, extra: Tensor | None = None) -> Tensor:
        """Return (B, N)."""
        weight = self.weight[:, : self.buckets]
        scores = ngram_scores(x.values, x.layout, weight, self.idf, self.longest) + self.bias
        return scores if extra is None else scores + linear(extra, self.weight[:, self.buckets :])

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"buckets={self.buckets}, longest={self.longest}, outputs={len(self.bias)}"


class NGrams(SolvedModel):
    """Distinct n-grams, hashed into buckets and weighted → linear; trained by logistic or ridge regression.

    o = W φ(x) + V e + c,  φ_b(x) = s_b / √(Σ_{g ∈ G(x)} s_g²) for b ∈ G(x), else 0

    G(x) is the set of buckets of the n-grams of the sequence x, n from 1 to ``longest``, of which those of
    two and more tokens may begin with the start of the sequence, a token t = 2³¹ − 3; an n-gram counts once
    however often it occurs. e are the extra features. The weight of a bucket that is in m of the n
    training sequences is its inverse document frequency s = 1 + log((1 + n) / (1 + m)) [3]_, or 0 if m is 0
    or 1. So φ has unit length, or is 0 if no bucket is known from training.

    The bucket of an n-gram t_1, …, t_n is k_n mod ``buckets`` [1]_, with k_1 = t_1 + 1 and
    k_i = (742938285 · k_{i−1} + t_i + 1) mod (2³¹ − 1) in 64-bit integers [2]_.

    Training by name fits W, V and c with an L2 penalty that is chosen on the validation examples: by
    cross-entropy for classes and labels, by squared error for values. A model by itself begins with random
    weights and s = 1.

    Parameters
    ----------
    vocabulary_size : int or ModelInputs
        Tokens are integers below it; or what the model reads.
    outputs : int
        N, the number of outputs: the classes of a classification, or the targets of a regression.
    longest : int
        Largest n of the n-grams.
    buckets : int
        Number of buckets, a power of two. N-grams in the same bucket share their weights.

    Returns
    -------
    Tensor
        (B, N).

    Raises
    ------
    ShapeError
        If ``buckets`` is not a power of two.
    InputTypeError
        If the input is not a batch of int64 tokens.

    References
    ----------
    .. [1] K. Weinberger, A. Dasgupta, J. Langford, A. Smola and J. Attenberg, "Feature hashing for large
       scale multitask learning", ICML (2009).
    .. [2] G. S. Fishman and L. R. Moore, "An exhaustive analysis of multiplicative congruential random
       number generators with modulus 2³¹ − 1", SIAM Journal on Scientific and Statistical Computing 7 (1986).
    .. [3] K. Spärck Jones, "A statistical interpretation of term specificity and its application in
       retrieval", Journal of Documentation 28 (1972).

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> model = tt.models.NGrams(vocabulary_size=10, outputs=2)
    >>> x = tt.Ragged.from_list([torch.tensor([1, 2, 3]), torch.tensor([4])])
    >>> tuple(model(x).shape)
    (2, 2)
    """

    reads: ClassVar[tuple[InputKind, ...]] = ("tokens",)
    solver: ClassVar[Literal["logistic", "ridge"]] = "logistic"

    def __init__(
        self,
        vocabulary_size: int | ModelInputs,
        outputs: int,
        *,
        longest: LongestGram = 2,
        buckets: HashBuckets = 2**18,
    ) -> None:
        super().__init__(ModelInputs.of(vocabulary_size, "tokens"))
        self.extra = _ReadBefore(self.inputs.extra) if self.inputs.extra else None
        if buckets < 1 or buckets & (buckets - 1):
            raise ShapeError(f"NGrams: buckets must be a power of two, got {buckets}")
        if longest < 1:
            raise ShapeError(f"NGrams: longest must be at least 1, got {longest}")
        self.output = HashedLinear(buckets, longest, self.inputs.extra, outputs)

    def describe(self) -> Series:
        """Return the output layer, and the extra features that it also reads."""
        return Series.of(output=self.output, extra=self.extra)

    def forward(self, x: Any, extra: Tensor | None = None) -> Tensor:
        """Return the outputs (B, N) of token ids and, if the model has them, ``extra`` (B, E)."""
        scores: Tensor = self.output(_token_batch(self._checked(x, extra)), extra)
        return scores

    def learn(self, x: Ragged) -> None:
        """Set the inverse document frequencies of the buckets in these sequences."""
        tokens, output = _token_batch(x), self.output
        found = distinct_buckets(tokens.values, tokens.layout, output.longest, output.buckets)
        sequences = torch.bincount(found.numbers[found.counted], minlength=output.buckets)
        idf = 1 + ((1 + len(tokens)) / (1 + sequences.double())).log()
        output.idf.copy_(torch.where(sequences >= _LEAST, idf, 0.0))

    def design(self, x: Ragged, extra: Tensor | None = None) -> Tensor:
        """Return the features (B, buckets + K) as a sparse CSR tensor, float32."""
        tokens, output = _token_batch(self._checked(x, extra)), self.output
        found = distinct_buckets(tokens.values, tokens.layout, output.longest, output.buckets)
        counted = found.counted & (output.idf[found.numbers] > 0)
        rows, columns = found.layout.sequence_ids[counted], found.numbers[counted]
        idf = output.idf[columns].double()
        norms = torch.bincount(rows, idf.square(), minlength=len(x)).sqrt()
        values = (idf / norms[rows]).float()
        if extra is not None:
            rows, columns, values = _with_dense(rows, columns, values, extra, output.buckets)
        return _csr(rows, columns, values, (len(x), output.buckets + self.inputs.extra))

    def set_solution(self, weight: Tensor, bias: Tensor) -> None:
        """Set the weights (N, buckets + K) and the bias (N,)."""
        with torch.no_grad():
            self.output.weight.copy_(weight)
            self.output.bias.copy_(bias)


def _token_batch(x: Any) -> Ragged:
    tokens: Ragged = as_ragged(x, "NGrams")
    if tokens.values.dtype != torch.int64 or tokens.values.dim() != 1:
        raise InputTypeError(
            f"NGrams takes int64 tokens (T,), got {tokens.values.dtype} of shape "
            f"{tuple(tokens.values.shape)}; give the numbers of tokens"
        )
    return tokens


def _with_dense(
    rows: Tensor, columns: Tensor, values: Tensor, dense: Tensor, first: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return entries by row with those of a dense tensor (B, K), whose columns begin at ``first``."""
    count, size = dense.shape
    of_dense = torch.arange(count).repeat_interleave(size)
    order = torch.cat([rows, of_dense]).argsort(stable=True)
    more = (of_dense, first + torch.arange(size).repeat(count), dense.to(values).flatten())
    rows, columns, values = (
        torch.cat(pair)[order] for pair in zip((rows, columns, values), more, strict=True)
    )
    return rows, columns, values


def _csr(rows: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a sparse CSR tensor of entries that are sorted by row."""
    starts = torch.constant_pad_nd(torch.bincount(rows, minlength=size[0]).cumsum(0), (1, 0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled", UserWarning)
        return torch.sparse_csr_tensor(starts, columns, values, size, check_invariants=False)
