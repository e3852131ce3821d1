"""Models that know little of order, to hold every network against: scikit-learn's, on n-grams."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from throughtime.data.examples import Examples, Source
from throughtime.errors import DataError
from throughtime.ragged import Ragged

_PENALTIES = (1.0, 4.0)
"""Inverse strengths of the L2 penalty, of which validation picks one."""

_GROWING_PENALTIES = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)


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


@dataclass(frozen=True)
class BagOfWords:
    """A logistic regression on how often each token occurs in a sequence: it sees no order.

    Made by `fit_bag_of_words`.

    Parameters
    ----------
    regression : LogisticRegression
        Of scikit-learn.
    grams : NGrams
        The tokens that it knows.
    rows : int
        How many training examples it was fitted to.
    """

    regression: LogisticRegression
    grams: "NGrams"
    rows: int

    def log_probabilities(self, tokens: Ragged, classes: int) -> NDArray[np.float64]:
        """Return (B, C), none below the logarithm of the smallest step from 1, as scikit-learn's log_loss."""
        found = np.full((len(tokens), classes), -np.inf)
        found[:, self.regression.classes_] = self.regression.predict_log_proba(self.grams.transform(tokens))
        likely: NDArray[np.float64] = np.maximum(found, np.log(np.finfo(np.float64).eps))
        return likely


def fit_bag_of_words(
    training: Examples, validation: Examples, *, most: int = 100_000_000
) -> BagOfWords | None:
    """Fit a logistic regression on counts of tokens, as strong as validation finds it.

    Counts as they are and counts scaled to unit length are tried, each with inverse strengths of the L2
    penalty that grow fourfold until the cross-entropy of the validation examples grows, too. The best is
    returned.

    Parameters
    ----------
    training
        What the model to compare with was trained on.
    validation
        What its best epoch was chosen by. Without any, a fifth of the training examples is held out for this.
    most
        Products of stored counts and classes; of more, as many training examples as fit are drawn.

    Returns
    -------
    BagOfWords or None
        None if there is nothing to learn from: one class, or no token that occurs twice.

    Examples
    --------
    >>> import torch
    >>> tokens = Ragged.from_list([torch.tensor([i % 2, 5]) for i in range(40)])
    >>> examples = Examples(tokens, torch.arange(40) % 2)
    >>> fitted = fit_bag_of_words(examples, examples)
    >>> fitted.rows, fitted.log_probabilities(tokens[:1], 2).argmax()
    (40, np.int64(0))
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(training), generator=generator)
    if not len(validation):
        held_out = max(1, len(training) // 5)
        validation, order = training.select(order[:held_out]), order[held_out:]
    classes = len(training.labels.unique())
    share = most / max(1, training.tokens.layout.total * classes)
    if share < 1:
        order = order[: max(1, int(share * len(order)))]
    training = training.select(order.sort().values)
    best: tuple[float, BagOfWords] | None = None
    for unit in (False, True):
        found = _best_penalty(training, validation, unit=unit)
        if found is not None and (best is None or found[0] < best[0]):
            best = found
    return None if best is None else best[1]


def _best_penalty(training: Examples, validation: Examples, *, unit: bool) -> tuple[float, BagOfWords] | None:
    """Return the cross-entropy of the validation examples, and the regression that reached it."""
    known = training.labels.unique().numpy()
    chosen = validation.select(torch.isin(validation.labels, training.labels).nonzero().flatten())
    grams = NGrams(
        int(training.tokens.values.max()) + 1 if len(training.tokens.values) else 1, 1, counts=True, unit=unit
    )
    design, truth = grams.fit(training.tokens), training.labels.numpy()
    if len(known) < 2 or not design.shape[1] or not len(chosen):
        return None
    seen, best = grams.transform(chosen.tokens), None
    for penalty in _GROWING_PENALTIES:
        regression = LogisticRegression(C=penalty, max_iter=200, tol=1e-3)
        # One thread: products as small as these take many times as long with several, where cores are busy.
        with threadpool_limits(1), warnings.catch_warnings():
            # Validation decides; it may well prefer a fit that stopped early.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(design, truth)
        loss = float(log_loss(chosen.labels.numpy(), regression.predict_proba(seen), labels=known))
        if best is not None and loss >= best[0]:
            break
        best = loss, BagOfWords(regression, grams, len(training))
    return best


class NGrams:
    """Which n-grams of token numbers a sequence holds, as rows of a sparse matrix.

    Parameters
    ----------
    vocabulary_size
        Tokens are below it.
    longest
        All lengths from 1 to this are counted.
    counts
        Whether entries say how often an n-gram occurs, rather than whether.
    unit
        Whether rows are scaled to unit length.
    """

    def __init__(
        self, vocabulary_size: int, longest: int, *, counts: bool = False, unit: bool = True
    ) -> None:
        self._size, self._counts, self._unit = vocabulary_size, counts, unit
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
        if not self._counts:
            matrix.data[:] = 1.0
        return normalize(matrix) if self._unit and matrix.shape[1] else matrix


def all_baselines(source: Source, test: Examples) -> Sequence[Baseline]:
    """Train majority, and logistic regression on unigrams and on one-to-three-grams."""
    return (
        majority(source, test),
        ngram_regression(source, test, 1, "unigram logistic"),
        ngram_regression(source, test, 3, "trigram logistic"),
    )
