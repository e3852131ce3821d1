"""`BagOfWords`: logistic regression on token counts, which ``diagnose`` compares with a classifier."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits
from torch import Tensor

from throughtime.baselines.ngrams import NGrams
from throughtime.baselines.rows import with_validation
from throughtime.data.examples import Examples
from throughtime.errors import ShapeError
from throughtime.ragged import Ragged

_PENALTIES = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)
"""Inverse strengths of the L2 penalty."""


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
    grams: NGrams
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
    rows = with_validation(training, validation)
    classes = len(_labels(training).unique())
    counts = max(1, rows.training.inputs.layout.total * classes)
    fitted_to = rows.limited(len(rows.training) * most / counts).training
    best: tuple[float, BagOfWords] | None = None
    for unit in (False, True):
        candidate = _best_penalty(fitted_to, rows.validation, unit=unit)
        if candidate is not None and (best is None or candidate[0] < best[0]):
            best = candidate
    return None if best is None else best[1]


def _best_penalty(training: Examples, validation: Examples, *, unit: bool) -> tuple[float, BagOfWords] | None:
    """Return the best cross-entropy of the validation examples and its regression."""
    truth = _labels(training).numpy()
    classes = np.unique(truth)
    usable = validation.select(torch.isin(_labels(validation), _labels(training)).nonzero().flatten())
    tokens = training.inputs
    grams = NGrams(int(tokens.values.max()) + 1 if len(tokens.values) else 1, 1, counts=True, unit=unit)
    design = grams.fit(tokens)
    if len(classes) < 2 or not design.shape[1] or not len(usable):
        return None
    validation_rows, best = grams.transform(usable.inputs), None
    for penalty in _PENALTIES:
        regression = LogisticRegression(C=penalty, max_iter=200, tol=1e-3)
        # One thread, because several are many times slower for small products on busy cores.
        with threadpool_limits(1), warnings.catch_warnings():
            # Validation selects the model, which may be one that did not converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(design, truth)
        predicted = regression.predict_proba(validation_rows)
        loss = float(log_loss(_labels(usable).numpy(), predicted, labels=classes))
        if best is not None and loss >= best[0]:
            break
        best = loss, BagOfWords(regression, grams, len(training))
    return best


def _labels(examples: Examples) -> Tensor:
    """Return the class numbers (B,)."""
    if isinstance(examples.targets, Ragged):
        raise ShapeError("a bag of words needs one class for each sequence, got one target for each step")
    return examples.targets
