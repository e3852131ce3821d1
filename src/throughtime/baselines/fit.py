"""`fit_baselines`: the baselines of a task, fitted to the same examples as a network."""

from collections.abc import Callable
from time import perf_counter

from threadpoolctl import threadpool_limits

from throughtime.baselines.autoregression import autoregression
from throughtime.baselines.baseline import NO_MODEL, Baseline, Fit
from throughtime.baselines.bigram import bigram_model
from throughtime.baselines.constant import class_frequencies, label_frequencies, mean_values, tags_of_tokens
from throughtime.baselines.regressions import (
    ngram_regression,
    rocket_regression,
    summary_regression,
    window_regression,
)
from throughtime.baselines.rows import Rows, with_validation
from throughtime.baselines.targets import Classes, Labels, Targets, Values
from throughtime.data.examples import Examples
from throughtime.errors import DataError
from throughtime.tasks import Anomaly, Classification, MultiLabel, Regression, SequenceTask, Tagging
from throughtime.tasks.outputs import by_row

Fitter = Callable[[Rows, int, float], Fit | None]
"""Fits to rows with targets of N outputs, within a limit in seconds; None if there is nothing to learn."""
_Named = tuple[str, Fitter]


def fit_baselines(
    task: SequenceTask, training: Examples, validation: Examples, *, seconds: float = 60
) -> tuple[Baseline, ...]:
    """Fit the baselines of a task.

    ==============  ==================================================  =====================================
    task            of tokens                                           of series
    ==============  ==================================================  =====================================
    classification  class frequencies; logistic regression on n-grams   class frequencies; ridge regression
                                                                        on summaries, on MiniRocket features
    multilabel      label frequencies; a logistic regression per label  label frequencies; as above
    regression      mean; ridge regression on n-grams                   mean; as above
    tagging         tag frequencies of each token; logistic regression  tag frequencies; logistic regression
                    on five neighbouring tokens                         on five neighbouring steps
    anomaly         bigram model with an end token                      autoregression of order 1
    ==============  ==================================================  =====================================

    A baseline is left out if it cannot be fitted, such as a logistic regression where all training rows
    are of one class. Features of whole sequences (``extra``) are read by all but frequencies, means and
    those of anomalies. Everything is deterministic.

    Parameters
    ----------
    task : SequenceTask
        The task; thresholds and temperatures are chosen again for each baseline.
    training : Examples
        Those that the network was fitted to. Their weights are used.
    validation : Examples
        Those that its best epoch was chosen on; settings such as penalties are chosen on them. If there are
        none, a fifth of the training examples.
    seconds : float
        About the time on one core that all may take. Above it, a random subset of the training rows is used;
        which one depends on the size of the data, not on the speed of the machine. See `Baseline.rows`.

    Returns
    -------
    tuple of Baseline
        The simplest first. None for tasks without baselines.

    Raises
    ------
    DataError
        If there are no training examples.

    Examples
    --------
    >>> import torch
    >>> from throughtime.ragged import Ragged
    >>> tokens = Ragged.from_list([torch.tensor([i % 2, 5]) for i in range(40)])
    >>> examples = Examples(tokens, torch.arange(40) % 2)
    >>> for baseline in fit_baselines(Classification(("a", "b")), examples, examples):
    ...     print(baseline.name, baseline.measure(examples)[0]["accuracy"])
    majority class 0.5
    logistic regression on n-grams 1.0
    """
    if not len(training):
        raise DataError("there are no training examples to fit baselines to; give more data")
    rows = with_validation(training, validation)
    named = _fitters(task, tokens=not training.inputs.is_floating_point())
    baselines = (fit_baseline(name, fit, task, rows, seconds / max(1, len(named) - 1)) for name, fit in named)
    return tuple(baseline for baseline in baselines if baseline is not None)


def fit_baseline(name: str, fit: Fitter, task: SequenceTask, rows: Rows, seconds: float) -> Baseline | None:
    """Fit one baseline; None if there is nothing to learn."""
    began = perf_counter()
    # One thread, because several are many times slower for small products on busy cores.
    with threadpool_limits(1, user_api="blas"):
        fitted = fit(rows, task.outputs or 0, seconds)
    if fitted is None:
        return None
    taken = perf_counter() - began
    tuned = task.tuned(NO_MODEL, *by_row(fitted.predictor(rows.validation), rows.validation))
    return Baseline(name, fitted, tuned, taken)


def _linear(fit: Callable[[Rows, Targets, float], Fit | None], targets: Callable[[int], Targets]) -> Fitter:
    return lambda rows, outputs, seconds: fit(rows, targets(outputs), seconds)


def _of_sequences(
    first: _Named, targets: Callable[[int], Targets], regression: str, *, tokens: bool
) -> list[_Named]:
    """Return the baselines of a task with one target for each sequence."""
    if tokens:
        return [first, (f"{regression} on n-grams", _linear(ngram_regression, targets))]
    return [
        first,
        ("ridge regression on summaries", _linear(summary_regression, targets)),
        ("ridge regression on MiniRocket features", _linear(rocket_regression, targets)),
    ]


def _fitters(task: SequenceTask, *, tokens: bool) -> list[_Named]:
    """Return the baselines of a task by name."""
    logistic = "logistic regression"
    match task:
        case Classification():
            return _of_sequences(("majority class", class_frequencies), Classes, logistic, tokens=tokens)
        case MultiLabel():
            return _of_sequences(("label frequencies", label_frequencies), Labels, logistic, tokens=tokens)
        case Regression():
            return _of_sequences(("mean", mean_values), Values, "ridge regression", tokens=tokens)
        case Tagging():
            return _of_steps(tokens=tokens)
        case Anomaly():
            return [("bigram model", bigram_model) if tokens else ("autoregression", autoregression)]
        case _:
            return []


def _of_steps(*, tokens: bool) -> list[_Named]:
    """Return the baselines of taggers."""
    regression = ("logistic regression on neighbouring steps", _linear(window_regression, Classes))
    if tokens:
        return [("most frequent tag of each token", tags_of_tokens), regression]
    return [("most frequent tag", class_frequencies), regression]
