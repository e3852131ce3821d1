"""Ridge regression by leave-one-out against models that are each fitted to all other rows."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import Ridge, RidgeCV

from throughtime.baselines.ridge import PENALTIES, _Problem, fit_ridge
from throughtime.baselines.targets import Classes, Labels, Values

SHAPES = [(30, 80), (50, 30), (20, 20)]


def _drawn(rows: int, features: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    random = np.random.default_rng(rows)
    truth = random.integers(0, 3, rows)
    x = random.normal(size=(rows, features)) * random.uniform(0.5, 9, features) + 3
    x[:, :3] += 9 * np.eye(3)[truth] * random.uniform(0.2, 1, (rows, 1))
    x[:, -1] = 2.0  # a constant feature
    return x, truth


def _standardised(x: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = x - np.average(x, axis=0, weights=weights)
    scale = np.sqrt(np.average(np.square(centred), axis=0, weights=weights))
    return centred / np.where(scale > 1e-9, scale, 1)


def _left_out(z, coded, weights, penalty) -> NDArray[np.float64]:
    """Predictions of each row by a model of the others, whose features keep their standardisation."""
    scores = np.zeros(coded.shape)
    for row in range(len(z)):
        rest = np.arange(len(z)) != row
        model = Ridge(penalty).fit(z[rest], coded[rest], sample_weight=(weights / weights.mean())[rest])
        scores[row] = model.predict(z[[row]]).reshape(-1)
    return scores


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_scikit_learns_of_the_same_penalty(shape: tuple[int, int]) -> None:
    x, truth = _drawn(*shape)
    model, inverse = fit_ridge(x.copy(), Classes(3), truth, np.ones(len(x)))
    reference = RidgeCV(PENALTIES).fit(_standardised(x, np.ones(len(x))), Classes(3).coded(truth))
    assert 1 / inverse == pytest.approx(reference.alpha_)
    assert PENALTIES[0] < reference.alpha_ < PENALTIES[-1]
    expected = reference.predict(_standardised(x, np.ones(len(x))))
    np.testing.assert_allclose(model.scores(x) * model.temperature, expected, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_penalty_and_temperature_are_those_of_models_of_all_other_rows(shape: tuple[int, int]) -> None:
    x, truth = _drawn(*shape)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(x))
    model, inverse = fit_ridge(x.copy(), Classes(3), truth, weights)
    z, coded = _standardised(x, weights), Classes(3).coded(truth)
    scores = {penalty: _left_out(z, coded, weights, penalty) for penalty in PENALTIES}
    errors = {p: np.average(np.square(s - coded).sum(1), weights=weights) for p, s in scores.items()}
    assert 1 / inverse == pytest.approx(min(errors, key=errors.__getitem__))
    smoothed = (len(x) * np.eye(3)[truth] + 1 / 3) / (len(x) + 1)

    def loss(log_t: float) -> float:
        return -float(weights @ (smoothed * log_softmax(scores[1 / inverse] / np.exp(log_t), 1)).sum(1))

    scores[1 / inverse] = _left_out(z, coded, weights, 1 / inverse)
    expected = np.exp(minimize_scalar(loss, bounds=(-6, 3), method="bounded").x)
    assert model.temperature == pytest.approx(expected, rel=1e-4)


def test_features_in_float32_give_nearly_the_same() -> None:
    x, truth = _drawn(30, 80)
    model, inverse = fit_ridge(x.copy(), Classes(3), truth, np.ones(30))
    single, same = fit_ridge(x.astype(np.float32), Classes(3), truth, np.ones(30))
    assert same == inverse
    np.testing.assert_allclose(single.scores(x), model.scores(x), atol=1e-3)


def test_small_penalties_of_many_features_in_float32_are_exact() -> None:
    """Where rows are nearly interpolated, a rounding error in the products would be most of 1 − h."""
    x, truth = _drawn(24, 4000)
    left_out = []
    for dtype in (np.float32, np.float64):
        design = _standardised(x, np.ones(24)).astype(dtype)
        coded = Classes(3).coded(truth) - Classes(3).coded(truth).mean(0)
        problem = _Problem.of(design, coded, np.ones(24))
        left_out.append([problem.left_out(penalty) for penalty in (1e-3, 1e-2, 0.1)])
    np.testing.assert_allclose(left_out[0], left_out[1], rtol=1e-3, atol=1e-3)
    expected = coded - _left_out(design, coded, np.ones(24), 1e-3)
    np.testing.assert_allclose(left_out[1][0], expected, rtol=1e-4, atol=1e-4)


def test_rows_that_are_all_right_have_a_temperature_above_the_least() -> None:
    x = np.repeat([[0.0], [9.0]], 20, 0) + np.random.default_rng(0).normal(size=(40, 1)) * 0.01
    model, _ = fit_ridge(x.copy(), Classes(2), np.repeat([0, 1], 20), np.ones(40))
    likely = np.exp(log_softmax(model.scores(x), 1)).max(1)
    np.testing.assert_allclose(likely, 40.5 / 41, atol=2e-3)  # of 40 rows and one of an unknown class


def test_a_class_without_rows_has_low_scores() -> None:
    x, truth = _drawn(30, 80)
    model, _ = fit_ridge(x.copy(), Classes(4), truth, np.ones(30))
    assert (model.scores(x).argmax(1) < 3).all()
    np.testing.assert_allclose(model.scores(x)[:, 3] * model.temperature, -1)


def test_labels_and_values() -> None:
    x, truth = _drawn(80, 30)
    present = np.eye(3)[truth]
    of_classes, inverse = fit_ridge(x.copy(), Classes(3), truth, np.ones(80))
    of_labels, same = fit_ridge(x.copy(), Labels(3), present, np.ones(80))
    of_values, same_again = fit_ridge(x.copy(), Values(3), 2 * present - 1, np.ones(80))
    assert inverse == same == same_again
    scores = [model.scores(x) * model.temperature for model in (of_classes, of_labels, of_values)]
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-10)
    np.testing.assert_allclose(scores[2], scores[0], atol=1e-10)
    assert of_values.temperature == 1
    assert of_labels.temperature < 1
