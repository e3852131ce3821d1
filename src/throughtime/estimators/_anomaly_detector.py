"""`SequenceAnomalyDetector`: whether a sequence is unlike those of the training."""

from dataclasses import replace
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin

from throughtime.estimators._base import SequenceEstimator
from throughtime.estimators._parameters import with_parameters
from throughtime.estimators._sequences import without_column
from throughtime.tasks import Anomaly


@with_parameters
class SequenceAnomalyDetector(OutlierMixin, SequenceEstimator):  # type: ignore[misc]
    """Detector of sequences that a model of the next step finds surprising.

    The score of a sequence is the surprise −log p of its steps, given those before, as ``reduce`` says. The
    fraction ``contamination`` of the sequences in the training has scores beyond ``offset_``.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    offset_ : float
        Sequences with a lower ``score_samples`` are anomalies.
    model_, predictor_, history_, metrics_, n_features_in_
        See `SequenceClassifier`. The threshold of ``predictor_`` is that of the detector.

    Examples
    --------
    >>> import throughtime as tt
    >>> sessions = [["open", "read", "close"], ["open", "read", "read", "close"]] * 20
    >>> detector = tt.SequenceAnomalyDetector(contamination=0.02, epochs=20, random_state=0).fit(sessions)
    >>> detector.predict([["open", "read", "close"], ["close", "close", "open"]])
    array([ 1, -1])
    """

    task = Anomaly

    offset_: float

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - scikit-learn's signature
        """Train on sequences that are normal, or mostly so.

        Parameters
        ----------
        X
            See `SequenceClassifier.fit`.
        y : None
            Not used.

        Raises
        ------
        DataError
            If rows cannot be used; the message names the first.
        """
        table = without_column(self._training_table(X), "label")
        self._train(table)
        scores = self._scores(table)
        self.offset_ = float(np.percentile(scores, 100.0 * self.contamination))
        task = cast("Anomaly", self.predictor_.task)
        self.predictor_.task = replace(task, threshold=float(np.nextafter(-self.offset_, np.inf)))
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return minus the surprise of each sequence, (n,): the lower, the more abnormal."""
        return self._scores(self._rows(X))

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return ``score_samples`` minus ``offset_``, (n,): negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: N803
        """Return −1 for anomalies and 1 for others, (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _scores(self, rows: Any) -> NDArray[np.float64]:
        task = cast("Anomaly", self.predictor_.task)
        scores: NDArray[np.float64] = -task.scores(self.predictor_.outputs(rows)).numpy()
        return scores
