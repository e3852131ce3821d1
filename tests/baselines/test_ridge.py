"""Ridge regression by leave-one-out against models that are each fitted to all other rows."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import Ridge, RidgeCV

from throughtime.baselines import ridge_systems
from throughtime.baselines.ridge import PENALTIES, PENALTIES_OF_VALUES, fit_ridge
from throughtime.baselines.ridge_systems import Decomposed, Factored, System
from throughtime.baselines.targets import Classes, Labels, Values

Floats = NDArray[np.float64]
SHAPES = [(30, 80), (50, 30), (20, 20)]


def _drawn(rows: int, features: int) -> tuple[Floats, NDArray[np.int64]]:
    random = np.random.default_rng(rows)
    truth = random.integers(0, 3, rows)
    x = random.normal(size=(rows, features)) * random.uniform(0.5, 9, features) + 3
    x[:, :3] += 9 * np.eye(3)[truth] * random.uniform(0.2, 1, (rows, 1))
    x[:, -1] = 2.0  # a constant feature
    return x, truth


def _weights(rows: int) -> Floats:
    return np.random.default_rng(1).uniform(0.5, 2, rows)


def _standardized(x: Floats, weights: Floats) -> Floats:
    centred = x - np.average(x, axis=0, weights=weights)
    scale = np.sqrt(np.average(np.square(centred), axis=0, weights=weights))
    return centred / np.where(scale > 1e-9, scale, 1)


def _left_out(z: Floats, coded: Floats, weights: Floats, penalty: float) -> Floats:
    """Predictions of each row by a model of the others, whose features keep their standardization."""
    scores = np.zeros(coded.shape)
    for row in range(len(z)):
        rest = np.arange(len(z)) != row
        model = Ridge(penalty).fit(z[rest], coded[rest], sample_weight=(weights / weights.mean())[rest])
        scores[row] = model.predict(z[[row]]).reshape(-1)
    return scores


def _unit(z: Floats, weights: Floats) -> float:
    return float(np.average(np.square(z).sum(1), weights=weights))


def _best(
    tried: Floats, z: Floats, coded: Floats, weights: Floats, error: Any
) -> tuple[float, Floats, list[float]]:
    """The first penalty of least error by brute force, its predictions, and all errors."""
    penalties = tried * _unit(z, weights)
    predictions = [_left_out(z, coded, weights, penalty) for penalty in penalties]
    errors = [round(float(np.average(error(p), weights=weights)), 12) for p in predictions]
    place = int(np.argmin(errors))
    return float(penalties[place]), predictions[place], errors


def _assert_temperature(factor: float, loss: Any) -> None:
    """That no t nearby has a lower loss, with the prior that the docstring states."""
    losses = [
        loss(factor * near) + 2 * (np.log(factor * near) - np.log(3)) ** 2 for near in (0.999, 1, 1.001)
    ]
    assert losses[1] == min(losses)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_classes_are_those_of_models_of_all_other_rows(shape: tuple[int, int], weighted: bool) -> None:
    x, truth = _drawn(*shape)
    weights = _weights(len(x)) if weighted else np.ones(len(x))
    model, inverse = fit_ridge(x.copy(), Classes(3), truth, weights)
    z, coded = _standardized(x, weights), Classes(3).coded(truth)
    penalty, predictions, errors = _best(PENALTIES, z, coded, weights, lambda p: p.argmax(1) != truth)
    assert len(set(errors)) > 1
    assert 1 / inverse == pytest.approx(penalty)
    relative = weights / weights.mean()

    def loss(t: float) -> float:
        return -float(relative @ log_softmax(t * predictions, 1)[np.arange(len(x)), truth])

    _assert_temperature(1 / model.temperature, loss)
    expected = Ridge(penalty).fit(z, coded, sample_weight=relative).predict(z)
    np.testing.assert_allclose(model.scores(x) * model.temperature, expected, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_labels_are_those_of_models_of_all_other_rows(weighted: bool) -> None:
    x, truth = _drawn(40, 60)
    present = np.eye(3)[truth]
    present[:9, 0] = 1
    weights = _weights(len(x)) if weighted else np.ones(len(x))
    model, inverse = fit_ridge(x.copy(), Labels(3), present, weights)
    z, coded = _standardized(x, weights), 2 * present - 1
    penalty, predictions, errors = _best(
        PENALTIES, z, coded, weights, lambda p: ((p > 0) != (present > 0)).mean(1)
    )
    assert len(set(errors)) > 1
    assert 1 / inverse == pytest.approx(penalty)

    def loss(t: float) -> float:
        losses = np.logaddexp(0, -2 * t * coded * predictions).sum(1)
        return float(weights / weights.mean() @ losses)

    _assert_temperature(1 / model.temperature / 2, loss)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_values_have_the_penalty_of_least_squared_error(shape: tuple[int, int], weighted: bool) -> None:
    x, truth = _drawn(*shape)
    weights = _weights(len(x)) if weighted else np.ones(len(x))
    values = Classes(3).coded(truth) + np.random.default_rng(3).normal(size=(len(x), 3))
    model, inverse = fit_ridge(x.copy(), Values(3), values, weights)
    z = _standardized(x, weights)
    penalty, _, _ = _best(PENALTIES_OF_VALUES, z, values, weights, lambda p: np.square(p - values).sum(1))
    assert 1 / inverse == pytest.approx(penalty)
    assert model.temperature == 1
    if not weighted:
        tried = PENALTIES_OF_VALUES * _unit(z, weights)
        reference = RidgeCV(tried).fit(z, values)
        assert 1 / inverse == pytest.approx(reference.alpha_)
        np.testing.assert_allclose(model.scores(x), reference.predict(z), atol=1e-8)


def test_the_smallest_penalty_is_taken_of_those_with_equal_accuracy() -> None:
    truth = np.arange(30) % 3
    x = np.repeat(np.eye(3)[truth], 20, 1) + np.random.default_rng(0).normal(size=(30, 60)) / 4
    _, inverse = fit_ridge(x.copy(), Classes(3), truth, np.ones(30))
    z, coded = _standardized(x, np.ones(30)), Classes(3).coded(truth)
    *_, errors = _best(PENALTIES, z, coded, np.ones(30), lambda p: p.argmax(1) != truth)
    assert errors == [0] * len(PENALTIES)
    assert 1 / inverse == pytest.approx(1e-3 * 60)


def test_features_are_multiplied_by_their_importance() -> None:
    x, truth = _drawn(30, 80)
    importance = np.random.default_rng(2).uniform(0, 3, 80)
    importance[5] = 0
    model, inverse = fit_ridge(x.copy(), Classes(3), truth, np.ones(30), importance=importance)
    z = _standardized(x, np.ones(30)) * importance
    assert 1 / inverse / _unit(z, np.ones(30)) == pytest.approx(
        min(PENALTIES, key=lambda p: abs(p - 1 / inverse / _unit(z, np.ones(30))))
    )
    expected = Ridge(1 / inverse).fit(z, Classes(3).coded(truth)).predict(z)
    np.testing.assert_allclose(model.scores(x) * model.temperature, expected, atol=1e-8)
    assert not model.weights[:, 5].any()


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
@pytest.mark.parametrize("weighted", [False, True])
def test_more_rows_and_features_than_are_left_out(
    shape: tuple[int, int], weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The penalty is that of the rows left out alone; weights and temperature are those of all rows."""
    monkeypatch.setattr(ridge_systems, "LEFT_OUT", 40)
    monkeypatch.setattr("throughtime.baselines.ridge.LEFT_OUT", 40)
    x, truth = _drawn(*shape)
    weights = _weights(len(x)) if weighted else np.ones(len(x))
    model, inverse = fit_ridge(x.copy(), Classes(3), truth, weights)
    z, coded = _standardized(x, weights), Classes(3).coded(truth)
    rows = np.sort(np.random.default_rng(0).permutation(len(x))[:40])
    relative = weights / weights.mean()

    def errors(penalty: float) -> float:
        # Not `_best`: weights of a part of the rows have another mean.
        wrong = np.zeros(40)
        for place, row in enumerate(rows):
            rest = rows[rows != row]
            part = Ridge(penalty).fit(z[rest], coded[rest], sample_weight=relative[rest])
            wrong[place] = part.predict(z[[row]]).argmax() != truth[row]
        return round(float(np.average(wrong, weights=weights[rows])), 12)

    centred = z[rows] - np.average(z[rows], axis=0, weights=weights[rows])
    penalties = PENALTIES * (relative[rows] @ np.square(centred).sum(1)) / 40
    assert 1 / inverse == pytest.approx(min(penalties, key=errors))
    expected = Ridge(1 / inverse).fit(z, coded, sample_weight=relative).predict(z)
    np.testing.assert_allclose(model.scores(x) * model.temperature, expected, atol=1e-8)
    predictions = _left_out(z, coded, weights, 1 / inverse)[rows]
    of_rows = weights[rows] / weights[rows].mean()
    _assert_temperature(
        1 / model.temperature,
        lambda t: -float(of_rows @ log_softmax(t * predictions, 1)[np.arange(40), truth[rows]]),
    )
    same, given = fit_ridge(x.copy(), Classes(3), truth, weights, inverse)
    assert given == pytest.approx(inverse)
    np.testing.assert_allclose(same.scores(x), model.scores(x), atol=1e-10)


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
def test_both_ways_of_solving_agree(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge_systems, "LEFT_OUT", 40)
    x, truth = _drawn(*shape)
    roots = np.sqrt(_weights(len(x)) / _weights(len(x)).mean())
    design = _standardized(x, _weights(len(x))) * roots[:, None]
    system = System.of(design, Classes(3).coded(truth), roots)
    several, one = Decomposed.of(system), Factored.of(system, 7.0)
    assert len(several.rows) == 40
    np.testing.assert_allclose(one.left_out(7.0), several.left_out(7.0), atol=1e-9)
    np.testing.assert_allclose(one.weights(7.0), several.weights(7.0), atol=1e-9)


