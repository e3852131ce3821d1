"""The estimators within scikit-learn: pipelines, searches, pickles, and what fit keeps to."""

import inspect
import os
import pickle
import re
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import throughtime as tt
from tests.estimators.data import OPINIONS, SENTENCES, SESSIONS, gun_point

SMALL = {
    "model": "fcn",
    "model_options": {"channels": (16, 16, 16)},
    "learning_rate": 0.02,
    "epochs": 8,
    "random_state": 0,
}
TEXTS = {"model": "textcnn", "random_state": 0}
CLASSES = [tt.SequenceClassifier, tt.SequenceRegressor, tt.SequenceTagger, tt.SequenceAnomalyDetector]


def test_a_grid_search_over_a_pipeline_learns_the_dip() -> None:
    series, labels = gun_point()
    pipeline = Pipeline(
        [
            ("every_second", FunctionTransformer(lambda x: x[:, ::2])),
            ("model", tt.SequenceClassifier(**SMALL)),
        ]
    )
    grid = {"model__learning_rate": np.array([1e-7, 0.02])}
    search = GridSearchCV(pipeline, grid, cv=2).fit(series, labels)
    assert search.best_params_ == {"model__learning_rate": 0.02}
    test, truth = gun_point(seed=5)
    assert search.score(test, truth) > 0.95
    assert search.classes_.tolist() == ["gun", "point"]


def test_options_of_the_model_are_a_grid() -> None:
    series, labels = gun_point(24)
    grid = [
        {"model": ["fcn"], "model_options": [{"channels": (8, 8, 8)}]},
        {"model": ["gru"], "model_options": [{"hidden_size": 8}]},
    ]
    search = GridSearchCV(tt.SequenceClassifier(epochs=1, random_state=0), grid, cv=2).fit(series, labels)
    assert len(search.cv_results_["params"]) == 2


def test_cross_val_score_of_texts() -> None:
    scores = cross_val_score(
        tt.SequenceClassifier(**TEXTS, epochs=8, learning_rate=0.01), SENTENCES, OPINIONS, cv=2
    )
    assert scores.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_is_documented_and_cloned(cls: type) -> None:
    estimator = cls(epochs=3, model="gru", model_options={"hidden_size": 4})
    assert clone(estimator).get_params() == estimator.get_params()
    documentation = cls.__doc__ or ""
    for name in inspect.signature(cls).parameters:
        assert f"    {name} : " in documentation, name
    assert "{parameters}" not in documentation
    assert not re.search("--[a-z]", documentation)


@pytest.mark.parametrize("cls", CLASSES)
def test_options_of_a_training_are_parameters(cls: type) -> None:
    names = set(inspect.signature(cls).parameters)
    assert {
        "text",
        "tokens",
        "series",
        "numeric",
        "validation",
        "group",
        "tokenizer",
        "missing",
        "epochs",
        "clip",
    } <= names
    assert not {"seed", "test", "target", "validation_file", "encoding"} & names


@pytest.mark.parametrize("save", ["pickle", "joblib"])
def test_pickles_predict_the_same(save: str, tmp_path: Path) -> None:
    classifier = tt.SequenceClassifier(epochs=2, random_state=0).fit(SENTENCES, OPINIONS)
    if save == "pickle":
        again = pickle.loads(pickle.dumps(classifier))
    else:
        joblib.dump(classifier, tmp_path / "model")
        again = joblib.load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(SENTENCES), classifier.predict_proba(SENTENCES))


@pytest.mark.parametrize("cls", CLASSES)
def test_before_fit_all_methods_raise(cls: type) -> None:
    methods = [
        name
        for name in ("predict", "predict_proba", "score_samples", "decision_function")
        if hasattr(cls, name)
    ]
    for name in methods:
        with pytest.raises(NotFittedError):
            getattr(cls(), name)(SESSIONS)


