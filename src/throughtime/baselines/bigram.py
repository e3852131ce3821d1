"""`BigramModel`: the probability of a token given the one before it, for anomaly detection."""

from dataclasses import dataclass

import numpy as np
import torch

from throughtime.baselines.baseline import Fit
from throughtime.baselines.columns import Integers, with_unknown
from throughtime.baselines.linear import Floats
from throughtime.baselines.rows import Rows, weights_of_sequences
from throughtime.data.examples import Examples
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class BigramModel:
    """Interpolated bigrams [1]_ of sequences with an end.

    p(b | a) = (n(a, b) + d(a) · p(b)) / (n(a) + d(a)),  p(b) = (n(b) + 1) / (n + V + 2)

    n(a, b) counts a followed by b, and d(a) the different tokens after a. Beside the V tokens there are one
    for unknown tokens and one for the end of a sequence, which stands before its beginning, too.

    Parameters
    ----------
    vocabulary_size : int
        V.
    pairs : ndarray
        Sorted numbers a · (V + 2) + b of the pairs in training.
    pair_counts : ndarray
        n(a, b) of these.
    followers : ndarray
        (V + 2,) d(a).
    totals : ndarray
        (V + 2,) n(a).
    unigram : ndarray
        (V + 2,) p(b).

    References
    ----------
    .. [1] I. H. Witten and T. C. Bell, "The zero-frequency problem", IEEE Transactions on Information Theory
       37 (1991), method C; interpolated as in S. F. Chen and J. Goodman, "An empirical study of smoothing
       techniques for language modeling", Computer Speech and Language 13 (1999), section 2.4.
    """

    vocabulary_size: int
    pairs: Integers
    pair_counts: Floats
    followers: Floats
    totals: Floats
    unigram: Floats

    @classmethod
    def fitted(cls, examples: Examples) -> "BigramModel":
        """Count the bigrams of the sequences, each with its weight."""
        tokens = examples.inputs.values
        size = int(tokens.max()) + 1 if len(tokens) else 0
        before, after, sequences = _pairs(examples.inputs, size)
        weights = weights_of_sequences(examples)
        pairs, place = np.unique(before * (size + 2) + after, return_inverse=True)
        counts = np.bincount(place, weights[sequences]).astype(np.float64)
        unigram = np.bincount(after, weights[sequences], size + 2) + 1.0
        return cls(
            size,
            pairs,
            counts,
            np.bincount(pairs // (size + 2), minlength=size + 2).astype(np.float64),
            np.bincount(pairs // (size + 2), counts, size + 2).astype(np.float64),
            unigram / unigram.sum(),
        )

    def __call__(self, examples: Examples) -> Ragged:
        """Return −log p of each token and of the end of each sequence, (T + B, 1) float64."""
        before, after, _ = _pairs(examples.inputs, self.vocabulary_size)
        counts = self._counts(before * (self.vocabulary_size + 2) + after)
        weight = self.followers[before]
        known = self.totals[before] + weight
        interpolated = (counts + weight * self.unigram[after]) / np.where(known > 0, known, 1.0)
        surprise = -np.log(np.where(known > 0, interpolated, self.unigram[after]))
        return Ragged.from_lengths(torch.from_numpy(surprise)[:, None], examples.inputs.lengths + 1)

    def _counts(self, pairs: Integers) -> Floats:
        places = np.searchsorted(self.pairs, pairs).clip(max=len(self.pairs) - 1)
        return np.where(self.pairs[places] == pairs, self.pair_counts[places], 0.0)


def bigram_model(rows: Rows, _outputs: int, _seconds: float) -> Fit:
    """Fit a bigram model to the training sequences."""
    model = BigramModel.fitted(rows.training)
    parameters = len(model.pairs) + len(model.unigram)
    return Fit(model, parameters, len(rows.training), rows.training.inputs.layout.total)


def _pairs(tokens: Ragged, size: int) -> tuple[Integers, Integers, Integers]:
    """Return each token and end (T + B,), what stands before it, and the number of its sequence."""
    lengths = tokens.lengths.numpy() + 1
    ends = np.cumsum(lengths) - 1
    after = np.full(int(lengths.sum()), size + 1)
    is_token = np.ones(len(after), dtype=bool)
    is_token[ends] = False
    after[is_token] = with_unknown(tokens.values.numpy(), size)
    # The end of one sequence stands before the next one.
    before = np.concatenate([[size + 1], after[:-1]]) if len(after) else after
    return before, after, np.repeat(np.arange(len(lengths)), lengths)
