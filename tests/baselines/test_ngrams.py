"""N-gram features against plain counts, and regressions on them on data of known order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from throughtime.baselines.baseline import Fit
from throughtime.baselines.ngrams import NGrams
from throughtime.baselines.regressions import ngram_regression
from throughtime.baselines.rows import Rows
from throughtime.baselines.targets import Classes
from throughtime.data.examples import Examples
from throughtime.ragged import Ragged

SEQUENCES = st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=5)


def _ragged(sequences: list[list[int]]) -> Ragged:
    return Ragged.from_lengths(
        torch.tensor([t for s in sequences for t in s]).long(), [len(s) for s in sequences]
    )


def _grams(sequence: list[int], longest: int) -> set[tuple[int, ...]]:
    return {tuple(sequence[i : i + n]) for n in range(1, longest + 1) for i in range(len(sequence) - n + 1)}


@given(train=SEQUENCES, other=SEQUENCES, longest=st.integers(1, 3))
def test_rows_hold_the_n_grams_of_their_sequence(
    train: list[list[int]], other: list[list[int]], longest: int
) -> None:
    grams = NGrams(4, longest)
    found = grams.fit(_ragged(train))
    places = [gram for sequence in train for n in range(1, longest + 1) for gram in
              (tuple(sequence[i : i + n]) for i in range(len(sequence) - n + 1))]  # fmt: skip
    known = {gram for gram in places if places.count(gram) > 1}
    assert found.shape == (len(train), len(known))
    for rows, sequences in ((found, train), (grams.transform(_ragged(other)), other)):
        for row, sequence in zip(rows, sequences, strict=True):
            expected = len(_grams(sequence, longest) & known)
            assert row.nnz == expected
            assert row.power(2).sum() == pytest.approx(1.0 if expected else 0.0)


def test_tokens_beyond_the_vocabulary_are_one_unknown_token() -> None:
    grams = NGrams(3, 2, counts=True, unit=False)
    grams.fit(_ragged([[0, 1, 2], [0, 1, 2]]))  # 0, 1, 2, 01, 12
    assert grams.transform(_ragged([[0, 1, 9, 2], [7, 8]])).sum(1).tolist() == [[4.0], [0.0]]


def _order(seed: int, count: int) -> Examples:
    """Return sequences of 0 and 1 once each among noise; class 1 if 0 comes right before 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    rows = []
    for label in labels.tolist():
        noise = torch.randint(2, 6, (6,), generator=generator)
        pair = torch.tensor([0, 1] if label else [1, 0])
        rows.append(torch.cat([noise[:3], pair, noise[3:]]))
    return Examples(Ragged.from_list(rows), labels)


def _accuracy(fit: Fit | None, test: Examples) -> float:
    assert fit is not None
    return float((fit.predictor(test).argmax(1) == test.targets).double().mean())  # type: ignore[union-attr]


def test_unigrams_do_not_see_the_order_and_bigrams_do() -> None:
    rows, test = Rows(_order(0, 300), _order(1, 100)), _order(2, 200)
    unigrams = ngram_regression(rows, Classes(2), 60, lengths=(1,))
    chosen = ngram_regression(rows, Classes(2), 60)
    assert _accuracy(unigrams, test) < 0.65
    assert _accuracy(chosen, test) == 1.0
    assert unigrams is not None
    assert chosen is not None
    assert chosen.parameters > unigrams.parameters > 0


def test_counts_are_used_where_presence_tells_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    tokens = [
        torch.tensor([0] * (3 - y) + [1] * (2 + y))[torch.randperm(5, generator=generator)] for y in labels
    ]
    examples = Examples(Ragged.from_list(tokens), labels)
    assert (
        _accuracy(ngram_regression(Rows(examples, examples), Classes(2), 60, lengths=(1,)), examples) == 1.0
    )


def test_without_a_repeated_n_gram_there_is_no_regression() -> None:
    examples = Examples(Ragged.from_lengths(torch.arange(4), [2, 2]), torch.tensor([0, 1]))
    assert ngram_regression(Rows(examples, examples), Classes(2), 60) is None
