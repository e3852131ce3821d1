"""Whether a model beats a baseline, and what to try if it does not."""

import math
from collections.abc import Mapping, Sequence, Set
from typing import Literal

from throughtime._options import named
from throughtime._words import counted
from throughtime.baselines.baseline import Baseline
from throughtime.models import is_solved, models_for
from throughtime.tasks import SequenceTask
from throughtime.tasks.metrics import METRICS

Inputs = Literal["tokens", "series"]

_FEW = 2_000
"""Below so many training examples, networks without pretrained weights often do not beat linear models."""


def beats(model: Mapping[str, float], baseline: Mapping[str, float], metric: str) -> bool:
    """Return whether a model is better than a baseline by a metric; an equal value is not better.

    Parameters
    ----------
    model, baseline : mapping
        Metrics by name.
    metric : str
        The one to compare by, such as the metric that the best epoch was chosen by.

    Examples
    --------
    >>> beats({"loss": 0.3}, {"loss": 0.4}, "loss"), beats({"accuracy": 0.9}, {"accuracy": 0.9}, "accuracy")
    (True, False)
    """
    return METRICS[metric].improves(model.get(metric, math.nan), baseline.get(metric, math.nan))


def advice(
    task: SequenceTask,
    model: str,
    baseline: Baseline,
    *,
    members: Sequence[str] = (),
    inputs: Inputs,
    words: bool = False,
    examples: int,
    epochs: int | None,
    best_epoch: int,
) -> list[str]:
    """Return what to try if a model does not beat a baseline, the most likely to help first.

    Parameters
    ----------
    task : SequenceTask
        The task.
    model : str
        Name of the model, such as ``"textcnn"``.
    baseline : Baseline
        The baseline that is at least as good.
    members : sequence of str
        Names of the models that a blend consists of, which are not proposed again.
    inputs : "tokens" or "series"
        What the model reads.
    words : bool
        Whether the tokens are words of a text, for which there are pretrained vectors.
    examples : int
        Number of training examples.
    epochs : int or None
        Number of epochs that were trained; None for a blend of several models.
    best_epoch : int
        The best one by the validation metric, counted from 1.

    Examples
    --------
    >>> import torch
    >>> from throughtime.baselines import fit_baselines
    >>> from throughtime.data.examples import Examples
    >>> from throughtime.ragged import Ragged
    >>> from throughtime.tasks import Classification
    >>> task = Classification(("a", "b"))
    >>> examples = Examples(Ragged.from_list([torch.randn(8, 1)] * 90), torch.arange(90) % 2)
    >>> majority = fit_baselines(task, examples, examples)[0]
    >>> for line in advice(task, "gru", majority, inputs="series", examples=90, epochs=5, best_epoch=5):
    ...     print(line[:69])
    train longer, with epochs=15 (--epochs 15): the last of 5 epochs was
    try another model with model= (--model): rnn, lstm, birnn, bilstm, bi
    collect more data: 90 training examples are few for a neural network
    check that the series have to do with the targets: the majority class
    """
    other, simpler = _about_models(task, {model, *members}, inputs), _about_baseline(baseline, inputs)
    if is_solved(model):
        return [*other, simpler]
    length = [] if epochs is None else [_about_epochs(epochs, best_epoch)]
    return [*length, *other, *_about_data(examples, words=words), simpler]


def _about_epochs(epochs: int, best_epoch: int) -> str:
    if best_epoch == epochs:
        more = named("epochs", 3 * epochs)
        return f"train longer, with {more}: the last of {counted(epochs, 'epoch')} was the best one"
    if 3 * best_epoch <= epochs:
        return (
            f"train more slowly: epoch {best_epoch} of {epochs} was the best one; lower "
            f"{named('learning_rate')} or raise {named('dropout')}"
        )
    return f"try other learning rates, three times smaller and larger, with {named('learning_rate')}"


def _about_models(task: SequenceTask, tried: Set[str], inputs: Inputs) -> list[str]:
    others = [name for name in models_for(task.level, inputs) if name not in tried]
    if not others:
        return []
    return [f"try another model with {named('model')}: {', '.join(others)}"]


def _about_data(examples: int, *, words: bool) -> list[str]:
    if examples >= _FEW:
        return []
    pretrained = f", or use pretrained word vectors with {named('vectors')}" if words else ""
    return [f"collect more data{pretrained}: {examples:,} training examples are few for a neural network"]


def _about_baseline(baseline: Baseline, inputs: Inputs) -> str:
    if baseline.reads_inputs:
        return f"use the {baseline.name} instead: it is simpler, and may be all that the data need"
    return f"check that the {inputs} have to do with the targets: the {baseline.name} does not read them"
