"""Hashed n-grams against Python's integers and sets."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from throughtime.ops.ngrams import ngram_buckets, ngram_scores
from throughtime.ragged import Ragged

START = 2**31 - 3
SEQUENCES = st.lists(st.lists(st.integers(0, 5), max_size=7), max_size=5)


def _ragged(sequences: list[list[int]]) -> Ragged:
    return Ragged.from_lengths(
        torch.tensor([t for s in sequences for t in s], dtype=torch.int64), [len(s) for s in sequences]
    )


def _bucket(gram: list[int], buckets: int) -> int:
    key = gram[0] + 1
    for token in gram[1:]:
        key = (742938285 * key + token + 1) % (2**31 - 1)
    return key % buckets


def _buckets(sequence: list[int], longest: int, buckets: int) -> set[int]:
    marked = [START, *sequence]
    grams = [marked[i : i + n] for n in range(1, longest + 1) for i in range(len(marked) - n + 1)]
    return {_bucket(gram, buckets) for gram in grams if gram != [START]}


@given(SEQUENCES, st.integers(1, 4), st.sampled_from([4, 1024]))
def test_the_buckets_are_those_of_the_formula(sequences: list[list[int]], longest: int, buckets: int) -> None:
    x = _ragged(sequences)
    found = ngram_buckets(x.values, x.layout, longest, buckets)
    expected = [
        [_bucket([START, *s][i + 1 - n : i + 2], buckets) if i >= n - 1 else buckets for n in range(longest)]
        for s in sequences
        for i in range(len(s))
    ]
    assert found.tolist() == expected


def test_keys_of_large_token_numbers_do_not_overflow() -> None:
    x = _ragged([[2**31 - 4, 2**31 - 5, 2**31 - 4]])
    expected = [_bucket([2**31 - 4, 2**31 - 5, 2**31 - 4][: n + 1], 2**20) for n in range(3)]
    assert ngram_buckets(x.values, x.layout, 3, 2**20).diagonal().tolist() == expected


@given(SEQUENCES, st.integers(1, 3), st.sampled_from([4, 64]), st.integers(0, 9))
def test_scores_are_weighted_sums_over_the_set_of_buckets(
    sequences: list[list[int]], longest: int, buckets: int, seed: int
) -> None:
    x, random = _ragged(sequences), torch.Generator().manual_seed(seed)
    weight = torch.randn(3, buckets, dtype=torch.float64, generator=random)
    idf = torch.rand(buckets, dtype=torch.float64, generator=random)
    idf[idf < 0.3] = 0
    found = ngram_scores(x.values, x.layout, weight, idf, longest)
    assert found.shape == (len(sequences), 3)
    for row, sequence in zip(found, sequences, strict=True):
        counted = list(_buckets(sequence, longest, buckets))
        norm = math.sqrt(sum(float(idf[b]) ** 2 for b in counted))
        expected = sum((weight[:, b] * idf[b] for b in counted), torch.zeros(3).double()) / (norm or 1)
        torch.testing.assert_close(row, expected)


def test_a_repeated_n_gram_counts_once() -> None:
    x, weight = _ragged([[1, 1, 1, 1], [1, 1, 1]]), torch.randn(2, 32, dtype=torch.float64)
    scores = ngram_scores(x.values, x.layout, weight, torch.ones(32, dtype=torch.float64), 2)
    assert torch.equal(scores[0], scores[1])


def test_few_bigrams_of_many_words_share_a_bucket() -> None:
    """No more than of random buckets: m pairs in M have about m²/2M collisions."""
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randint(20_000, (60_000,), generator=random) for _ in range(2))
    pairs = torch.unique(torch.stack([first, second], 1), dim=0)
    x = Ragged.from_lengths(pairs.flatten(), [2] * len(pairs))
    found = ngram_buckets(x.values, x.layout, 2, 2**24)[1::2, 1]
    collisions = len(pairs) - len(found.unique())
    assert collisions == pytest.approx(len(pairs) ** 2 / 2 / 2**24, rel=0.4)
