"""Fitted estimators in ONNX Runtime predict as they do themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from sklearn.exceptions import NotFittedError

import throughtime as tt

LENGTH, SERIES = 12, 24


def _data() -> tuple[np.ndarray, np.ndarray]:
    """Univariate series (n, T) of three classes, whose numbers are not in the order of their texts."""
    random = np.random.default_rng(0)
    classes = np.tile([9, 10, 100], SERIES // 3)
    return random.normal(size=(SERIES, LENGTH)) + np.log(classes)[:, None], classes


def _run(proto: Any, steps: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    inputs = {"x": steps, "lengths": np.full(len(steps), steps.shape[1])}
    outputs = dict(zip(names, session.run(names, inputs), strict=True))
    return outputs, session.get_modelmeta().custom_metadata_map


def test_a_classifier(tmp_path: Path) -> None:
    x, y = _data()
    options = {"channels": (4, 4), "kernel_sizes": (3, 3)}
    classifier = tt.SequenceClassifier(model="fcn", model_options=options, epochs=2, random_state=0).fit(x, y)
    proto = classifier.export(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == proto.SerializeToString()
    outputs, notes = _run(proto, x[..., None])
    classes = [int(name) for name in json.loads(notes["classes"])]
    assert classes == [10, 100, 9]  # in the order of their texts
    columns = [classes.index(number) for number in classifier.classes_.tolist()]
    np.testing.assert_allclose(
        outputs["probabilities"][:, columns], classifier.predict_proba(x), rtol=1e-5, atol=1e-6
    )
    assert [classes[number] for number in outputs["prediction"]] == classifier.predict(x).tolist()


def test_a_regressor() -> None:
    x, y = _data()
    regressor = tt.SequenceRegressor(
        model="gru", model_options={"hidden_size": 4}, epochs=2, random_state=0
    ).fit(x, y)
    outputs, _ = _run(regressor.export(), x[..., None])
    np.testing.assert_allclose(outputs["prediction"][:, 0], regressor.predict(x), rtol=1e-6)


def test_a_tagger() -> None:
    x, _ = _data()
    tags = [["high" if value > 3 else "low" for value in row] for row in x]
    tagger = tt.SequenceTagger(model="bigru", model_options={"hidden_size": 4}, epochs=3, random_state=0).fit(
        x, tags
    )
    outputs, notes = _run(tagger.export(), x[..., None])
    names = json.loads(notes["tags"])
    assert [[names[number] for number in row] for row in outputs["prediction"]] == [
        list(row) for row in tagger.predict(x)
    ]


def test_an_anomaly_detector() -> None:
    x, _ = _data()
    detector = tt.SequenceAnomalyDetector(
        model_options={"hidden_size": 4}, epochs=1, random_state=0, contamination=0.2
    ).fit(x)
    outputs, _ = _run(detector.export(), x[..., None])
    np.testing.assert_allclose(-outputs["score"], detector.score_samples(x), rtol=1e-5)
    assert np.where(outputs["prediction"], -1, 1).tolist() == detector.predict(x).tolist()


def test_an_estimator_that_is_not_fitted_is_refused() -> None:
    with pytest.raises(NotFittedError):
        tt.SequenceClassifier().export()
