"""Models that know little of order, to hold every network against: scikit-learn's, on n-grams."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import normalize
from torch import Tensor

from throughtime.data.examples import Examples, Source
from throughtime.errors import DataError
from throughtime.ragged import Ragged

_PENALTIES = (1.0, 4.0)
"""Inverse strengths of the L2 penalty, of which validation picks one."""


@dataclass(frozen=True)
class Baseline:
    """A trained baseline and what it reached."""

    name: str
    correct: NDArray[np.bool_]
    """(test examples,): whether each was classified right."""
    parameters: int
    seconds: float
    tokens: int
    """Tokens read in training."""


def majority(source: Source, test: Examples) -> Baseline:
    """Name the commonest class of the training examples, whatever the sequence."""
    began = perf_counter()
    labels = source.training(0).labels.numpy()
    model = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(labels), 1)), labels)
    correct = model.predict(np.zeros((len(test), 1))) == test.labels.numpy()
    return Baseline("majority", correct, 0, perf_counter() - began, 0)


def ngram_regression(source: Source, test: Examples, longest: int, name: str) -> Baseline:
    """Logistic regression on the presence of all n-grams up to a length.

    Rows are scaled to unit length; n-grams met once are left out; the strength of the L2 penalty is the
    best of two on the validation examples.

    Parameters
    ----------
    source
        Trained on ``training(0)``.
    test
        What accuracy is taken of.
    longest
        n of the longest n-grams: 1 is a bag of words.
    name
        What to call it.

    Raises
    ------
    DataError
        If there is nothing to learn from: no n-gram occurs twice.
    """
    began = perf_counter()
    examples = source.training(0)
    grams = NGrams(source.vocabulary_size, longest)
    design = grams.fit(examples.tokens)
    if design.shape[1] == 0:
        raise DataError(f"{name}: no n-gram occurs twice in the training examples; give more data")
    seen = grams.transform(source.validation.tokens)
    best, score = None, -1.0
    for penalty in _PENALTIES:
        model = LogisticRegression(C=penalty, solver="liblinear", tol=1e-3).fit(
            design, examples.labels.numpy()
        )
        reached = model.score(seen, source.validation.labels.numpy())
        if reached > score:
            best, score = model, reached
    seconds = perf_counter() - began
    correct = best.predict(grams.transform(test.tokens)) == test.labels.numpy()  # type: ignore[union-attr]
    return Baseline(
        name, correct, design.shape[1] + 1, seconds, len(_PENALTIES) * examples.tokens.values.shape[0]
    )


def memoryless_loss(
    tokens: Ragged, labels: Tensor, classes: int, *, folds: int = 5, most: int = 5000
) -> float | None:
    """Return the cross-entropy that a logistic regression on a bag of tokens reaches: it sees no order.

    Every sequence is predicted by a model fitted to the other folds (stratified by class), and never by one
    that has seen it.

    Parameters
    ----------
    tokens : Ragged
        (T,) int64.
    labels : Tensor
        (B,) int64, below ``classes``.
    classes
        How many there are.
    folds
        At most as many as the rarest class has sequences.
    most
        Only the first so many sequences are used.

    Returns
    -------
    float or None
        In nats; None if a class is missing or has one sequence, or no token occurs in two sequences.

    Examples
    --------
    >>> import torch
    >>> tokens = Ragged.from_list([torch.tensor([i % 2, 5]) for i in range(40)])
    >>> memoryless_loss(tokens, torch.arange(40) % 2, 2) < 0.5
    True
    """
    tokens, truth = tokens[:most], labels[:most].numpy()
    folds = min(folds, int(np.bincount(truth, minlength=classes).min()))
    if folds < 2:
        return None
    design = NGrams(int(tokens.values.max()) + 1 if len(tokens.values) else 1, 1).fit(tokens)
    if design.shape[1] == 0:
        return None
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    model = LogisticRegression(C=_PENALTIES[0], max_iter=1000)
    chances = cross_val_predict(model, design, truth, cv=split, method="predict_proba")
    return float(log_loss(truth, chances, labels=np.arange(classes)))


class NGrams:
    """Which n-grams of token numbers a sequence holds, as rows of a sparse matrix.

    Parameters
    ----------
    vocabulary_size
        Tokens are below it.
    longest
        All lengths from 1 to this are counted.
    """

    def __init__(self, vocabulary_size: int, longest: int) -> None:
        self._size = vocabulary_size
        self._lengths = range(1, longest + 1)
        self._known: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def fit(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        """Learn the n-grams that occur in two places or more, and return the rows of these sequences."""
        keys, rows = self._keys(tokens)
        known, counts = np.unique(keys, return_counts=True)
        self._known = known[counts > 1]
        return self._rows(keys, rows, len(tokens))

    def transform(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        """Return the rows of other sequences; n-grams that were not learnt are left out."""
        return self._rows(*self._keys(tokens), len(tokens))

    def _keys(self, tokens: Ragged) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        values, owner = tokens.values.numpy(), tokens.sequence_ids().numpy()
        keys: list[NDArray[np.int64]] = []
        rows: list[NDArray[np.int64]] = []
        for length in self._lengths:
            count = max(0, len(values) - length + 1)
            whole = owner[:count] == owner[len(owner) - count :]
            key = np.zeros(count, dtype=np.int64)
            for i in range(length):
                # Tokens count from 1, so that n-grams of different lengths differ.
                key = key * (self._size + 1) + values[i : i + count] + 1
            keys.append(key[whole])
            rows.append(owner[:count][whole])
        return np.concatenate(keys), np.concatenate(rows)

    def _rows(self, keys: NDArray[np.int64], rows: NDArray[np.int64], count: int) -> scipy.sparse.csr_matrix:
        columns = np.searchsorted(self._known, keys)
        found = columns < len(self._known)
        found[found] = self._known[columns[found]] == keys[found]
        entries = (np.ones(int(found.sum())), (rows[found], columns[found]))
        matrix = scipy.sparse.csr_matrix(entries, shape=(count, len(self._known)))
        matrix.data[:] = 1.0  # presence, not count
        return normalize(matrix) if matrix.shape[1] else matrix


def all_baselines(source: Source, test: Examples) -> Sequence[Baseline]:
    """Train majority, and logistic regression on unigrams and on one-to-three-grams."""
    return (
        majority(source, test),
        ngram_regression(source, test, 1, "unigram logistic"),
        ngram_regression(source, test, 3, "trigram logistic"),
    )
