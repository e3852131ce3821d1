"""Runs of every task in ONNX Runtime: from the data's own numbers to what the predictor predicts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

import throughtime as tt
from throughtime.data.inputs import SeriesOptions
from throughtime.data.objects import as_table
from throughtime.errors import NotCausalError, UnsupportedError
from throughtime.export.of_task import Preparation, onnx_of_task
from throughtime.models import Blend
from throughtime.tasks import Regression, Tagging
from throughtime.tasks.tagging import Tagger

CLOSE = {"rtol": 1e-5, "atol": 2e-6}
WORDS = {"yes": "good fine great", "no": "bad poor awful"}


def _words(count: int = 40) -> Mapping[str, list[Any]]:
    """Rows of texts with a target for each task."""
    kinds = ["yes" if number % 2 else "no" for number in range(count)]
    tokens = [
        ["this", WORDS[kind].split()[number % 3], *["thing"] * (number % 4)]
        for number, kind in enumerate(kinds)
    ]
    return {
        "text": [" ".join(row) for row in tokens],
        "title": [f"title {number % 3}" for number in range(count)],
        "tokens": tokens,
        "kind": kinds,
        "topics": [["odd"] * (n % 2) + ["third"] * (n % 3 == 0) for n in range(count)],
        "stars": [1000.0 + n % 2 + n % 3 for n in range(count)],
        "price": [10.0 * n for n in range(count)],
        "tags": [["X" if word in WORDS[kind] else "O" for word in row] for row, kind in zip(tokens, kinds, strict=True)],
    }  # fmt: skip


def _series(count: int = 24, channels: int = 2) -> list[np.ndarray]:
    """Series (C, T) far from 0, of different lengths."""
    random = np.random.default_rng(0)
    lengths = random.integers(3, 18, count)
    return [
        1e5 + 3 * random.normal(size=(channels, length)) + 4 * (i % 2) for i, length in enumerate(lengths)
    ]


def _outputs(proto: onnx.ModelProto, rows: Sequence[Any], **more: Any) -> dict[str, np.ndarray]:
    """What the model returns of rows of numbers, padded with what must not matter."""
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    lengths = np.array([len(row) for row in rows], np.int64)
    name = session.get_inputs()[0].name
    sizes = (len(rows), int(lengths.max()) + 2, *np.shape(rows[0])[1:])
    padded = np.zeros(sizes, np.int64) if name == "tokens" else np.full(sizes, np.nan)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: padded, "lengths": lengths, **more}), strict=True))


def _notes(proto: onnx.ModelProto) -> dict[str, Any]:
    return {entry.key: entry.value for entry in proto.metadata_props}


def _ids(proto: onnx.ModelProto, texts: Sequence[str]) -> list[list[int]]:
    tokenizer = Tokenizer.from_str(_notes(proto)["tokenizer"])
    return [tokenizer.encode(text).ids for text in texts]


def _fit(data: Mapping[str, Any], target: str, **options: Any) -> tt.Predictor:
    solved = options.get("model") in {"ngrams", "rocket"}
    return tt.fit(data, target=target, **{"progress": False, **({} if solved else {"epochs": 2}), **options})


@pytest.mark.parametrize(
    "options",
    [
        {"model": "textcnn", "channels": 4, "calibrate": True},
        {"model": "lstm", "hidden_size": 4, "threshold_metric": "f1"},
        {"model": "ngrams"},
        {"model": "gru", "hidden_size": 4, "numeric": ("price",)},
        {"model": "ngrams", "numeric": ("price",)},
        {"model": "gru", "hidden_size": 4, "max_length": 3, "longer": "truncate"},
        {"model": "gru", "hidden_size": 4, "max_length": 3, "longer": "windows", "numeric": ("price",)},
        {"model": "gru", "hidden_size": 4, "text": ("title", "text")},
        {"epochs": 1},  # a blend of several models
    ],
    ids=str,
)
def test_a_classifier_of_texts(options: dict[str, Any]) -> None:
    data = _words()
    predictor = _fit(data, "kind", **{"text": ("text",), **options})
    assert ("model" in options) != isinstance(predictor.model, Blend)
    proto = predictor.export()
    rows = {name: data[name] for name in ("text", "title", "price")}
    texts = data["text"]
    if options.get("text"):
        texts = [f"{title}<sep>{text}" for title, text in zip(data["title"], data["text"], strict=True)]
    extra = {"extra": np.array(data["price"])[:, None]} if "numeric" in options else {}
    found = _outputs(proto, _ids(proto, texts), **extra)
    np.testing.assert_allclose(found["probabilities"], predictor.predict_proba(rows), **CLOSE)
    classes = json.loads(_notes(proto)["classes"])
    assert [classes[number] for number in found["prediction"]] == predictor.predict(rows)


def test_labels_values_and_tags_of_texts_and_tokens() -> None:
    data, texts = _words(), {"text": _words()["text"]}
    labels = _fit(
        data, "topics", task="multilabel", text="text", model="textcnn", channels=4, threshold_metric="f1"
    )
    proto = labels.export()
    found = _outputs(proto, _ids(proto, data["text"]))
    np.testing.assert_allclose(found["probabilities"], labels.predict_proba(texts), **CLOSE)
    names = json.loads(_notes(proto)["labels"])
    chosen = [[name for name, one in zip(names, row, strict=True) if one] for row in found["prediction"]]
    assert chosen == labels.predict(texts)

    values = _fit(data, "stars", task="regression", text="text", model="textcnn", channels=4)
    proto = values.export()
    found = _outputs(proto, _ids(proto, data["text"]))
    np.testing.assert_allclose(found["prediction"][:, 0], values.predict(texts), rtol=1e-7)

    for crf in (False, True):
        tagger = _fit(data, "tags", task="tagging", tokens="tokens", model="bilstm", hidden_size=4, crf=crf)
        proto = tagger.export()
        vocabulary = Tokenizer.from_str(_notes(proto)["tokenizer"]).get_vocab()
        found = _outputs(proto, [[vocabulary.get(word, 0) for word in row] for row in data["tokens"]])
        tags = json.loads(_notes(proto)["tags"])
        predicted = [[tags[number] for number in row if number >= 0] for row in found["prediction"]]
        assert predicted == tagger.predict({"tokens": data["tokens"]})
    with pytest.raises(NotCausalError, match="conditional random field depend on later steps.*without crf"):
        tagger.export(streaming=True)


def test_the_best_tags_of_a_random_field_are_those_of_the_layer() -> None:
    torch.manual_seed(0)
    crf = tt.nn.CRF(4, torch.rand(4, 4) > 0.3, torch.tensor([True, True, False, True]))
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    model = Tagger(tt.nn.Linear(3, 4), crf).eval()
    proto = onnx_of_task(model, Tagging(("a", "b", "c", "d"), crf=True))
    x = tt.Ragged.from_lengths(3 * torch.randn(60, 3), [25, 0, 1, 34])
    expected = crf.decode(model(x)).to_list()
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    padded = x.to_padded(batch_first=True).numpy()
    (found,) = session.run(["prediction"], {"x": padded, "lengths": x.lengths.numpy()})
    for row, tags in zip(found, expected, strict=True):
        assert row[row >= 0].tolist() == tags.tolist()


@pytest.mark.parametrize("missing", [None, "zero", "mean", "mask", "forward", "interpolate", "padding"])
@pytest.mark.parametrize("scale", ["standard", "series", "none"])
def test_missing_values_and_scales_of_series(missing: str | None, scale: str) -> None:
    random, series = np.random.default_rng(1), _series()
    series[3] = np.full((2, 1), 1e5)
    series[4][1] = 7.0  # constant
    for part in series:
        if missing == "padding":
            part[:, 3:] = np.where(np.arange(3, part.shape[1]) > part.shape[1] - 3, np.nan, part[:, 3:])
        elif missing is not None:
            part[random.random(part.shape) < 0.4] = random.choice([np.nan, np.inf])
    table = as_table({"x": series})
    inputs = SeriesOptions(columns=("x",), missing=missing, scale=scale).fit(table)
    channels = inputs.shape.channels
    model = torch.nn.Sequential(tt.nn.Linear(channels, 3), tt.nn.Pool("mean"))
    task = Regression(("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
    proto = onnx_of_task(model, task, preparation=Preparation(series=inputs))
    found = _outputs(proto, [part.T for part in series])
    with torch.no_grad():
        expected = model(inputs.encode(table))
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "options",
    [
        {"model": "fcn", "channels": 4, "kernel_sizes": (3, 3, 3)},
        {"model": "rocket", "max_length": 8, "longer": "windows"},
    ],
    ids=str,
)
def test_a_classifier_of_series(options: dict[str, Any]) -> None:
    data = {"x": _series(), "kind": ["yes", "no"] * 12}
    predictor = _fit(data, "kind", series="x", **options)
    found = _outputs(predictor.export(), [part.T for part in data["x"]])
    np.testing.assert_allclose(
        found["probabilities"], predictor.predict_proba({"x": data["x"]}), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("reduce", ["mean", "sum", "max"])
@pytest.mark.parametrize("kind", ["tokens", "series"])
def test_anomalies(kind: str, reduce: str) -> None:
    data = {"x": _series()} if kind == "series" else {"tokens": _words()["tokens"]}
    column = next(iter(data))
    predictor = tt.fit(
        data, task="anomaly", **{kind: column}, epochs=1, progress=False, hidden_size=4, reduce=reduce,
        contamination=0.3,
    )  # fmt: skip
    proto = predictor.export()
    rows: Any = [part.T for part in _series()]
    if kind == "tokens":
        vocabulary = Tokenizer.from_str(_notes(proto)["tokenizer"]).get_vocab()
        rows = [[vocabulary.get(word, 0) for word in row] for row in data["tokens"]]
    found, expected = _outputs(proto, rows), predictor.predictions(data)
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-5)
    assert found["prediction"].tolist() == expected["anomaly"]
    for row, steps in zip(found["surprise"][..., 0], expected["surprise"], strict=True):
        np.testing.assert_allclose(row[: len(steps)], steps, rtol=1e-4, atol=1e-5)
        assert not row[len(steps) :].any()


def test_streams_of_runs() -> None:
    data = {"x": _series(), "kind": ["yes", "no"] * 12}
    predictor = _fit(data, "kind", series="x", model="gru", hidden_size=4)
    session = onnxruntime.InferenceSession(predictor.export(streaming=True).SerializeToString())
    state, names = tt.export.stream_state(session), [output.name for output in session.get_outputs()]
    series = data["x"][0]
    for end in range(1, series.shape[1] + 1):
        outputs = dict(
            zip(names, session.run(None, {"x": series.T[None, end - 1 : end], **state}), strict=True)
        )
        state = {name: outputs[name.removesuffix("_0") + "_n"] for name in state}
        expected = predictor.predict_proba({"x": [series[:, :end]]})
        np.testing.assert_allclose(outputs["probabilities"], expected, **CLOSE)


def test_what_does_not_stream_is_named() -> None:
    data = {"x": _series(), "kind": ["yes", "no"] * 12}
    for options, error, words in (
        (
            {"scale": "series"},
            NotCausalError,
            "each series is scaled by all its steps; train with scale='standard'",
        ),
        (
            {"max_length": 5, "longer": "truncate"},
            UnsupportedError,
            "at most 5 steps .* train without max_length",
        ),
    ):
        predictor = _fit(data, "kind", series="x", model="gru", hidden_size=4, **options)
        with pytest.raises(error, match=words):
            predictor.export(streaming=True)
