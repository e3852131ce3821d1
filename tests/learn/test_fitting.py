"""From raw data to predictions: the same for a file, a frame and a run that is loaded again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from throughtime.errors import DataError, InputTypeError, RunError, ShapeError, UnsupportedError
from throughtime.learn import Recipe, fit, fit_recipe, load, prepare
from throughtime.learn.parts import EncodedPart, overlaps
from throughtime.models import TextCNN
from throughtime.nn import Pool
from throughtime.training import Run

ROWS = {
    "text": [f"{'good' if i % 2 else 'bad'} film number {i}" for i in range(60)],
    "label": ["+" if i % 2 else "-" for i in range(60)],
}
FAST = {"model": "textcnn", "epochs": 2, "embedding_size": 8, "channels": 8, "progress": False}


def weights(run):
    return Run.open(run).load_model().state_dict()


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_file_and_python_objects_give_the_same_weights(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = zip(ROWS["text"], ROWS["label"], strict=True)
    file.write_text("".join(json.dumps({"text": t, "label": c}) + "\n" for t, c in rows))
    fit(ROWS, out=tmp_path / "a", **FAST)
    fit(file, out=tmp_path / "b", **FAST)
    assert equal(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_a_loaded_run_predicts_as_the_fitted_one(tmp_path):
    fitted = fit(ROWS, out=tmp_path / "run", **FAST)
    loaded = load(tmp_path / "run")
    texts = ["good film", "bad film", "film"]
    assert loaded.predict(texts) == fitted.predict(texts)
    assert np.array_equal(loaded.predict_proba(texts), fitted.predict_proba(texts))
    assert loaded.classes == ("+", "-")
    assert loaded.score(ROWS)["accuracy"] == np.mean(
        [a == b for a, b in zip(loaded.predict(ROWS["text"]), ROWS["label"], strict=True)]
    )


def test_a_finished_run_is_extended(tmp_path):
    recipe = Recipe.of("classification", "textcnn", epochs=2, patience=None, embedding_size=8, channels=8)
    run = tmp_path / "run"
    fit_recipe(recipe, ROWS, out=run, progress=False)
    longer = recipe.changed(epochs=4)
    fitted = fit_recipe(longer, ROWS, out=run, resume=True, progress=False)
    metrics = fitted.result.metrics
    assert [epoch.epoch for epoch in metrics.history] == [1, 2, 3, 4]
    assert metrics.stopped == "epochs"
    assert metrics.test is not None
    assert Recipe.from_json(Run.open(run).config.recipe["options"]).optimizer.epochs == 4
    again = fit_recipe(longer, ROWS, out=run, resume=True, progress=False)
    assert again.result.already_finished
    with pytest.raises(RunError, match="was created with settings.epochs = 4, now it is 3"):
        fit_recipe(recipe.changed(epochs=3), ROWS, out=run, resume=True, progress=False)


def test_windows_of_long_texts_are_averaged():
    long = replace(
        Recipe.of("classification"), inputs=replace(Recipe().inputs, max_length=3, longer="windows")
    )
    rows = {"text": ["a b c d e f g"] * 8 + ["x y"] * 8, "label": ["long"] * 8 + ["short"] * 8}
    prepared = prepare(long, rows)
    assert len(prepared.source.training(0)) > len(prepared.rows.training)
    assert prepared.source.training(0).inputs.lengths.max() == 3
    fitted = fit(rows, max_length=3, longer="windows", **FAST)
    assert len(fitted.predict(rows["text"])) == 16
    whole = fitted.outputs(rows["text"][:1])
    windows = fitted.encoder.unlabelled(fitted.table(rows["text"][:1]), fitted.task)
    assert len(windows) > 1
    torch.testing.assert_close(whole[0], fitted.model(windows.inputs).mean(0))


def test_blank_rows_and_rare_classes_are_left_out_on_request():
    rows = {"text": [*ROWS["text"], " ", "odd film"], "label": [*ROWS["label"], "+", "?"]}
    with pytest.raises(DataError, match="the data: item 60 has no text in column 'text'"):
        prepare(Recipe.of("classification", rare_classes="drop"), rows)
    with pytest.raises(DataError, match="class '\\?' has 1 row "):
        prepare(Recipe.of("classification", skip_blank=True), rows)
    prepared = prepare(Recipe.of("classification", skip_blank=True, rare_classes="drop"), rows)
    assert prepared.task.classes == ("+", "-")
    assert sum(map(len, prepared.tables)) == 60
    assert any("1 row of 1 rare class left out" in note for note in prepared.notes)


LABELS_OF_TASKS = {
    "classification": ["a", "b"],
    "multilabel": [["a"], ["a", "b"]],
    "regression": [0.5, 1.5],
    "tagging": [["a", "b", "b"], ["b", "a", "b"]],
    "anomaly": ["normal", "normal"],
}


@pytest.mark.parametrize("task", LABELS_OF_TASKS)
def test_rows_without_a_target_are_left_out_on_request(task):
    rows = {"tokens": [["x", f"y{i % 3}", "z"] for i in range(60)], "label": LABELS_OF_TASKS[task] * 30}
    missing = {name: [*column[:30], column[0], *column[30:]] for name, column in rows.items()}
    missing["label"][30] = None
    with pytest.raises(DataError, match=r"the data: item 30 has no [a-z]+ in .*missing_target='drop'"):
        prepare(Recipe.of(task), missing)
    recipe = Recipe.of(task, missing_target="drop")
    weights = torch.arange(61.0)
    dropped = prepare(recipe, missing, test_data=missing, weights=weights)
    assert dropped.notes[:2] == ("the data: 1 row without a target left out",) * 2
    kept = prepare(recipe, rows, test_data=rows, weights=torch.cat([weights[:30], weights[31:]]))
    assert not any("without a target" in note for note in kept.notes)
    assert dropped.source.describe() == kept.source.describe()
    parts = [(prepared.source.training(0), prepared.source.validation) for prepared in (dropped, kept)]
    for ours, expected in zip(*parts, strict=True):
        assert torch.equal(ours.weights, expected.weights)
        assert ours.inputs.to_list()[0].tolist() == expected.inputs.to_list()[0].tolist()
    with pytest.raises(DataError, match="the data: no row has a target in 'label'; name another column"):
        prepare(recipe, {**missing, "label": [None] * 61})


@pytest.mark.parametrize(("value", "rows"), [(" ", 59), (float("nan"), 59), ("a", 60)])
def test_blank_texts_and_nan_are_missing_targets(value, rows):
    labels = [0.5, 1.5] * 30 if isinstance(value, float) else ["a", "b"] * 30
    labels[7] = value
    task = "regression" if isinstance(value, float) else "classification"
    prepared = prepare(
        Recipe.of(task, missing_target="drop"), {"text": [f"to be {i}" for i in range(60)], "label": labels}
    )
    assert sum(map(len, prepared.tables)) == rows


def test_labels_all_of_which_are_rare():
    rows = {"text": ["a b"] * 30, "label": [f"user {i}" for i in range(30)]}
    for rare in ("refuse", "drop"):
        with pytest.raises(
            DataError, match="the 30 rows have 30 different labels, as a column of identifiers"
        ):
            prepare(Recipe.of("classification", rare_classes=rare), rows)
    few = {name: column[:6] for name, column in rows.items()}
    with pytest.raises(DataError, match="each of the 6 classes has too few rows for every part; give more"):
        prepare(Recipe.of("classification", rare_classes="drop"), few)


def test_a_metric_of_another_task_is_refused_with_those_of_the_task(tmp_path):
    rows = {"text": ROWS["text"], "label": range(60)}
    for name in ("rmes", "f1"):
        with pytest.raises(
            ShapeError, match=f"no metric '{name}' for this task.*; choose one of loss, mae, rmse, r2$"
        ):
            fit(rows, task="regression", monitor=name, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_rows_in_two_parts_are_noted():
    rows = {"text": ["the same", "another"] * 20, "label": ["+", "-"] * 20}
    notes = prepare(Recipe.of("classification"), rows).notes
    assert any(note.startswith("4 of 4 test rows have the same sequence as a training row") for note in notes)
    assert prepare(Recipe.of("classification"), ROWS).notes == ()


@pytest.mark.parametrize(("count", "start"), [(1, "1 of 4 test rows has"), (2, "2 of 4 test rows have")])
def test_the_note_on_rows_in_two_parts_agrees_in_number(count, start):
    training, validation, test = ({0, 1, 2, 3}, set(), {*range(count), *range(10, 14 - count)})
    parts = [
        EncodedPart(None, np.array(sorted(hashes), dtype=np.uint64), "")
        for hashes in (training, validation, test)
    ]
    (note,) = overlaps(parts)
    assert note.startswith(f"{start} the same sequence as a training row; ")


def test_balanced_classes_weigh_the_same():
    rows = {"text": ROWS["text"], "label": ["rare" if i < 12 else "common" for i in range(60)]}
    training = prepare(Recipe.of("classification", class_weight="balanced"), rows).source.training(0)
    for number in (0, 1):
        of_class = training.weights[training.targets == number]
        assert float(of_class.sum()) == pytest.approx(len(training) / 2)
    with pytest.raises(ShapeError, match="class_weight 'balanced' needs classes"):
        prepare(
            Recipe.of("regression", target=["n"], class_weight="balanced"),
            {"text": ROWS["text"], "n": range(60)},
        )


def test_a_function_builds_the_model():
    def small(inputs, outputs):
        return TextCNN(inputs, outputs, embedding_size=4, channels=4, kernel_sizes=(1,))

    recipe = Recipe.of("classification", epochs=1)
    fitted = fit_recipe(recipe, ROWS, factory=small, progress=False)
    assert fitted.predictor.model.embedding.embedding_dim == 4


def test_pretrained_vectors_are_set_and_frozen(tmp_path):
    file = tmp_path / "vectors.txt"
    file.write_text("good 1 2 3\nfilm 4 5 6\nunused 7 8 9\n")
    options = {"model": "textcnn", "vectors": str(file), "epochs": 1, "progress": False}
    fitted = fit(ROWS, freeze_vectors=True, embedding_size=3, channels=4, **options)
    names = fitted.encoder.inputs.token_names
    weight = fitted.model.embedding.weight
    assert weight[names.index("good")].tolist() == [1, 2, 3]
    assert weight[names.index("film")].tolist() == [4, 5, 6]
    with pytest.raises(ShapeError, match=r"the vectors have 3 features, but the embedding 128"):
        fit(ROWS, **options)


@pytest.mark.parametrize("device", ["cpu", None])
def test_a_device_is_chosen(device):
    assert fit(ROWS, device=device, **FAST).predict(["good film number 70"])


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnsupportedError, match="there is no CUDA device here; use device cpu"):
        fit(ROWS, device="cuda", **FAST)
    with pytest.raises(UnsupportedError, match="device must be one of cpu, cuda, got 'tpu'"):
        fit(ROWS, device="tpu", **FAST)


def test_fit_takes_a_function_but_no_module():
    class Mean(nn.Module):
        def __init__(self, channels, outputs):
            super().__init__()
            self.linear, self.pool = nn.Linear(channels, outputs), Pool("mean")

        def forward(self, x):
            return self.linear(self.pool(x))

    rows = {"series": [[float(i % 2), 1.0 + i % 3] for i in range(40)], "label": ["a", "b"] * 20}
    fitted = fit(rows, model=lambda inputs, outputs: Mean(inputs.channels, outputs), epochs=1, progress=False)
    assert isinstance(fitted.model, Mean)
    assert set(fitted.predict(rows["series"])) <= {"a", "b"}
    with pytest.raises(InputTypeError, match=r"^model is a Mean, expected a name or a function [^\n]*$"):
        fit(rows, model=Mean(1, 2), epochs=1, progress=False)


class Linear(nn.Module):
    """A linear map of the mean, or of each step, to some number of outputs."""

    def __init__(self, channels, outputs, *, per_step=False):
        super().__init__()
        self.linear, self.pool = nn.Linear(channels, outputs), None if per_step else Pool("mean")

    def forward(self, x):
        return x.with_values(self.linear(x.values)) if self.pool is None else self.linear(self.pool(x))


@pytest.mark.parametrize(
    ("task", "outputs", "per_step", "message"),
    [
        (
            "classification",
            3,
            False,
            r"Tensor \(16, 3\) for 16 sequences, expected a Tensor \(16, 2\): 2 outputs",
        ),
        (
            "classification",
            1,
            False,
            r"Tensor \(16, 1\) for 16 sequences, expected a Tensor \(16, 2\): 2 outputs",
        ),
        (
            "classification",
            2,
            True,
            r"Ragged \(32, 2\) for 16 sequences, expected a Tensor \(16, 2\): 2 outputs",
        ),
        (
            "regression",
            3,
            False,
            r"Tensor \(16, 3\) for 16 sequences, expected a Tensor \(16, 1\): 1 output for",
        ),
        (
            "tagging",
            2,
            False,
            r"Tensor \(16, 2\) for 16 sequences, expected a Ragged \(32, 2\): 2 outputs for each",
        ),
    ],
)
def test_a_model_with_other_outputs_is_refused_at_its_first_batch(task, outputs, per_step, message):
    targets = {
        "classification": ["a", "b"] * 20,
        "regression": [0.5, 1.5] * 20,
        "tagging": [["a", "b"]] * 40,
    }
    rows = {"series": [[float(i % 2), 1.0 + i % 3] for i in range(40)], "label": targets[task]}
    calls = []

    def build(inputs, _):
        model = Linear(inputs.channels, outputs, per_step=per_step)
        model.register_forward_hook(lambda *_: calls.append(1))
        return model

    with pytest.raises(ShapeError, match=message):
        fit(rows, model=build, task=task, tokens_per_batch=40, progress=False)
    assert calls == [1]


def test_labels_of_anomalies_may_be_in_the_test_rows_alone():
    normal = {"tokens": [["a", "b", "c"]] * 40}
    test = {"tokens": [["a", "b", "c"]] * 6 + [["c", "c", "a"]] * 4, "label": ["normal"] * 6 + ["odd"] * 4}
    options = {"epochs": 20, "hidden_size": 16, "embedding_size": 8, "progress": False}
    fitted = fit(normal, task="anomaly", test_data=test, min_count=1, **options)
    assert fitted.metrics.test["roc_auc"] == 1.0
    with pytest.raises(DataError, match="has no column 'attack'"):
        fit(normal, task="anomaly", test_data=test, target="attack", **options)
