"""`SequenceClassifier`: a class for each sequence."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from throughtime.estimators._base import SequenceEstimator
from throughtime.estimators._parameters import EstimatorParameter, with_parameters
from throughtime.estimators._rows import checked_weights, weight_tensor
from throughtime.estimators._sequences import free_name, with_columns
from throughtime.estimators._targets import class_texts, require_targets
from throughtime.tasks import Classification

_CLASS_WEIGHT = EstimatorParameter(
    "class_weight",
    None,
    "dict, 'balanced' or None",
    "Weight of each class, by which those of its rows are multiplied. 'balanced' is the inverse of the\n"
    "        frequency, in the loss alone; the metric that chooses the best epoch is then not weighted.",
)


@with_parameters
class SequenceClassifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]
    """Classifier of texts, lists of tokens and numeric series.

    It trains exactly as `throughtime.fit` and ``throughtime train`` do: equal options and seeds give equal
    weights. A fraction of the rows, ``validation``, is held out to choose the best epoch; fewer than 10 rows
    are all used for both, and the only row of a class is always trained on.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray
        (C,): the classes, sorted.
    model_ : Module
        The trained model.
    predictor_ : Predictor
        The model with what encodes raw data, see `throughtime.Predictor`.
    history_ : list of EpochMetrics
        Metrics of each epoch.
    metrics_ : dict
        Metrics of the best epoch on the validation rows.
    n_features_in_ : int
        Number of steps of each series; only set by an array (n, T).

    Examples
    --------
    >>> import throughtime as tt
    >>> texts, labels = ["good film", "bad film", "good play", "bad play"] * 10, [1, 0] * 20
    >>> classifier = tt.SequenceClassifier(epochs=5, random_state=0).fit(texts, labels)
    >>> classifier.predict(["a good play", "a bad film"])
    array([1, 0])
    """

    task = Classification
    further_parameters: ClassVar = (_CLASS_WEIGHT,)

    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803 - scikit-learn's names
        """Train on sequences and their classes.

        Parameters
        ----------
        X
            Texts, lists of tokens, arrays (n, T) or (n, C, T), lists of arrays, or a data frame with columns
            that ``text``, ``tokens`` or ``series`` name. An array (n, T), or n lists of T floats, are
            univariate series; all must have T steps then, also those to predict.
        y : array_like
            (n,): classes.
        sample_weight : array_like, optional
            (n,): weight of each row in the loss, and in the metric that chooses the best epoch.

        Raises
        ------
        DataError
            If rows cannot be used; the message names the first.
        """
        require_targets(self, y)
        table = self._training_table(X)
        labels = column_or_1d(y, warn=True)
        if labels.dtype.kind == "f":
            assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        classes, numbers = np.unique(labels, return_inverse=True)
        texts = class_texts(classes)
        of_rows = [texts[number] for number in numbers]
        target = free_name(table, "label")
        table = with_columns(table, {target: of_rows})
        given = None if sample_weight is None else checked_weights(sample_weight, len(table))
        balanced = isinstance(self.class_weight, str)
        if self.class_weight is None or balanced:
            by_class = None
        else:
            by_class = compute_sample_weight(self.class_weight, labels)
        self._train(
            table,
            (target,),
            classes=of_rows,
            weights=weight_tensor(given, by_class),
            class_weight=self.class_weight if balanced else "none",
        )
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """Return the class of each sequence, (n,)."""
        rows = self._rows(X)
        numbers = {text: number for number, text in enumerate(class_texts(self.classes_))}
        labels: NDArray[Any] = self.classes_[[numbers[text] for text in self.predictor_.predict(rows)]]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the probabilities of the classes, (n, C), in the order of ``classes_``."""
        rows = self._rows(X)
        probabilities = self.predictor_.predict_proba(rows)
        places = [self.predictor_.classes.index(text) for text in class_texts(self.classes_)]
        ordered: NDArray[np.float64] = probabilities[:, places]
        return ordered

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            logarithms: NDArray[np.float64] = np.log(self.predict_proba(X))
        return logarithms
