"""`fit_baselines` of every task against scikit-learn used directly, on odd data, and its limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV, RidgeCV
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from throughtime.baselines import Baseline, fit_baselines
from throughtime.baselines.features import OFFSETS, Scaling
from throughtime.baselines.regressions import ROCKET_FEATURES, ngram_regression
from throughtime.baselines.rows import Rows, with_validation
from throughtime.baselines.search import INVERSE_PENALTIES
from throughtime.baselines.summary import summary_features
from throughtime.baselines.targets import Classes
from throughtime.data.examples import Examples
from throughtime.errors import DataError
from throughtime.nn import MiniRocket
from throughtime.ragged import Ragged
from throughtime.tasks import Anomaly, Classification, MultiLabel, Regression, SequenceTask, Tagging
from throughtime.tasks.tagging import Tagger

CLASSES = Classification(("a", "b", "c"))
LABELS = MultiLabel(("x", "y"))
VALUES = Regression(("u", "v"), (0.0, 0.0), (1.0, 1.0))
TAGS = Tagging(("O", "B", "I"))
PENALTIES = np.logspace(-3, 3, 10)


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _tokens(count: int, seed: int) -> Ragged:
    generator = _random(seed)
    lengths = torch.randint(0, 9, (count,), generator=generator)
    return Ragged.from_lengths(torch.randint(0, 12, (int(lengths.sum()),), generator=generator), lengths)


def _series(count: int, seed: int) -> Ragged:
    generator = _random(seed)
    lengths = torch.randint(0, 30, (count,), generator=generator)
    return Ragged.from_lengths(torch.randn(int(lengths.sum()), 2, generator=generator), lengths)


def _with_targets(task: SequenceTask, inputs: Ragged) -> Examples:
    """Return targets that are functions of the inputs."""
    last = torch.tensor([float(row.double().sum()) for row in inputs.to_list()])
    values = torch.stack([last, -last.square()], 1)
    flat = inputs.values.reshape(len(inputs.values), -1)[:, 0]
    targets: dict[str, Tensor | Ragged] = {
        "classification": (last.abs() / 2).long() % 3,
        "multilabel": (values > values.median(0).values).float(),
        "regression": ((values - values.mean(0)) / values.std(0)).float(),
        "tagging": inputs.with_values((flat.abs() * 2).long() % 3),
        "anomaly": last > last.median(),
    }
    return Examples(inputs, targets[task.name])


def _named(task: SequenceTask, training: Examples, validation: Examples) -> dict[str, Baseline]:
    return {baseline.name: baseline for baseline in fit_baselines(task, training, validation)}


TASKS = (CLASSES, LABELS, VALUES, TAGS, Anomaly())
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
each_input = pytest.mark.parametrize("inputs", [_tokens, _series], ids=["tokens", "series"])


@each_task
@each_input
def test_every_task_and_input_has_baselines(task: SequenceTask, inputs: object) -> None:
    training, validation, test = (_with_targets(task, inputs(60, seed)) for seed in range(3))  # type: ignore[operator]
    baselines = fit_baselines(task, training, validation)
    assert len(baselines) == (
        1 if task.name == "anomaly" else 3 if inputs is _series and task is not TAGS else 2
    )
    again = fit_baselines(task, training, validation)
    for baseline, repeated in zip(baselines, again, strict=True):
        figures, count = baseline.measure(test)
        assert np.isfinite(figures["loss"])
        assert set(figures) <= set(task.metrics)
        assert count > 0
        outputs, same = baseline.outputs(test), repeated.outputs(test)
        values = outputs.values if isinstance(outputs, Ragged) else outputs
        assert torch.equal(values, same.values if isinstance(same, Ragged) else same), "deterministic"
        # What is predicted does not depend on the targets.
        blind = baseline.outputs(replace(test, targets=torch.zeros(len(test))))
        assert torch.equal(values, blind.values if isinstance(blind, Ragged) else blind)
        assert (baseline.rows, baseline.task.name) == (60, task.name)


@each_input
@pytest.mark.parametrize("task", [CLASSES, LABELS, VALUES, TAGS], ids=lambda task: task.name)
def test_further_features_are_read(task: SequenceTask, inputs: object) -> None:
    examples = _with_targets(task, inputs(80, 0))  # type: ignore[operator]
    generator = _random(1)
    unrelated = torch.randint(2, (80,), generator=generator)
    if task is TAGS:
        targets: Tensor | Ragged = examples.inputs.with_values(
            unrelated.repeat_interleave(examples.inputs.lengths)
        )
    elif task is CLASSES:
        targets = unrelated
    else:
        targets = torch.stack([unrelated, 1 - unrelated], 1).float()
    examples = Examples(examples.inputs, targets, extra=unrelated[:, None] * 100.0 + 7)
    first, *others = fit_baselines(task, examples, examples)
    for baseline in others:
        assert baseline.measure(examples)[0]["loss"] < 0.5 * first.measure(examples)[0]["loss"]


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    return torch.from_numpy(scores).log_softmax(1).numpy()


def test_frequencies_are_those_of_the_weighted_training_rows() -> None:
    inputs, extra_test = _tokens(4, 0), _with_targets(CLASSES, _tokens(5, 1))
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    training = Examples(inputs, torch.tensor([0, 1, 1, 0]), weights=weights)
    majority = fit_baselines(CLASSES, training, training)[0]
    expected = torch.tensor([0.5, 0.5, np.finfo(np.float64).eps]).double().log().expand(5, 3)
    torch.testing.assert_close(majority.outputs(extra_test), expected)
    labels = Examples(inputs, torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), weights=weights)
    odds = fit_baselines(LABELS, labels, labels)[0].outputs(extra_test)
    torch.testing.assert_close(odds, torch.tensor([8.5 / 2.5, 0.5 / 10.5]).double().log().expand(5, 2))
    values = Examples(inputs, torch.tensor([[1.0, 0.0], [0.0, 0.0], [5.0, 0.0], [1.0, 1.0]]), weights=weights)
    mean = fit_baselines(VALUES, values, values)[0].outputs(extra_test)
    torch.testing.assert_close(mean, torch.tensor([2.0, 0.4]).double().expand(5, 2))


def test_ridge_on_summaries_is_that_of_scikit_learn() -> None:
    training, validation, test = (_with_targets(CLASSES, _series(70, seed)) for seed in range(3))
    fitted = _named(CLASSES, training, validation)["ridge regression on summaries"]
    scaler = StandardScaler().fit(summary_features(training.inputs))
    ridge = RidgeClassifierCV(PENALTIES).fit(
        scaler.transform(summary_features(training.inputs)), training.targets
    )
    scores = ridge.decision_function(scaler.transform(summary_features(test.inputs)))
    outputs = fitted.outputs(test)
    assert isinstance(outputs, Tensor)
    temperature = (scores[0, 0] - scores[0, 1]) / float(outputs[0, 0] - outputs[0, 1])
    assert temperature > 0
    np.testing.assert_allclose(outputs.numpy(), _log_softmax(scores / temperature), rtol=1e-6, atol=1e-8)


def _rocket_features(training: Ragged, series: Ragged) -> np.ndarray:
    channels = StandardScaler().fit(training.values)
    layer = MiniRocket(2, ROCKET_FEATURES)
    parts = (
        x.with_values(torch.from_numpy(channels.transform(x.values)).float()) for x in (training, series)
    )
    first, second = parts
    layer.learn(first, torch.Generator().manual_seed(0))
    return layer(second).double().numpy()


def test_ridge_on_rocket_features_is_that_of_scikit_learn() -> None:
    training, validation, test = (_with_targets(VALUES, _series(40, seed)) for seed in range(3))
    weighted = replace(training, weights=torch.rand(40, generator=_random(3)))
    fitted = _named(VALUES, weighted, validation)["ridge regression on MiniRocket features"]
    features = _rocket_features(training.inputs, training.inputs)
    constant = features.min(0) == features.max(0)
    scaler = StandardScaler().fit(features[:, ~constant])
    ridge = RidgeCV(PENALTIES).fit(
        scaler.transform(features[:, ~constant]), training.targets, weighted.weights
    )
    held_out = scaler.transform(_rocket_features(training.inputs, test.inputs)[:, ~constant])
    np.testing.assert_allclose(fitted.outputs(test), ridge.predict(held_out), rtol=1e-5, atol=1e-7)


def test_columns_of_one_number_have_the_scale_one() -> None:
    """Of 0.1 in ten rows, rounding makes a standard deviation above 0."""
    columns = np.stack([np.full(10, 0.1), np.arange(10.0)], 1)
    scaling = Scaling.fitted(columns)
    assert columns.std(0)[0] > 0
    assert scaling.scale.tolist() == [1.0, pytest.approx(np.arange(10.0).std())]


def _token_rows(x: Ragged, *, counts: bool) -> np.ndarray:
    rows = np.stack([row.bincount(minlength=12).double().numpy() for row in x.to_list()])
    rows = rows if counts else (rows > 0).astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1)


def test_logistic_regression_on_tokens_is_one_of_scikit_learn() -> None:
    training, validation, test = (_with_targets(CLASSES, _tokens(90, seed)) for seed in range(3))
    weights = torch.rand(90, generator=_random(3))
    assert training.inputs.values.bincount(minlength=12).min() > 1, "every token has a column"
    fit = ngram_regression(Rows(replace(training, weights=weights), validation), Classes(3), 60, lengths=(1,))
    assert fit is not None
    outputs = fit.predictor(test)
    assert isinstance(outputs, Tensor)
    ours = (outputs - outputs.mean(1, keepdim=True)).numpy()
    differences = []
    for counts in (False, True):
        rows, test_rows = (_token_rows(part.inputs, counts=counts) for part in (training, test))
        for inverse in INVERSE_PENALTIES:
            model = LogisticRegression(C=inverse, tol=1e-6).fit(rows, training.targets, weights)
            scores = model.decision_function(test_rows)
            scores -= scores.mean(1, keepdims=True)
            temperature = (scores * ours).sum() / (ours * ours).sum()
            differences.append(np.abs(scores / temperature - ours).max() / np.abs(ours).max())
    assert sorted(differences)[0] < 5e-3, "equal up to the temperature, of one of the settings"
    assert sorted(differences)[1] > 1e-2


def test_the_log_probabilities_of_a_classifier_are_calibrated_on_validation_rows() -> None:
    generator = _random(0)
    signal = torch.randint(2, (600,), generator=generator)
    wrong = torch.rand(600, generator=generator) < 0.25
    examples = Examples(Ragged.from_list(list(signal[:, None])), torch.where(wrong, 1 - signal, signal))
    task = Classification(("a", "b"))
    baseline = fit_baselines(
        task, examples.select(torch.arange(300)), examples.select(torch.arange(300, 600))
    )[1]
    rate = float(wrong[300:].double().mean())
    best = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert baseline.measure(examples.select(torch.arange(300, 600)))[0]["loss"] == pytest.approx(
        best, abs=0.01
    )


def test_labels_that_are_always_or_never_present_have_their_log_odds() -> None:
    examples = _with_targets(CLASSES, _tokens(60, 0))
    labels = torch.stack([torch.ones(60), torch.zeros(60), (examples.inputs.lengths > 4).float()], 1)
    task = MultiLabel(("always", "never", "long"))
    _, fitted = fit_baselines(task, replace(examples, targets=labels), replace(examples, targets=labels))
    outputs = fitted.outputs(examples)
    assert isinstance(outputs, Tensor)
    assert outputs[:, 0].min() > 2
    assert outputs[:, 1].max() < -2
    assert len(outputs[:, 0].unique()) == 1


def test_tags_of_tokens_are_the_most_frequent_ones() -> None:
    tokens = Ragged.from_list([torch.tensor([0, 1, 0]), torch.tensor([0, 1, 2])])
    tags = tokens.with_values(torch.tensor([2, 1, 2, 0, 1, 1]))
    baseline = fit_baselines(TAGS, Examples(tokens, tags), Examples(tokens, tags))[0]
    test = Ragged.from_list([torch.tensor([0, 1, 2, 3, 99])])
    outputs = baseline.outputs(Examples(test, torch.zeros(1)))
    average = torch.tensor([1, 3, 2]).double() / 6
    expected = torch.stack([
        (torch.tensor([1, 0, 2]) + average) / 4,
        (torch.tensor([0, 2, 0]) + average) / 3,
        (torch.tensor([0, 1, 0]) + average) / 2,
        average,
        average,
    ])  # fmt: skip
    assert isinstance(outputs, Ragged)
    torch.testing.assert_close(outputs.values.exp(), expected)


@pytest.mark.parametrize("offset", OFFSETS)
@each_input
def test_a_tagger_reads_two_steps_before_and_after(inputs: object, offset: int) -> None:
    """The tag of a step is decided by the step at an offset, or is 2 beyond the ends."""

    def examples(seed: int) -> Examples:
        steps = inputs(150, seed)  # type: ignore[operator]
        values = steps.values.reshape(len(steps.values), -1)[:, 0]
        sign = values > (5 if values.dtype == torch.int64 else 0)
        rows = []
        for row in steps.with_values(sign.long()).to_list():
            tags = torch.full_like(row, 2)
            places = torch.arange(len(row))
            within = (places + offset >= 0) & (places + offset < len(row))
            tags[within] = row[(places + offset)[within]]
            rows.append(tags)
        return Examples(steps, Ragged.from_list(rows))

    baseline = fit_baselines(TAGS, examples(0), examples(1))[1]
    assert baseline.measure(examples(2))[0]["token_accuracy"] > 0.95


def test_a_tagger_with_a_crf_is_compared_without_it() -> None:
    training = _with_targets(TAGS, _tokens(60, 0))
    task = replace(TAGS, crf=True)
    assert isinstance(task.complete_model(torch.nn.Identity()), Tagger)
    plain, with_crf = (fit_baselines(kind, training, training)[1].measure(training) for kind in (TAGS, task))
    assert plain == with_crf


def test_of_one_class_only_the_majority_is_left() -> None:
    for inputs in (_tokens(20, 0), _series(20, 0)):
        examples = Examples(inputs, torch.ones(20, dtype=torch.int64))
        (majority,) = fit_baselines(CLASSES, examples, examples)
        assert majority.measure(examples)[0]["accuracy"] == 1.0
        assert not majority.reads_inputs


def test_a_class_that_training_rows_lack_is_improbable() -> None:
    for inputs in (_tokens, _series):
        training, test = (_with_targets(CLASSES, inputs(60, seed)) for seed in range(2))
        known = training.select((training.targets != 1).nonzero().flatten())  # type: ignore[arg-type,union-attr]
        for baseline in fit_baselines(CLASSES, known, test):
            outputs = baseline.outputs(test)
            assert isinstance(outputs, Tensor)
            assert not (outputs.argmax(1) == 1).any()
            assert np.isfinite(baseline.measure(test)[0]["loss"])


def test_sequences_without_steps_alone_have_baselines() -> None:
    for inputs in (
        Ragged.from_lengths(torch.zeros(0, dtype=torch.int64), [0] * 6),
        Ragged.from_lengths(torch.zeros(0, 2), [0] * 6),
    ):
        for task in TASKS:
            targets: Tensor | Ragged = {
                "classification": torch.arange(6) % 3,
                "multilabel": torch.ones(6, 2),
                "regression": torch.randn(6, 2, generator=_random(0)),
                "tagging": inputs.with_values(torch.zeros(0, dtype=torch.int64)),
                "anomaly": torch.arange(6) > 3,
            }[task.name]
            examples = Examples(inputs, targets)
            for baseline in fit_baselines(task, examples, examples):
                outputs = baseline.outputs(examples)
                assert (outputs.values if isinstance(outputs, Ragged) else outputs).isfinite().all()


def test_no_training_examples_are_refused() -> None:
    nothing = Examples(_tokens(3, 0), torch.zeros(3, dtype=torch.int64)).select(torch.arange(0))
    with pytest.raises(DataError, match="no training examples to fit baselines to; give more data"):
        fit_baselines(CLASSES, nothing, nothing)


def test_without_validation_rows_some_training_rows_are_held_out() -> None:
    examples = _with_targets(CLASSES, _tokens(50, 0))
    rows = with_validation(examples, examples.select(torch.arange(0)))
    assert (len(rows.training), len(rows.validation)) == (40, 10)
    assert fit_baselines(CLASSES, examples, examples.select(torch.arange(0)))[1].rows == 40


@each_input
def test_less_time_means_fewer_rows(inputs: object) -> None:
    examples = _with_targets(CLASSES, inputs(400, 0))  # type: ignore[operator]
    rows = [
        [baseline.rows for baseline in fit_baselines(CLASSES, examples, examples, seconds=s)]
        for s in (60, 0.001)
    ]
    assert set(rows[0]) == {400}
    assert rows[1][0] == 400
    assert all(0 < count < 400 for count in rows[1][1:])


def test_windows_of_a_row_are_measured_as_one_example() -> None:
    examples = _with_targets(CLASSES, _tokens(60, 0))
    windows = replace(
        examples, rows=torch.arange(60) // 2, targets=examples.targets[torch.arange(60) // 2 * 2]
    )  # type: ignore[index]
    baseline = fit_baselines(CLASSES, examples, examples)[1]
    figures, count, intervals = baseline.assess(windows)
    outputs = baseline.outputs(windows)
    assert isinstance(outputs, Tensor)
    right = outputs.reshape(30, 2, 3).mean(1).argmax(1) == windows.targets[::2]  # type: ignore[index]
    assert (figures["accuracy"], count) == (pytest.approx(float(right.double().mean())), 30)
    assert intervals["accuracy"].low <= figures["accuracy"] <= intervals["accuracy"].high


def test_the_threshold_of_an_anomaly_is_that_of_the_baseline() -> None:
    training, validation = (_with_targets(Anomaly(), _tokens(50, seed)) for seed in range(2))
    task = Anomaly(threshold=1e9, contamination=0.1)
    (bigrams,) = fit_baselines(task, training, validation)
    scores = task.scores(bigrams.outputs(validation))[~validation.targets]  # type: ignore[operator]
    assert isinstance(bigrams.task, Anomaly)
    assert bigrams.task.threshold == pytest.approx(float(np.quantile(scores, 0.9)))
