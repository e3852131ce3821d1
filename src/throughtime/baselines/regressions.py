"""Linear baselines of tokens and of series, each within a limit of work that a number of seconds sets.

Above the limit, a random subset of the training rows is used. The limits count operations and not time, so
that results do not depend on the machine; the rates are those of one core of about 2020.
"""

from collections.abc import Sequence

from throughtime.baselines.baseline import Fit
from throughtime.baselines.features import (
    OFFSETS,
    DenseFeatures,
    FeatureMap,
    NGramFeatures,
    RocketFeatures,
    SeriesWindows,
    SummaryFeatures,
    TokenWindows,
    steps_of,
)
from throughtime.baselines.ngrams import NGrams
from throughtime.baselines.rows import Rows
from throughtime.baselines.search import Search
from throughtime.baselines.summary import PER_CHANNEL
from throughtime.baselines.targets import Targets
from throughtime.ragged import Ragged

LONGEST = 3
"""Maximum n of n-grams."""
ROCKET_FEATURES = 2016
"""Number of features of MiniRocket: 24 of each kernel."""
_ENTRIES_PER_SECOND = 5e5
"""Stored features times columns of weights for each second, for a search of penalties on sparse features."""
_COUNTING = 3
"""Counting the features takes as long as so many columns of weights."""
_SOLVED_PER_SECOND = 1e9
"""Rows times features times the smaller of the two, for ridge regression."""
_COMPARED_PER_SECOND = 1e9
"""Steps of all channels times features of MiniRocket."""


def ngram_regression(
    rows: Rows, targets: Targets, seconds: float, *, lengths: Sequence[int] = (1, 2, 3)
) -> Fit | None:
    """Fit a linear model to n-grams: logistic regression of classes and labels, ridge regression of values.

    Rows are scaled to unit length, and n-grams that occur once are ignored. The validation examples select
    the maximum n (while a longer one helps), presence or counts, the penalty, and a temperature.

    Parameters
    ----------
    rows : Rows
        Training and validation examples of tokens.
    targets : Targets
        What is fitted.
    seconds : float
        Sets the limit of work, see the module.
    lengths : sequence of int
        Values of the maximum n that are tried, in this order.

    Returns
    -------
    Fit or None
        None if all training targets are the same, or no n-gram occurs twice and there are no further
        features.
    """
    tokens = rows.training.inputs
    entries = max(lengths) * tokens.layout.total / max(1, len(tokens))
    rows = rows.limited(_searchable(entries, targets, seconds))
    search = Search(rows, targets)
    if not search.learnable:
        return None
    size = vocabulary_size(rows.training.inputs)
    best = lengths[0]
    for longest in lengths:
        if not search.penalised(NGramFeatures(NGrams(size, longest))):
            break
        best = longest
    search.penalised(NGramFeatures(NGrams(size, best, counts=True)))
    return search.result()


def window_regression(rows: Rows, targets: Targets, seconds: float) -> Fit | None:
    """Fit a logistic regression to the tokens or values at each step and two steps before and after it."""
    inputs = rows.training.inputs
    of_tokens = not inputs.is_floating_point()
    entries = len(OFFSETS) * (1 if of_tokens else _channels(rows) + 1)
    steps = inputs.layout.total / max(1, len(inputs))
    rows = rows.limited(_searchable(entries * steps, targets, seconds))
    features = TokenWindows(vocabulary_size(rows.training.inputs)) if of_tokens else SeriesWindows()
    return _searched(rows, targets, features)


def summary_regression(rows: Rows, targets: Targets, seconds: float) -> Fit | None:
    """Fit a ridge regression to summary features of series."""
    size = 1 + PER_CHANNEL * _channels(rows)
    return _by_leave_one_out(rows.limited(_solvable(size, seconds)), targets, SummaryFeatures())


def rocket_regression(rows: Rows, targets: Targets, seconds: float) -> Fit | None:
    """Fit a ridge regression to features of MiniRocket; None if no training series has steps."""
    inputs = rows.training.inputs
    if not inputs.layout.total:
        return None
    comparisons = ROCKET_FEATURES * _channels(rows) * inputs.layout.total / max(1, len(inputs))
    limit = min(
        _solvable(ROCKET_FEATURES, seconds / 2),
        seconds / 2 * _COMPARED_PER_SECOND / max(1.0, comparisons),
    )
    return _by_leave_one_out(rows.limited(limit), targets, RocketFeatures(ROCKET_FEATURES))


def vocabulary_size(tokens: Ragged) -> int:
    """Return one more than the largest token."""
    return int(tokens.values.max()) + 1 if len(tokens.values) else 0


def _searchable(entries: float, targets: Targets, seconds: float) -> float:
    """Return the number of rows, each with so many entries, whose search is at the limit."""
    return seconds * _ENTRIES_PER_SECOND / max(1.0, entries * (targets.models + _COUNTING))


def _solvable(features: int, seconds: float) -> float:
    """Return the number of rows n for which n · F · min(n, F) is at the limit."""
    work = seconds * _SOLVED_PER_SECOND
    few: float = (work / features) ** 0.5
    return few if few <= features else work / features**2


def _channels(rows: Rows) -> int:
    return int(steps_of(rows.training).shape[1])


def _searched(rows: Rows, targets: Targets, features: FeatureMap) -> Fit | None:
    search = Search(rows, targets)
    if search.learnable:
        search.penalised(features)
    return search.result()


def _by_leave_one_out(rows: Rows, targets: Targets, features: DenseFeatures) -> Fit | None:
    search = Search(rows, targets)
    if search.learnable:
        search.leave_one_out(features)
    return search.result()
