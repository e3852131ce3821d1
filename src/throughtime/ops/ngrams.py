"""Hashed n-grams of token sequences, and linear scores of which of them occur, in plain PyTorch."""

from typing import NamedTuple

import torch
from torch import Tensor

from throughtime.ops.pool.layer import sum_over_time
from throughtime.ragged import Layout

MODULUS = 2**31 - 1
MULTIPLIER = 742938285
"""Of least correlation between successive numbers modulo `MODULUS` (Fishman and Moore 1986, table 1)."""


class Buckets(NamedTuple):
    """Buckets of the n-grams of each sequence, in ascending order, and which entries count.

    Parameters
    ----------
    numbers : Tensor
        (n · T,) int64, from 0 to below the number of buckets.
    counted : Tensor
        (n · T,) bool: false where no n-gram ends at the step, and for all entries of a bucket but the first.
    layout : Layout
        Of the entries: n for each token.
    """

    numbers: Tensor
    counted: Tensor
    layout: Layout


def ngram_buckets(tokens: Tensor, layout: Layout, longest: int, buckets: int) -> Tensor:
    """Return the buckets of the n-grams that end at each step, for n from 1 to ``longest``.

    The key of an n-gram t_1, …, t_n is k_n of k_1 = t_1 + 1, k_i = (a · k_{i−1} + t_i + 1) mod p, with
    p = 2³¹ − 1 and a = 742938285. Its bucket is k_n mod ``buckets``. No product exceeds 63 bits. N-grams of
    two and more tokens may begin with the start of the sequence, a token t = p − 2.

    Parameters
    ----------
    tokens : Tensor
        (T,) int64, from 0 to below p − 2.
    layout : Layout
        Their sequences.
    longest, buckets : int
        Largest n, and the number of buckets.

    Returns
    -------
    Tensor
        (T, n) int64; ``buckets`` where an n-gram would begin before the start of its sequence.

    Examples
    --------
    >>> layout = Layout.from_lengths(torch.tensor([2, 1]), torch.device("cpu"))
    >>> ngram_buckets(torch.tensor([3, 0, 3]), layout, 2, 64)
    tensor([[ 4, 22],
            [ 1, 54],
            [ 4, 22]])
    """
    numbers, key = tokens + 1, tokens + 1
    columns = [key % buckets]
    for before in range(1, longest):
        previous = torch.where(layout.positions == 0, MODULUS - 1, key.roll(1))
        key = (MULTIPLIER * previous + numbers) % MODULUS
        columns.append(torch.where(layout.positions >= before - 1, key % buckets, buckets))
    return torch.stack(columns, 1)


def distinct_buckets(tokens: Tensor, layout: Layout, longest: int, buckets: int) -> Buckets:
    """Return the buckets of all n-grams of each sequence, each counted once; see `ngram_buckets`."""
    end = buckets + 1
    of_steps = ngram_buckets(tokens, layout, longest, buckets) + end * layout.sequence_ids[:, None]
    keys = of_steps.flatten().sort().values
    numbers = keys % end
    first = keys != keys.roll(1)
    first = first | (torch.arange(keys.shape[0], device=keys.device) == 0)
    entries = Layout(layout.offsets * longest, total=layout.total * longest)
    return Buckets(numbers.clamp(max=buckets - 1), first & (numbers < buckets), entries)


def ngram_scores(tokens: Tensor, layout: Layout, weight: Tensor, idf: Tensor, longest: int) -> Tensor:
    """Return Σ_b weight[:, b] · idf[b] / √(Σ_b idf[b]²) over the set of buckets of each sequence's n-grams.

    Parameters
    ----------
    tokens : Tensor
        (T,) int64, see `ngram_buckets`.
    layout : Layout
        Their sequences.
    weight : Tensor
        (N, buckets).
    idf : Tensor
        (buckets,): weight of each bucket in the features, 0 for those that do not count.
    longest : int
        Largest n.

    Returns
    -------
    Tensor
        (B, N); zeros where no bucket counts.

    Examples
    --------
    >>> layout = Layout.from_lengths(torch.tensor([3, 0]), torch.device("cpu"))
    >>> ngram_scores(torch.tensor([3, 0, 3]), layout, torch.ones(1, 16), torch.ones(16), 1)
    tensor([[1.4142],
            [0.0000]])
    """
    found = distinct_buckets(tokens, layout, longest, idf.shape[0])
    features = idf.to(weight.dtype)[found.numbers] * found.counted
    rows = weight.t().index_select(0, found.numbers) * features[:, None]
    norms = sum_over_time(features.square(), found.layout).sqrt()
    return sum_over_time(rows, found.layout) / torch.where(norms > 0, norms, 1.0)[:, None]
