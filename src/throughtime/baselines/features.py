"""Features of examples for linear models: n-grams, summaries, MiniRocket, neighbouring steps.

Further features of whole sequences (``Examples.extra``) are always appended.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse
import torch

from throughtime.baselines.columns import Integers, KeyColumns, with_unknown
from throughtime.baselines.linear import Features, Floats
from throughtime.baselines.ngrams import NGrams
from throughtime.baselines.summary import summary_features
from throughtime.data.batches import ordered_batches
from throughtime.data.examples import Examples
from throughtime.nn import MiniRocket
from throughtime.ragged import Ragged

OFFSETS = (-2, -1, 0, 1, 2)
"""Steps before and after a step, as features for its tag."""
_TOKENS_PER_BATCH = 32768


@dataclass(frozen=True)
class Scaling:
    """Columns with their mean taken off, divided by their standard deviation."""

    mean: Floats
    scale: Floats

    @classmethod
    def fitted(cls, columns: Floats) -> "Scaling":
        """Return the scaling by mean and standard deviation of these columns (n, F), n at least 1."""
        # Rounding gives a column of one number a deviation, by which others must not be divided.
        differs = columns.max(0) > columns.min(0)
        return cls(columns.mean(0), np.where(differs, columns.std(0), 1.0))

    def __call__(self, columns: Floats) -> Floats:
        """Return the columns scaled."""
        return (columns - self.mean) / self.scale


class FeatureMap(ABC):
    """Features that are fitted to training examples."""

    @abstractmethod
    def fit(self, examples: Examples) -> Features:
        """Learn from training examples, and return their features."""

    @abstractmethod
    def transform(self, examples: Examples) -> Features:
        """Return the features of other examples."""


class SparseFeatures(FeatureMap):
    """Sparse features of tokens, and scaled further features beside them."""

    _scaling: Scaling

    def fit(self, examples: Examples) -> Features:
        """Learn columns and scales, and return the rows."""
        tokens = self._fitted_tokens(examples.inputs)
        if examples.extra is None:
            return tokens
        further = self._further(examples)
        self._scaling = Scaling.fitted(further)
        return scipy.sparse.hstack([tokens, self._scaling(further)], format="csr")

    def transform(self, examples: Examples) -> Features:
        """Return the rows."""
        tokens = self._tokens(examples.inputs)
        if examples.extra is None:
            return tokens
        return scipy.sparse.hstack([tokens, self._scaling(self._further(examples))], format="csr")

    @abstractmethod
    def _fitted_tokens(self, tokens: Ragged) -> scipy.sparse.csr_matrix: ...

    @abstractmethod
    def _tokens(self, tokens: Ragged) -> scipy.sparse.csr_matrix: ...

    @abstractmethod
    def _further(self, examples: Examples) -> Floats: ...


class NGramFeatures(SparseFeatures):
    """`NGrams` of each sequence."""

    def __init__(self, grams: NGrams) -> None:
        self._grams = grams

    def _fitted_tokens(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        return self._grams.fit(tokens)

    def _tokens(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        return self._grams.transform(tokens)

    def _further(self, examples: Examples) -> Floats:
        return further_features(examples)


class TokenWindows(SparseFeatures):
    """The tokens at `OFFSETS` of each step, as indicators; beyond the ends of a sequence there is none."""

    def __init__(self, vocabulary_size: int) -> None:
        self._size = vocabulary_size
        self._columns = KeyColumns(least=1)

    def _fitted_tokens(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        keys, rows = self._keys(tokens)
        self._columns.fit(keys)
        return self._columns.matrix(keys, rows, len(tokens.values))

    def _tokens(self, tokens: Ragged) -> scipy.sparse.csr_matrix:
        return self._columns.matrix(*self._keys(tokens), len(tokens.values))

    def _further(self, examples: Examples) -> Floats:
        return of_steps(further_features(examples), examples.inputs)

    def _keys(self, tokens: Ragged) -> tuple[Integers, Integers]:
        values = with_unknown(tokens.values.numpy(), self._size)
        keys, rows = [], []
        for number, offset in enumerate(OFFSETS):
            places, steps = neighbours(tokens, offset)
            keys.append(number * (self._size + 1) + values[places])
            rows.append(steps)
        return np.concatenate(keys), np.concatenate(rows)


@dataclass
class DenseFeatures(FeatureMap):
    """Dense features and further ones, all scaled."""

    _scaling: Scaling = field(init=False)

    def fit(self, examples: Examples) -> Features:
        """Learn what the features need and their scales, and return the rows."""
        self._prepare(examples)
        columns = self._columns(examples)
        self._scaling = Scaling.fitted(columns)
        return self._scaling(columns)

    def transform(self, examples: Examples) -> Features:
        """Return the rows."""
        return self._scaling(self._columns(examples))

    def _prepare(self, examples: Examples) -> None:
        """Learn what the features need, by default nothing."""

    @abstractmethod
    def _columns(self, examples: Examples) -> Floats: ...


class SummaryFeatures(DenseFeatures):
    """`summary_features` of each series."""

    def _columns(self, examples: Examples) -> Floats:
        return np.column_stack([summary_features(steps_of(examples)), further_features(examples)])


@dataclass
class RocketFeatures(DenseFeatures):
    """`MiniRocket` of each series, whose channels are scaled by mean and deviation of all steps."""

    count: int
    _channels: Scaling = field(init=False)
    _layer: MiniRocket = field(init=False)

    def _prepare(self, examples: Examples) -> None:
        steps = steps_of(examples)
        self._channels = Scaling.fitted(steps.values.double().numpy())
        self._layer = MiniRocket(steps.shape[1], self.count)
        self._layer.learn(self._scaled(steps), torch.Generator().manual_seed(0))

    def _columns(self, examples: Examples) -> Floats:
        series = self._scaled(steps_of(examples))
        features = np.zeros((len(series), self._layer.features))
        for rows in ordered_batches(series.lengths, _TOKENS_PER_BATCH):
            features[rows] = self._layer(series[rows]).numpy()
        return np.column_stack([features, further_features(examples)])

    def _scaled(self, steps: Ragged) -> Ragged:
        values = self._channels(steps.values.double().numpy())
        return steps.with_values(torch.from_numpy(values).float())


class SeriesWindows(DenseFeatures):
    """The values at `OFFSETS` of each step, and whether there is such a step."""

    def _columns(self, examples: Examples) -> Floats:
        steps = steps_of(examples)
        values = steps.values.double().numpy()
        columns = [_shifted(steps, values, offset) for offset in OFFSETS]
        return np.column_stack([*columns, of_steps(further_features(examples), steps)])


def further_features(examples: Examples) -> Floats:
    """Return the further features (B, K); K is 0 if there are none."""
    if examples.extra is None:
        return np.zeros((len(examples), 0))
    further: Floats = examples.extra.double().numpy()
    return further


def steps_of(examples: Examples) -> Ragged:
    """Return series (T, C); values (T,) are those of one channel."""
    series = examples.inputs
    return series if series.ndim == 2 else series.with_values(series.values[:, None])


def of_steps(rows: Floats, steps: Ragged) -> Floats:
    """Return rows of sequences (B, K) for each step, (T, K)."""
    spread: Floats = rows[steps.sequence_ids().numpy()]
    return spread


def neighbours(x: Ragged, offset: int) -> tuple[Integers, Integers]:
    """Return places in the same sequence at an offset from steps, and the places of these steps."""
    ids, places = x.sequence_ids().numpy(), np.arange(len(x.values))
    within = places[(places + offset >= 0) & (places + offset < len(places))]
    steps = within[ids[within + offset] == ids[within]]
    return steps + offset, steps


def _shifted(series: Ragged, values: Floats, offset: int) -> Floats:
    """Return the values at an offset from each step and an indicator of them, (T, C + 1)."""
    places, steps = neighbours(series, offset)
    shifted = np.zeros((len(values), values.shape[1] + 1))
    shifted[steps, :-1], shifted[steps, -1] = values[places], 1.0
    return shifted