def test_the_same_seed_gives_the_weights_of_fit() -> None:
    series, labels = gun_point(30)
    options = {"epochs": 3, "patience": 2, "tokens_per_batch": 300, "learning_rate": 0.01, "validation": 0.2}
    classifier = tt.SequenceClassifier(
        model="gru", model_options={"hidden_size": 8}, random_state=3, **options
    ).fit(series, labels)
    rows = {"series": series, "label": labels}
    fitted = tt.fit(rows, model="gru", hidden_size=8, seed=3, test=0.0, progress=False, **options)
    expected, state = fitted.model.state_dict(), classifier.model_.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)
    assert np.array_equal(classifier.predict_proba(series), fitted.predict_proba({"series": series}))


def test_without_random_state_the_seed_is_drawn_from_numpy() -> None:
    def weights() -> torch.Tensor:
        classifier = tt.SequenceClassifier(model="textcnn", epochs=1).fit(SENTENCES[:12], OPINIONS[:12])
        return torch.cat([part.flatten() for part in classifier.model_.parameters()])

    np.random.seed(0)  # noqa: NPY002 - scikit-learn's convention
    first, second = weights(), weights()
    np.random.seed(0)  # noqa: NPY002
    assert torch.equal(weights(), first)
    assert not torch.equal(first, second)


def test_fit_is_silent_and_leaves_no_files(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", None)  # temporary files are not flushed to disk
    tt.SequenceClassifier(epochs=1, random_state=0).fit(SENTENCES, OPINIONS)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_verbose_prints_progress(capfd: pytest.CaptureFixture[str]) -> None:
    tt.SequenceClassifier(epochs=1, random_state=0, verbose=True).fit(SENTENCES, OPINIONS)
    assert "accuracy" in capfd.readouterr().out


def test_a_warm_start_begins_with_the_last_weights() -> None:
    classifier = tt.SequenceClassifier(**TEXTS, epochs=6, learning_rate=0.01, warm_start=True)
    classifier.fit(SENTENCES, OPINIONS)
    before = {name: part.clone() for name, part in classifier.model_.state_dict().items()}
    classifier.set_params(learning_rate=0.0, epochs=1).fit(SENTENCES[:20], OPINIONS[:20])
    after = classifier.model_.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert classifier.predict(["a good play"]).tolist() == [5]
    classifier.set_params(warm_start=False).fit(SENTENCES, OPINIONS)
    assert not all(torch.equal(part, before[name]) for name, part in classifier.model_.state_dict().items())


def test_a_warm_start_refuses_another_model_and_new_classes() -> None:
    classifier = tt.SequenceClassifier(**TEXTS, epochs=1, warm_start=True).fit(SENTENCES, OPINIONS)
    with pytest.raises(tt.errors.DataError, match="'7', which is not a class"):
        classifier.fit(SENTENCES, np.where(OPINIONS == 5, 7, OPINIONS))
    with pytest.raises(tt.errors.ShapeError, match="other parameters"):
        classifier.set_params(model_options={"embedding_size": 7}).fit(SENTENCES, OPINIONS)


def test_small_data_are_trained_for_many_updates() -> None:
    series, labels = gun_point(20)
    small = {"model": "fcn", "model_options": {"channels": (4, 4, 4)}}
    classifier = tt.SequenceClassifier(**small, random_state=0, patience=1).fit(series, labels)
    recipe = classifier.predictor_.recipe
    steps = classifier.history_[0].steps
    assert recipe.batches.tokens_per_batch == 16 * 40
    assert recipe.optimizer.epochs == 400 / steps
    assert recipe.optimizer.patience == 1


def test_an_unknown_parameter_names_what_to_give() -> None:
    with pytest.raises(TypeError, match=r"no parameter 'hidden_size'; .*model_options=\{'hidden_size': …\}"):
        tt.SequenceClassifier(model="gru", hidden_size=8)
    with pytest.raises(TypeError, match="SequenceRegressor has no parameter 'epoch'; did you mean epochs"):
        tt.SequenceRegressor(epoch=3)
