"""Baselines for comparison with networks: majority class, and logistic regression on n-grams."""

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
"""Inverse strengths of the L2 penalty, selected by validation."""

_GROWING_PENALTIES = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)


@dataclass(frozen=True)
class Baseline:
    """Result of a baseline on the test examples."""

    name: str
    correct: NDArray[np.bool_]
    """(test examples,): whether each was classified correctly."""
    parameters: int
    seconds: float
    tokens: int
    """Number of tokens processed in training."""


def majority(source: Source, test: Examples) -> Baseline:
    """Predict the most frequent class of the training examples."""
    began = perf_counter()
    labels = source.training(0).targets.numpy()
    model = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(labels), 1)), labels)
    correct = model.predict(np.zeros((len(test), 1))) == test.targets.numpy()
    return Baseline("majority", correct, 0, perf_counter() - began, 0)


def ngram_regression(source: Source, test: Examples, longest: int, name: str) -> Baseline:
    """Train a logistic regression on the presence of all n-grams up to a length.

    Rows are scaled to unit length, and n-grams that occur once are ignored. The validation examples select
    the better one of two strengths of the L2 penalty.

    Parameters
    ----------
    source
        Data source; ``training(0)`` is used for training.
    test
        Test examples.
    longest
        Maximum n of the n-grams; 1 is a bag of words.
    name
        Name of the baseline.

    Raises
    ------
    DataError
        If no n-gram occurs twice.
    """
    began = perf_counter()
    examples = source.training(0)
    grams = NGrams(source.shape["vocabulary_size"], longest)
    design = grams.fit(examples.inputs)
    if design.shape[1] == 0:
        raise DataError(f"{name}: no n-gram occurs twice in the training examples; give more data")
    validation_rows = grams.transform(source.validation.inputs)
    best, best_score = None, -1.0
    for penalty in _PENALTIES:
        model = LogisticRegression(C=penalty, solver="liblinear", tol=1e-3).fit(
            design, examples.targets.numpy()
        )
        score = model.score(validation_rows, source.validation.targets.numpy())
        if score > best_score:
            best, best_score = model, score
    seconds = perf_counter() - began
    correct = best.predict(grams.transform(test.inputs)) == test.targets.numpy()  # type: ignore[union-attr]
    return Baseline(
        name, correct, design.shape[1] + 1, seconds, len(_PENALTIES) * examples.inputs.values.shape[0]
    )


@dataclass(frozen=True)
class BagOfWords:
    """A logistic regression on token counts, which ignores the order of tokens.

    Use `fit_bag_of_words` to construct one.

    Parameters
    ----------
    regression : LogisticRegression
        Fitted model of scikit-learn.
    grams : NGrams
        Features of the model.
    rows : int
        Number of training examples.
    """

    regression: LogisticRegression
    grams: "NGrams"
    rows: int

    def log_probabilities(self, tokens: Ragged, classes: int) -> NDArray[np.float64]:
        """Return log probabilities (B, C), clipped at log(eps), as in ``log_loss`` of scikit-learn."""
        log_p = np.full((len(tokens), classes), -np.inf)
        log_p[:, self.regression.classes_] = self.regression.predict_log_proba(self.grams.transform(tokens))
        clipped: NDArray[np.float64] = np.maximum(log_p, np.log(np.finfo(np.float64).eps))
        return clipped


