"""`SequenceTagger`: a tag for each token or step of a sequence."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from throughtime._words import counted
from throughtime.errors import DataError
from throughtime.estimators._base import SequenceEstimator
from throughtime.estimators._parameters import with_parameters
from throughtime.estimators._rows import checked_weights, weight_tensor
from throughtime.estimators._sequences import free_name, with_columns
from throughtime.estimators._targets import class_texts, require_targets
from throughtime.tasks import Tagging


@with_parameters
class SequenceTagger(SequenceEstimator):
    """A tag for each token of lists of tokens, or for each step of numeric series.

    With ``crf=True``, whole sequences of tags are scored by a linear-chain conditional random field. See
    `SequenceClassifier` for the split and the attributes of a fitted estimator; ``classes_`` are the tags.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> import throughtime as tt
    >>> sentences = [["we", "see", "Rome"], ["Rome", "is", "old"]] * 20
    >>> tags = [["O", "O", "PLACE"], ["PLACE", "O", "O"]] * 20
    >>> tagger = tt.SequenceTagger(epochs=10, random_state=0).fit(sentences, tags)
    >>> tagger.predict([["see", "old", "Rome"]])
    [['O', 'O', 'PLACE']]
    """

    task = Tagging

    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Train on sequences and their tags.

        Parameters
        ----------
        X
            See `SequenceClassifier.fit`.
        y : sequence of sequences
            A list of tags for each sequence, as many as it has tokens or steps.
        sample_weight : array_like, optional
            (n,): weight of each sequence in the loss, and in the metric that chooses the best epoch.

        Raises
        ------
        DataError
            If rows cannot be used, or tags are not as many as tokens; the message names the first.
        """
        require_targets(self, y)
        table = self._training_table(X)
        tags = _lists(y)
        classes = np.unique([tag for row in tags for tag in row])
        texts = dict(zip(classes.tolist(), class_texts(classes), strict=True))
        target = free_name(table, "tags")
        table = with_columns(table, {target: [[texts[tag] for tag in row] for row in tags]})
        weights = None if sample_weight is None else checked_weights(sample_weight, len(table))
        self._train(table, (target,), weights=weight_tensor(weights))
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> list[list[Any]]:  # noqa: N803
        """Return the tags of each sequence."""
        rows = self._rows(X)
        tags = dict(zip(class_texts(self.classes_), self.classes_.tolist(), strict=True))
        return [[tags[text] for text in row] for row in self.predictor_.predict(rows)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Return the fraction of tags that are right, over all tokens.

        Parameters
        ----------
        X
            Sequences.
        y : sequence of sequences
            Their tags.
        sample_weight : array_like, optional
            (n,): weight of the tokens of each sequence.
        """
        predicted, tags = self.predict(X), _lists(y)
        _require_lengths(predicted, tags)
        weights = np.ones(len(tags)) if sample_weight is None else checked_weights(sample_weight, len(tags))
        right = [
            sum(p == t for p, t in zip(*rows, strict=True)) for rows in zip(predicted, tags, strict=True)
        ]
        return float(weights @ right / (weights @ [len(row) for row in tags]))


def _lists(y: Any) -> list[list[Any]]:
    """Return tags as lists of Python values."""
    rows = [row.tolist() if hasattr(row, "tolist") else row for row in y]
    for item, row in enumerate(rows):
        if not isinstance(row, list | tuple):
            raise DataError(
                f"y: item {item} is a {type(row).__name__}, expected a list of tags, one for each token"
            )
    return [list(row) for row in rows]


def _require_lengths(predicted: Sequence[Any], tags: Sequence[Any]) -> None:
    if len(predicted) != len(tags):
        raise DataError(
            f"X has {counted(len(predicted), 'sequence')}, but y has {counted(len(tags), 'list')} of tags; "
            "give one for each"
        )
    for item, (tokens, row) in enumerate(zip(predicted, tags, strict=True)):
        if len(tokens) != len(row):
            raise DataError(
                f"y: item {item} has {counted(len(row), 'tag')} for {counted(len(tokens), 'token')}; give "
                "one tag for each token"
            )
