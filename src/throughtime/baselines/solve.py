"""`solve`: weights of models that are linear in their features, computed from all examples at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse
import torch
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from throughtime.baselines.baseline import NO_MODEL
from throughtime.baselines.linear import Features, Floats, LinearModel
from throughtime.baselines.ridge import fit_ridge
from throughtime.baselines.rows import Rows, values_of_targets, weights_of_targets, with_validation
from throughtime.baselines.search import INVERSE_PENALTIES
from throughtime.baselines.targets import Classes, Labels, Targets, Values
from throughtime.data.examples import Examples
from throughtime.errors import DataError, UnsupportedError
from throughtime.models.solved import SolvedModel
from throughtime.tasks import Classification, MultiLabel, Regression, SequenceTask

_FIRST_GUESS = INVERSE_PENALTIES.index(16.0)
MOST_NUMBERS = 2**28
"""Most numbers of a dense design, 1 GiB in float32; of more rows a random subset is used."""
MOST_PRODUCTS = 3e7
"""Most entries of a design times columns of weights in a search of penalties: about 20 s on one core each."""
_ROWS_AT_ONCE = 1024


def solve(
    model: SolvedModel,
    task: SequenceTask,
    training: Examples,
    validation: Examples,
    inverse_penalty: float | None = None,
) -> float:
    """Fit a model that is linear in its features, and return the inverse of the penalty on squared weights.

    The model learns from the training sequences what its features need. A model of ``solver`` "logistic" is
    then fitted by cross-entropy, or of a regression by squared error, with the penalty among
    `throughtime.baselines.search.INVERSE_PENALTIES` whose loss on the validation examples is least: they are
    tried from 16 on in the direction in which the loss falls, until it grows. Of large data, a random subset
    of the training and validation examples is used to choose it, see `MOST_PRODUCTS`. A model of "ridge" is
    fitted by `throughtime.baselines.ridge.fit_ridge`, which needs no validation examples. Everything is
    deterministic.

    Parameters
    ----------
    model : SolvedModel
        The model, whose weights are set.
    task : SequenceTask
        A classification, a multi-label classification or a regression.
    training : Examples
        At least one. Their weights are used. A dense design of more than `MOST_NUMBERS` numbers is that of a
        random subset.
    validation : Examples
        If there are none, a fifth of the training examples takes their place. Not used if the penalty is
        given.
    inverse_penalty : float, optional
        The inverse penalty to fit with, as this function returned it for other examples.

    Returns
    -------
    float
        The inverse penalty that the weights were fitted with.

    Raises
    ------
    DataError
        If there are no training examples.
    UnsupportedError
        If the task is another one.

    Examples
    --------
    >>> import torch, throughtime as tt
    >>> tokens = tt.Ragged.from_list([torch.tensor([i % 2, 5]) for i in range(40)])
    >>> examples = Examples(tokens, torch.arange(40) % 2)
    >>> model = tt.models.NGrams(vocabulary_size=6, outputs=2)
    >>> solve(model, Classification(("a", "b")), examples, examples)
    1024.0
    >>> model(tokens[:4]).argmax(1)
    tensor([0, 1, 0, 1])
    """
    if not len(training):
        raise DataError("there are no training examples to fit to; give more data")
    targets = _targets_of(task)
    # One thread, because several are many times slower for small products on busy cores.
    with threadpool_limits(1 if model.solver == "logistic" else None, user_api="blas"):
        if model.solver == "ridge":
            fitted, inverse = _ridge(model, targets, training, inverse_penalty)
        else:
            rows = Rows(training, training) if inverse_penalty else with_validation(training, validation)
            fitted, inverse = _penalised(model, task, targets, rows, inverse_penalty)
    scale = fitted.temperature
    model.set_solution(
        torch.from_numpy(fitted.weights / scale).float(), torch.from_numpy(fitted.intercept / scale).float()
    )
    return inverse


def _targets_of(task: SequenceTask) -> Targets:
    match task:
        case Classification():
            return Classes(task.outputs)
        case MultiLabel():
            return Labels(task.outputs)
        case Regression():
            return Values(task.outputs)
        case _:
            raise UnsupportedError(
                f"a model whose weights are solved for is trained for classification, multilabel or "
                f"regression, not for task {task.name!r}; choose another model"
            )


def _penalised(
    model: SolvedModel, task: SequenceTask, targets: Targets, rows: Rows, inverse: float | None
) -> tuple[LinearModel, float]:
    """Return the model of the best penalty, or of a given one, and the inverse penalty."""
    model.learn(rows.training.inputs)
    design = _Design.of(model, rows.training)
    if inverse is not None:
        return _fitted(targets, design, rows.training, inverse), inverse
    products = design.entries / len(rows.training) * targets.models
    searched = rows.limited(MOST_PRODUCTS / max(1.0, products))
    if searched.training is rows.training:
        return _searched(model, task, targets, searched, design)
    _, inverse = _searched(model, task, targets, searched, _Design.of(model, searched.training))
    return _fitted(targets, design, rows.training, inverse), inverse


def _searched(
    model: SolvedModel, task: SequenceTask, targets: Targets, rows: Rows, design: "_Design"
) -> tuple[LinearModel, float]:
    """Return the model of the penalty with the least loss on validation examples, and the inverse penalty."""
    held_out = _features(model, rows.validation)
    models: dict[int, LinearModel] = {}

    def loss(step: int) -> float:
        models[step] = _fitted(targets, design, rows.training, INVERSE_PENALTIES[step])
        return _loss(task, models[step].scores(held_out), rows.validation)

    best = lowest(cache(loss), _FIRST_GUESS, len(INVERSE_PENALTIES))
    return models[best], INVERSE_PENALTIES[best]


@dataclass(frozen=True)
class _Design:
    """The features of training examples, without the columns of a sparse matrix that have no entries.

    Parameters
    ----------
    features : ndarray or sparse matrix
        (n, F').
    columns : ndarray or slice
        Which of all columns these are.
    size : int
        F, the number of all columns.
    """

    features: Features
    columns: Any
    size: int

    @classmethod
    def of(cls, model: SolvedModel, examples: Examples) -> "_Design":
        """Compute the features of examples."""
        features = _features(model, examples)
        size = features.shape[1]
        if not scipy.sparse.issparse(features):
            return cls(features, slice(None), size)
        # A regression needs at least one column.
        columns = np.unique(features.indices) if features.nnz else np.zeros(1, np.int64)
        return cls(features[:, columns], columns, size)

    @property
    def entries(self) -> int:
        """Number of stored numbers."""
        return int(self.features.nnz if scipy.sparse.issparse(self.features) else self.features.size)

    def spread(self, weights: Floats) -> Floats:
        """Return weights (N, F') as those of all columns, (N, F)."""
        every = np.zeros((len(weights), self.size))
        every[:, self.columns] = weights
        return every


def lowest(value: Callable[[int], float], start: int, count: int) -> int:
    """Return the place of a lowest value, from ``start`` on in the direction in which values fall.

    Examples
    --------
    >>> lowest([5, 3, 2, 4, 6].__getitem__, 3, 5)
    2
    """
    for step in (1, -1):
        place = start
        while 0 <= place + step < count and value(place + step) < value(place):
            place += step
        if place != start:
            return place
    value(start)
    return start


def _fitted(targets: Targets, design: _Design, examples: Examples, inverse: float) -> LinearModel:
    """Return the fitted model, in which a class without training examples has a low intercept."""
    truth, weights = values_of_targets(examples), weights_of_targets(examples)
    if isinstance(targets, Classes) and not targets.learnable(truth):
        intercept = np.full(targets.outputs, -np.inf)
        intercept[truth[0]] = 0.0
        model = LinearModel(np.zeros((targets.outputs, design.features.shape[1])), intercept)
    else:
        model = targets.fit(design.features, truth, weights, inverse)
    known = np.isfinite(model.intercept)
    # As if half an example of n were of the class.
    low = logsumexp(model.intercept[known]) - np.log(2 * len(truth))
    return LinearModel(design.spread(model.weights), np.where(known, model.intercept, low))


def _loss(task: SequenceTask, scores: Floats, examples: Examples) -> float:
    losses = task.score(NO_MODEL, torch.from_numpy(scores), examples.targets)["loss"].numpy()
    return float(np.average(losses, weights=weights_of_targets(examples)))


def _features(model: SolvedModel, examples: Examples) -> Features:
    """Return the features (n, F), float32: an array, or a sparse matrix of scipy."""
    with torch.no_grad():
        design = model.design(examples.inputs, examples.extra)
    if design.layout == torch.strided:
        return design.numpy()
    entries = (design.values().numpy(), design.col_indices().numpy(), design.crow_indices().numpy())
    return scipy.sparse.csr_matrix(entries, shape=tuple(design.shape))


def _ridge(
    model: SolvedModel, targets: Targets, training: Examples, inverse: float | None
) -> tuple[LinearModel, float]:
    model.learn(training.inputs)
    size = _dense_features(model, training.select(torch.arange(1))).shape[1]
    training = Rows(training, training).limited(MOST_NUMBERS / max(1, size)).training
    design = np.empty((len(training), size), np.float32)
    for part in torch.arange(len(training)).split(_ROWS_AT_ONCE):
        design[part[0] : part[-1] + 1] = _dense_features(model, training.select(part))
    truth, weights = values_of_targets(training), weights_of_targets(training)
    importance = model.importance(training.inputs)
    factors = None if importance is None else importance.double().numpy()
    return fit_ridge(design, targets, truth, weights, inverse, factors)


def _dense_features(model: SolvedModel, examples: Examples) -> Any:
    features = _features(model, examples)
    return features.toarray() if scipy.sparse.issparse(features) else features
