"""Baselines that do not read their input, and the most frequent tag of each token."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from throughtime.baselines.baseline import Fit, Predictor
from throughtime.baselines.columns import with_unknown
from throughtime.baselines.linear import Floats
from throughtime.baselines.rows import Rows, values_of_targets, weights_of_targets
from throughtime.baselines.targets import LEAST_LOG
from throughtime.data.examples import Examples
from throughtime.ragged import Ragged
from throughtime.tasks import Outputs

_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Constant:
    """The same output (N,) for each sequence or step."""

    output: Tensor
    of_steps: bool = False

    def __call__(self, examples: Examples) -> Outputs:
        """Return (B, N), or (T, N) for steps."""
        if not self.of_steps:
            return self.output.expand(len(examples), -1).clone()
        steps = self.output.expand(len(examples.inputs.values), -1).clone()
        return examples.inputs.with_values(steps)


@dataclass(frozen=True)
class TagsOfTokens:
    """Log probabilities (V + 1, C) of the tags of each token; the last row is for unknown tokens."""

    log_probabilities: Tensor

    def __call__(self, examples: Examples) -> Outputs:
        """Return (T, C)."""
        tokens = with_unknown(examples.inputs.values.numpy(), len(self.log_probabilities) - 1)
        return examples.inputs.with_values(self.log_probabilities[torch.from_numpy(tokens)])


def class_frequencies(rows: Rows, classes: int, _seconds: float) -> Fit:
    """Return the log of the frequency of each class, or of each tag."""
    counts = np.bincount(values_of_targets(rows.training), weights_of_targets(rows.training), classes)
    of_steps = isinstance(rows.training.targets, Ragged)
    return _fit(Constant(_log(counts / max(counts.sum(), _TINY)), of_steps), rows, 0)


def label_frequencies(rows: Rows, _labels: int, _seconds: float) -> Fit:
    """Return the log odds of each label, with half a row more of either kind."""
    weights = weights_of_targets(rows.training)
    present = weights @ values_of_targets(rows.training).astype(np.float64)
    odds = (present + 0.5) / (weights.sum() - present + 0.5)
    return _fit(Constant(torch.from_numpy(np.log(odds))), rows, 0)


def mean_values(rows: Rows, _values: int, _seconds: float) -> Fit:
    """Return the mean of each target."""
    values = values_of_targets(rows.training).astype(np.float64)
    mean = np.average(values, 0, weights_of_targets(rows.training))
    return _fit(Constant(torch.from_numpy(mean)), rows, 0)


def tags_of_tokens(rows: Rows, tags: int, _seconds: float) -> Fit:
    """Return the frequencies of the tags of each token, with one more token of average frequencies."""
    tokens, numbers = rows.training.inputs.values.numpy(), values_of_targets(rows.training)
    size = int(tokens.max(initial=-1)) + 1
    weights = weights_of_targets(rows.training)
    counts = np.bincount(tokens * tags + numbers, weights, (size + 1) * tags).reshape(-1, tags)
    average = counts.sum(0) / max(counts.sum(), _TINY)
    smoothed = (counts + average) / (counts.sum(1, keepdims=True) + 1)
    return _fit(TagsOfTokens(_log(smoothed)), rows, smoothed.size)


def _fit(predictor: Predictor, rows: Rows, parameters: int) -> Fit:
    """Return a fit, which without parameters has read no tokens."""
    tokens = rows.training.inputs.layout.total if parameters else 0
    return Fit(predictor, parameters, len(rows.training), tokens)


def _log(probabilities: Floats) -> Tensor:
    return torch.from_numpy(np.log(np.maximum(probabilities, np.exp(LEAST_LOG))))