def fit_bag_of_words(
    training: Examples, validation: Examples, *, most: int = 100_000_000
) -> BagOfWords | None:
    """Fit a logistic regression on token counts, with the regularization selected by validation.

    Raw counts and counts scaled to unit length are compared, each with inverse strengths of the L2 penalty
    that grow fourfold until the cross-entropy of the validation examples increases. The best model is
    returned.

    Parameters
    ----------
    training
        Training examples.
    validation
        Validation examples. If empty, a fifth of the training examples is used instead.
    most
        Maximum product of stored counts and classes; above it, a random subset of the training examples is
        used.

    Returns
    -------
    BagOfWords or None
        None if there is only one class, or no token occurs twice.

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
    classes = len(training.targets.unique())
    share = most / max(1, training.inputs.layout.total * classes)
    if share < 1:
        order = order[: max(1, int(share * len(order)))]
    training = training.select(order.sort().values)
    best: tuple[float, BagOfWords] | None = None
    for unit in (False, True):
        candidate = _best_penalty(training, validation, unit=unit)
        if candidate is not None and (best is None or candidate[0] < best[0]):
            best = candidate
    return None if best is None else best[1]


def _best_penalty(training: Examples, validation: Examples, *, unit: bool) -> tuple[float, BagOfWords] | None:
    """Return the best cross-entropy of the validation examples and its regression."""
    classes = training.targets.unique().numpy()
    usable = validation.select(torch.isin(validation.targets, training.targets).nonzero().flatten())
    grams = NGrams(
        int(training.inputs.values.max()) + 1 if len(training.inputs.values) else 1, 1, counts=True, unit=unit
    )
    design, truth = grams.fit(training.inputs), training.targets.numpy()
    if len(classes) < 2 or not design.shape[1] or not len(usable):
        return None
    validation_rows, best = grams.transform(usable.inputs), None
    for penalty in _GROWING_PENALTIES:
        regression = LogisticRegression(C=penalty, max_iter=200, tol=1e-3)
        # One thread, because several are many times slower for small products on busy cores.
        with threadpool_limits(1), warnings.catch_warnings():
            # Validation selects the model, which may be one that did not converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(design, truth)
        predicted = regression.predict_proba(validation_rows)
        loss = float(log_loss(usable.targets.numpy(), predicted, labels=classes))
        if best is not None and loss >= best[0]:
            break
        best = loss, BagOfWords(regression, grams, len(training))
    return best


class NGrams:
    """N-gram features of token sequences, as rows of a sparse matrix.

    Parameters
    ----------
    vocabulary_size
        Number of tokens.
    longest
        Maximum n; all n-grams from 1 to this length are used.
    counts
        Whether entries are counts of n-grams, instead of 0 and 1.
    unit
        Whether rows are scaled to unit length.
    """

    def __init__(
        self, vocabulary_size: int, longest: int, *, counts: bool = False, unit: bool = True
    ) -> None:
        self._size, self._counts, self._unit = vocabulary_size, counts, unit
        self._lengths = range(1, longest + 1)
        self._vocabulary: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def fit(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        """Learn the n-grams that occur at least twice, and return the rows of these sequences."""
        keys, rows = self._keys(tokens)
        distinct, counts = np.unique(keys, return_counts=True)
        self._vocabulary = distinct[counts > 1]
        return self._rows(keys, rows, len(tokens))

    def transform(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        """Return the rows of other sequences, ignoring n-grams that were not learned."""
        return self._rows(*self._keys(tokens), len(tokens))

    def _keys(self, tokens: Ragged) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        values, sequence_ids = tokens.values.numpy(), tokens.sequence_ids().numpy()
        keys: list[NDArray[np.int64]] = []
        rows: list[NDArray[np.int64]] = []
        for length in self._lengths:
            count = max(0, len(values) - length + 1)
            same_sequence = sequence_ids[:count] == sequence_ids[len(sequence_ids) - count :]
            key = np.zeros(count, dtype=np.int64)
            for i in range(length):
                # Tokens are numbered from 1, so that n-grams of different lengths differ.
                key = key * (self._size + 1) + values[i : i + count] + 1
            keys.append(key[same_sequence])
            rows.append(sequence_ids[:count][same_sequence])
        return np.concatenate(keys), np.concatenate(rows)

    def _rows(self, keys: NDArray[np.int64], rows: NDArray[np.int64], count: int) -> scipy.sparse.csr_matrix:
        columns = np.searchsorted(self._vocabulary, keys)
        learned = columns < len(self._vocabulary)
        learned[learned] = self._vocabulary[columns[learned]] == keys[learned]
        entries = (np.ones(int(learned.sum())), (rows[learned], columns[learned]))
        matrix = scipy.sparse.csr_matrix(entries, shape=(count, len(self._vocabulary)))
        if not self._counts:
            matrix.data[:] = 1.0
        return normalize(matrix) if self._unit and matrix.shape[1] else matrix


def all_baselines(source: Source, test: Examples) -> Sequence[Baseline]:
    """Train the majority baseline and logistic regressions on unigrams and on n-grams up to 3."""
    return (
        majority(source, test),
        ngram_regression(source, test, 1, "unigram logistic"),
        ngram_regression(source, test, 3, "trigram logistic"),
    )