def test_features_in_float32_give_nearly_the_same() -> None:
    x, truth = _drawn(30, 80)
    model, inverse = fit_ridge(x.copy(), Classes(3), truth, np.ones(30))
    single, same = fit_ridge(x.astype(np.float32), Classes(3), truth, np.ones(30))
    assert same == pytest.approx(inverse, rel=1e-5)
    np.testing.assert_allclose(single.scores(x), model.scores(x), atol=1e-3)


def test_small_penalties_of_many_features_in_float32_are_exact() -> None:
    """Where rows are nearly interpolated, a rounding error in the products would be most of 1 − h."""
    x, truth = _drawn(24, 4000)
    left_out, coded = [], Classes(3).coded(truth)
    for dtype in (np.float32, np.float64):
        design = _standardized(x, np.ones(24)).astype(dtype)
        problem = Decomposed.of(System.of(design, coded, np.ones(24)))
        left_out.append([problem.left_out(penalty) for penalty in (1e-3, 1e-2, 0.1)])
    np.testing.assert_allclose(left_out[0], left_out[1], rtol=1e-3, atol=1e-3)
    expected = coded - _left_out(design, coded, np.ones(24), 1e-3)
    np.testing.assert_allclose(left_out[1][0], expected, rtol=1e-4, atol=1e-4)


def test_few_rows_that_are_all_right_have_the_temperature_of_the_prior() -> None:
    """Without it the loss would fall without end."""
    x = np.repeat([[0.0], [9.0]], 20, 0) + np.random.default_rng(0).normal(size=(40, 1)) * 0.01
    model, _ = fit_ridge(x.copy(), Classes(2), np.repeat([0, 1], 20), np.ones(40))
    assert 3 < 1 / model.temperature < 6


def test_constant_features_give_constant_scores() -> None:
    model, _ = fit_ridge(np.ones((9, 2)), Classes(3), np.arange(9) % 3, np.ones(9))
    np.testing.assert_allclose(model.scores(np.ones((1, 2))) * model.temperature, -1 / 3)


def test_a_class_without_rows_has_low_scores() -> None:
    x, truth = _drawn(30, 80)
    model, _ = fit_ridge(x.copy(), Classes(4), truth, np.ones(30))
    assert (model.scores(x).argmax(1) < 3).all()
    np.testing.assert_allclose(model.scores(x)[:, 3] * model.temperature, -1)
