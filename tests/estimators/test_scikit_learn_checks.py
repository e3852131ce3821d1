"""scikit-learn's own checks of estimators; rows of their 2-D arrays are univariate series."""

from typing import Any

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import throughtime as tt

SMALL = {"model": "fcn", "model_options": {"channels": (16, 16, 16)}, "learning_rate": 0.03, "epochs": 6}
ESTIMATORS = [
    tt.SequenceClassifier(**SMALL),
    tt.SequenceRegressor(**SMALL),
    tt.SequenceAnomalyDetector(model_options={"hidden_size": 8}, learning_rate=0.02, epochs=3),
]
WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": "batches, the validation rows and the seed of each step depend on "
    "the number of rows, so a row of weight 2 is not the same as two rows"
}
EXPECTED = {"SequenceClassifier": WEIGHTS, "SequenceRegressor": WEIGHTS}


def expected_failures(estimator: Any) -> dict[str, str]:
    return EXPECTED.get(type(estimator).__name__, {})


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_check(estimator: Any, check: Any) -> None:
    check(estimator)


BY_DEFAULT = (
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_estimators_pickle",
    "check_fit_idempotent",
    "check_methods_subset_invariance",
    "check_sample_weights_not_overwritten",
)


@pytest.mark.parametrize("kind", [tt.SequenceClassifier, tt.SequenceRegressor])
@pytest.mark.parametrize("check", BY_DEFAULT)
def test_check_of_a_blend(kind: Any, check: str) -> None:
    getattr(estimator_checks, check)(kind.__name__, kind(epochs=1))
