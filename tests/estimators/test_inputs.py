"""What the estimators take: texts, tokens, series, frames, weights, functions that build models; and errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

import throughtime as tt
from tests.estimators.data import OPINIONS, SENTENCES, SESSIONS, gun_point, ragged_series
from throughtime.data.objects import as_table
from throughtime.estimators._rows import small_parts
from throughtime.learn import Recipe

FAST = {"random_state": 0, "epochs": 10, "learning_rate": 0.02}
TEXTS = {**FAST, "model": "textcnn"}
SERIES = {**FAST, "model": "fcn", "model_options": {"channels": (8, 8, 8)}}
FRAME = {"title": SENTENCES, "year": [1900 + i for i in range(48)], "words": [s.split() for s in SENTENCES]}


@pytest.mark.parametrize(
    ("data", "columns"),
    [
        (SENTENCES, {}),
        (np.array(SENTENCES), {}),
        ([sentence.split() for sentence in SENTENCES], {}),
        (pa.table(FRAME), {"text": "title"}),
        (pa.table(FRAME), {"text": ["title"], "numeric": ("year",)}),
        (pa.table(FRAME), {"tokens": "words"}),
        (FRAME, {"text": "title", "tokenizer": "characters"}),
    ],
)
def test_texts_tokens_and_frames_are_learned(data: Any, columns: dict[str, Any]) -> None:
    classifier = tt.SequenceClassifier(**TEXTS, **columns).fit(data, OPINIONS)
    assert classifier.score(data, OPINIONS) == 1.0
    assert classifier.predict(data).dtype == OPINIONS.dtype
    assert not hasattr(classifier, "n_features_in_")


def test_a_frame_of_numbers_is_an_array() -> None:
    series, labels = gun_point(20, steps=12)
    frame = pa.table({f"step {number}": values for number, values in enumerate(series.T)})
    classifier = tt.SequenceClassifier(**SERIES).fit(frame, labels)
    assert classifier.n_features_in_ == 12
    assert classifier.feature_names_in_.tolist() == frame.column_names
    array = tt.SequenceClassifier(**SERIES).fit(series, labels)
    assert np.array_equal(classifier.predict_proba(frame), array.predict_proba(series))
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(frame.select(frame.column_names[::-1]))


def test_a_frame_of_several_columns_needs_the_name_of_one() -> None:
    with pytest.raises(tt.errors.DataError, match="name the column to read"):
        tt.SequenceClassifier().fit(pa.table(FRAME), OPINIONS)


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize(
    "container",
    [list, lambda series: tt.Ragged.from_list([torch.from_numpy(s.T.copy()).float() for s in series])],
)
def test_ragged_series_are_learned(channels: int | None, container: Callable[[Any], Any]) -> None:
    series, signs = ragged_series(channels=channels)
    classifier = tt.SequenceClassifier(**SERIES).fit(container(series), signs)
    assert classifier.score(container(series), signs) == 1.0


def test_an_array_of_channels_is_learned_and_has_no_fixed_length() -> None:
    series, signs = ragged_series()
    array = np.stack([np.stack([row[:5], -row[:5]]) for row in series])
    classifier = tt.SequenceClassifier(**SERIES).fit(array, signs)
    assert classifier.score(array[:, :, :4], signs) > 0.9
    with pytest.raises(tt.errors.DataError, match="1 channel, but those in training had 2"):
        classifier.predict(array[:, :1])


def test_lists_of_floats_of_equal_length_are_an_array() -> None:
    series, labels = gun_point(20)
    classifier = tt.SequenceClassifier(**SERIES).fit(series.tolist(), labels)
    assert classifier.n_features_in_ == 40
    with pytest.raises(ValueError, match="X has 39 features"):
        classifier.predict(series[:, 1:])
    texts = classifier.set_params(model="textcnn", model_options=None).fit(SENTENCES, OPINIONS)
    assert not hasattr(texts, "n_features_in_")


def test_missing_values_are_refused_unless_an_option_says_how() -> None:
    series, labels = gun_point(24)
    series[3, 4] = np.nan
    with pytest.raises(tt.errors.DataError) as raised:
        tt.SequenceClassifier(**SERIES).fit(series, labels)
    assert str(raised.value) == (
        "X: item 3 has no value (null or NaN) at step 5; fill in missing values with missing= (--missing): "
        "interpolate, forward, zero, mean, mask, or padding for steps at the end"
    )
    classifier = tt.SequenceClassifier(**SERIES, missing="interpolate").fit(series, labels)
    assert np.isfinite(classifier.predict_proba(series)).all()


@pytest.mark.parametrize(
    "labels",
    [
        np.array([True, False] * 24),
        np.array(["b", "a"] * 24),
        [10, 9] * 24,
        np.array([1.5, 2.0] * 24)[::-1].astype(str),
    ],
)
def test_classes_keep_their_type_and_order(labels: Any) -> None:
    classifier = tt.SequenceClassifier(**TEXTS).fit(SENTENCES, labels)
    expected = np.unique(labels)
    assert classifier.classes_.dtype == expected.dtype
    assert classifier.classes_.tolist() == expected.tolist()
    assert classifier.predict(SENTENCES).tolist() == np.asarray(labels).tolist()
    probabilities = classifier.predict_proba(SENTENCES)
    assert expected[probabilities.argmax(1)].tolist() == np.asarray(labels).tolist()
    assert np.allclose(np.exp(classifier.predict_log_proba(SENTENCES)), probabilities)


def test_a_class_of_weight_zero_is_not_predicted() -> None:
    texts, labels = ["the same text"] * 60, np.array(["many"] * 40 + ["few"] * 20)
    classifier = tt.SequenceClassifier(**TEXTS)
    assert set(classifier.fit(texts, labels).predict(texts)) == {"many"}
    weighted = classifier.fit(texts, labels, sample_weight=(labels == "few").astype(float))
    assert set(weighted.predict(texts)) == {"few"}


def test_metrics_of_validation_have_the_weights_of_rows() -> None:
    texts, labels = ["the same text"] * 60, np.array(["many"] * 40 + ["few"] * 20)
    weighted = tt.SequenceClassifier(**TEXTS).fit(
        texts, labels, sample_weight=(labels == "few").astype(float)
    )
    assert {epoch.validation["accuracy"] for epoch in weighted.history_} <= {0.0, 1.0}
    assert weighted.metrics_["accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("class_weight", [{"many": 0.01, "few": 1.0}, {"few": 200}])
def test_weights_of_classes_are_those_of_their_rows(class_weight: dict[str, float]) -> None:
    texts, labels = ["the same text"] * 60, np.array(["many"] * 40 + ["few"] * 20)
    by_class = tt.SequenceClassifier(**TEXTS, class_weight=class_weight).fit(texts, labels)
    rows = np.array([class_weight.get(label, 1.0) for label in labels])
    by_row = tt.SequenceClassifier(**TEXTS).fit(texts, labels, sample_weight=rows)
    assert set(by_class.predict(texts)) == {"few"}
    assert np.array_equal(by_class.predict_proba(texts), by_row.predict_proba(texts))


def test_balanced_classes_are_those_of_fit() -> None:
    labels = np.array(["many"] * 40 + ["few"] * 8)
    options = {
        "model": "textcnn",
        "epochs": 2,
        "tokens_per_batch": 40,
        "patience": None,
        "learning_rate": 0.01,
    }
    balanced = tt.SequenceClassifier(**options, random_state=0, class_weight="balanced").fit(
        SENTENCES, labels
    )
    plain = tt.SequenceClassifier(**options, random_state=0).fit(SENTENCES, labels)
    rows = {"text": SENTENCES, "label": labels}
    fitted = tt.fit(rows, **options, test=0.0, seed=0, class_weight="balanced", progress=False)
    assert np.array_equal(balanced.predict_proba(SENTENCES), fitted.predict_proba(SENTENCES))
    assert (balanced.predict_proba(SENTENCES)[:, 0] > plain.predict_proba(SENTENCES)[:, 0]).all()


def test_the_only_row_of_a_class_is_trained_on() -> None:
    classes = ["a", "b", "c"] + ["a", "b"] * 10
    table = as_table(["text"] * len(classes))
    parts = small_parts(Recipe.of("classification", validation=0.2), table, classes)
    assert parts is not None
    assert 2 in parts.training
    assert sorted([*parts.training, *parts.validation]) == list(range(23))
    assert sorted(classes[row] for row in parts.validation) == ["a", "a", "b", "b"]
    classifier = tt.SequenceClassifier(**TEXTS).fit([*SENTENCES, "some play"], np.append(OPINIONS, 3))
    assert classifier.classes_.tolist() == [1, 3, 5]
    assert classifier.predict_proba(SENTENCES).shape == (48, 3)


def test_few_rows_are_validated_on_themselves() -> None:
    classifier = tt.SequenceClassifier(**TEXTS).fit(SENTENCES[:6], OPINIONS[:6])
    assert classifier.predictor_.metrics.validation.examples == 6


def test_several_targets_are_regressed() -> None:
    series, signs = ragged_series()
    targets = np.stack([10.0 * signs, 5.0 - signs], 1)
    regressor = tt.SequenceRegressor(**SERIES).fit(series, targets)
    assert regressor.predict(series).shape == (40, 2)
    assert regressor.score(series, targets) > 0.7
    single = tt.SequenceRegressor(**SERIES).fit(
        series, targets[:, 0], sample_weight=np.where(signs > 0, 1.0, 0.0)
    )
    plain = tt.SequenceRegressor(**SERIES).fit(series, targets[:, 0])
    assert (single.predict(series) > 0).all()
    assert (plain.predict(series) > 0).tolist() == (signs > 0).tolist()


class Mean(nn.Module):
    def __init__(self, channels: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x: tt.Ragged) -> torch.Tensor:
        return self.layers(torch.stack([steps.mean(0) for steps in x.to_list()]))


def mean_model(inputs: tt.models.ModelInputs, outputs: int, hidden: int = 4) -> nn.Module:
    return Mean(inputs.channels or 0, outputs, hidden)


def test_a_function_builds_the_model() -> None:
    series, signs = ragged_series()
    classifier = tt.SequenceClassifier(model=mean_model, model_options={"hidden": 7}, **FAST).fit(
        series, signs
    )
    assert isinstance(classifier.model_, Mean)
    assert classifier.model_.layers[0].out_features == 7
    assert classifier.score(series, signs) == 1.0


TAGS = [["verb" if word in {"read", "write"} else "other" for word in row] for row in SESSIONS]


@pytest.mark.parametrize("crf", [False, True])
def test_tags_are_learned(crf: bool) -> None:
    tagger = tt.SequenceTagger(**FAST, crf=crf, model_options={"hidden_size": 8}).fit(SESSIONS, TAGS)
    assert tagger.predict([["write", "open"]]) == [["verb", "other"]]
    assert tagger.score(SESSIONS, TAGS) == 1.0
    assert (
        tagger.score([["write", "open"], ["open", "open", "open"]], [["other", "other"], ["other"] * 3])
        == 4 / 5
    )
    assert tagger.classes_.tolist() == ["other", "verb"]


def test_steps_of_series_have_tags_of_numbers() -> None:
    series, _ = ragged_series()
    tags = [(row > 0).astype(int) for row in series]
    tagger = tt.SequenceTagger(**FAST, model_options={"hidden_size": 8}).fit(series, tags)
    assert tagger.score(series, tags) > 0.9
    assert isinstance(tagger.predict(series)[0][0], int)


def test_unlike_sessions_are_anomalies() -> None:
    detector = tt.SequenceAnomalyDetector(**FAST, contamination=0.1, reduce="sum").fit(SESSIONS)
    scores = detector.score_samples(SESSIONS)
    assert detector.offset_ == np.percentile(scores, 10)
    assert detector.predict([["open", "read", "close"], ["close", "open", "open"]]).tolist() == [1, -1]
    assert detector.predictor_.predict(SESSIONS) == (detector.predict(SESSIONS) == -1).tolist()
    assert np.array_equal(detector.decision_function(SESSIONS), scores - detector.offset_)


def test_labels_in_a_frame_are_not_read_by_the_detector() -> None:
    frame = {"tokens": SESSIONS, "label": ["anomaly"] * 40}
    assert tt.SequenceAnomalyDetector(random_state=0, epochs=1).fit(frame).predict(frame).shape == (40,)


SHORT = SESSIONS[:12]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            lambda: tt.SequenceClassifier().fit(SENTENCES, OPINIONS[:3]),
            "X has 48 sequences, but y has 3 targets",
        ),
        (lambda: tt.SequenceClassifier().fit(SENTENCES, None), "requires y to be passed"),
        (lambda: tt.SequenceClassifier().fit(SENTENCES, ["one"] * 48), "a classifier needs two classes"),
        (
            lambda: tt.SequenceClassifier().fit(SENTENCES, OPINIONS, [1, 2]),
            r"sample_weight has shape \(2,\), expected \(48,\)",
        ),
        (
            lambda: tt.SequenceClassifier().fit(SENTENCES, OPINIONS, [-1.0] * 48),
            "sample_weight has -1.0 for item 0",
        ),
        (lambda: tt.SequenceClassifier().fit(SENTENCES, np.array([1, "1"] * 24, dtype=object)), "y|type"),
        (lambda: tt.SequenceClassifier(model="fnc").fit(SENTENCES, OPINIONS), "unknown model 'fnc'"),
        (
            lambda: tt.SequenceClassifier(epochs="many").fit(SENTENCES, OPINIONS),
            "epochs must be a whole number",
        ),
        (lambda: tt.SequenceClassifier(monitor="rmse").fit(SENTENCES, OPINIONS), "rmse"),
        (lambda: tt.SequenceClassifier().fit([*SENTENCES[:-1], " "], OPINIONS), "X: item 47"),
        (lambda: tt.SequenceClassifier(text="title").fit({"text": SENTENCES}, OPINIONS), "no column 'title'"),
        (lambda: tt.SequenceClassifier(class_weight={9: 1.0}).fit(SENTENCES, OPINIONS), "class_weight|9"),
        (lambda: tt.SequenceRegressor().fit(SENTENCES, ["five"] * 48), "five|numeric|string"),
        (lambda: tt.SequenceRegressor().fit(SENTENCES[:1], [1.0]), "training needs two"),
        (
            lambda: tt.SequenceTagger().fit(SHORT, [*TAGS[:11], ["verb"]]),
            "X: item 11 has 1 tag for 3 tokens",
        ),
        (
            lambda: tt.SequenceTagger().fit(SHORT, [*TAGS[:11], "verb"]),
            "y: item 11 is a str, expected a list of tags",
        ),
        (lambda: tt.SequenceTagger().fit(SHORT, TAGS[:5]), "X has 12 sequences, but y has 5 targets"),
        (
            lambda: tt.SequenceAnomalyDetector(contamination=0.7).fit(SESSIONS),
            "contamination must be from 0 to 0.5",
        ),
    ],
)
def test_mistakes_are_named(action: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as raised:
        action()
    assert "\n" not in str(raised.value).strip()
