"""`SequenceRegressor`: one or several numbers for each sequence."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import check_array

from throughtime.estimators._base import SequenceEstimator
from throughtime.estimators._parameters import with_parameters
from throughtime.estimators._rows import checked_weights, weight_tensor
from throughtime.estimators._sequences import free_name, with_columns
from throughtime.estimators._targets import require_targets
from throughtime.tasks import Regression


@with_parameters
class SequenceRegressor(RegressorMixin, SequenceEstimator):  # type: ignore[misc]
    """Regression of one or several numbers on texts, lists of tokens and numeric series.

    The loss is the mean squared error of standardised targets. See `SequenceClassifier` for the split
    and for the attributes of a fitted estimator.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> import numpy as np
    >>> import throughtime as tt
    >>> series = np.random.default_rng(0).normal(size=(60, 12)) + np.linspace(-5, 5, 60)[:, None]
    >>> regressor = tt.SequenceRegressor(model="gru", epochs=20, random_state=0)
    >>> regressor.fit(series, series.mean(1)).score(series, series.mean(1)) > 0.5
    True
    """

    task = Regression

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Train on sequences and their targets.

        Parameters
        ----------
        X
            See `SequenceClassifier.fit`.
        y : array_like
            (n,) or (n, K): targets.
        sample_weight : array_like, optional
            (n,): weight of each row in the loss, and in the metric that chooses the best epoch.

        Raises
        ------
        DataError
            If rows cannot be used; the message names the first.
        """
        require_targets(self, y)
        table = self._training_table(X)
        targets = check_array(y, ensure_2d=False, dtype="numeric", input_name="y").astype(np.float64)
        columns = {
            free_name(table, f"target {number}"): values.tolist()
            for number, values in enumerate(targets.reshape(len(targets), -1).T, 1)
        }
        table = with_columns(table, columns)
        weights = None if sample_weight is None else checked_weights(sample_weight, len(table))
        self._train(table, tuple(columns), weights=weight_tensor(weights))
        self._one_dimensional = targets.ndim == 1
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the predicted targets, (n,) or (n, K) as those of the training."""
        rows = self._rows(X)
        values = np.array(self.predictor_.predict(rows))
        return values if self._one_dimensional else values.reshape(len(values), -1)
