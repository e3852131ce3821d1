"""Solved models against scikit-learn on the same features, and their penalty on validation examples."""

import dataclasses
import importlib
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor

from throughtime import Ragged
from throughtime.baselines import solve
from throughtime.baselines.search import INVERSE_PENALTIES
from throughtime.baselines.solve import lowest
from throughtime.data.examples import Examples
from throughtime.errors import DataError, UnsupportedError
from throughtime.models import ModelInputs, NGrams
from throughtime.models.solved import SolvedModel
from throughtime.tasks import Classification, MultiLabel, Regression, Tagging

# The package has a function of this name.
solving = importlib.import_module("throughtime.baselines.solve")

WORDS = 30
CLASSES = Classification(("a", "b", "c"))


def _drawn(count: int, seed: int, *, extra: int = 0) -> Examples:
    """Texts whose class is mostly told by tokens 0, 1 and 2."""
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 12, (count,), generator=random)
    tokens = torch.randint(3, WORDS, (int(lengths.sum()),), generator=random)
    labels = torch.randint(3, (count,), generator=random)
    starts = lengths.cumsum(0) - lengths
    told = torch.rand(count, generator=random) < 0.8
    tokens[starts[told]] = labels[told]
    more = torch.randn(count, extra, generator=random) if extra else None
    return Examples(Ragged.from_lengths(tokens, lengths), labels, more)


def _model(outputs: int = 3, extra: int = 0) -> NGrams:
    return NGrams(ModelInputs(vocabulary_size=WORDS, extra=extra), outputs, buckets=512)


def _scores(model: SolvedModel, examples: Examples) -> Tensor:
    with torch.no_grad():
        scores: Tensor = model(examples.inputs, examples.extra)
    return scores.double()


def _features(model: SolvedModel, examples: Examples) -> np.ndarray:
    return model.design(examples.inputs, examples.extra).to_dense().double().numpy()


@pytest.mark.parametrize("extra", [0, 2])
def test_with_a_given_penalty_it_is_scikit_learns_logistic_regression(extra: int) -> None:
    examples, model = _drawn(200, 0, extra=extra), _model(extra=extra)
    weights = torch.rand(200, generator=torch.Generator().manual_seed(1)) + 0.5
    examples = dataclasses.replace(examples, weights=weights)
    assert solve(model, CLASSES, examples, examples.select(torch.arange(0)), 4.0) == 4.0
    x = _features(model, examples)
    reference = LogisticRegression(C=4.0, tol=1e-8, max_iter=10_000)
    reference.fit(x, examples.labels, sample_weight=weights.double().numpy())
    expected = reference.predict_log_proba(x)
    np.testing.assert_allclose(_scores(model, examples).log_softmax(1), expected, atol=3e-2)


def test_the_penalty_has_the_least_loss_on_validation_examples() -> None:
    training, validation, losses = _drawn(150, 0), _drawn(80, 1), []
    for inverse in INVERSE_PENALTIES:
        model = _model()
        solve(model, CLASSES, training, validation, inverse)
        losses.append(torch.nn.functional.cross_entropy(_scores(model, validation), validation.labels))
    best = int(torch.stack(losses).argmin())
    assert 0 < best < len(INVERSE_PENALTIES) - 1  # so that it is a choice
    model, twin = _model(), _model()
    assert solve(model, CLASSES, training, validation) == INVERSE_PENALTIES[best]
    solve(twin, CLASSES, training, validation, INVERSE_PENALTIES[best])
    assert torch.equal(_scores(model, validation), _scores(twin, validation))


def test_of_large_data_a_subset_chooses_the_penalty_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    training, validation, fitted = _drawn(150, 0), _drawn(80, 1), []
    fit = solving._fitted

    def counting(targets: Any, design: Any, examples: Examples, inverse: float) -> Any:
        fitted.append((len(examples), inverse))
        return fit(targets, design, examples, inverse)

    monkeypatch.setattr(solving, "_fitted", counting)
    monkeypatch.setattr(solving, "MOST_PRODUCTS", 1500)
    model, twin = _model(), _model()
    inverse = solve(model, CLASSES, training, validation)
    (*searched, (rows, last)) = fitted
    assert (rows, last) == (150, inverse)
    assert len(searched) > 1
    assert {rows for rows, _ in searched} < set(range(20, 80))
    solve(twin, CLASSES, training, validation, inverse)
    assert torch.equal(_scores(model, validation), _scores(twin, validation))


@pytest.mark.parametrize("start", range(5))
def test_a_valley_is_found_from_anywhere_without_walking_up(start: int) -> None:
    values, asked = [5.0, 3.0, 2.0, 4.0, 6.0], set()

    def value(place: int) -> float:
        asked.add(place)
        return values[place]

    assert lowest(value, start, 5) == 2
    assert asked <= set(range(min(start - 1, 1), max(start + 1, 3) + 1))


def test_without_validation_examples_a_fifth_of_the_training_examples_is_held_out() -> None:
    examples, model = _drawn(100, 0), _model()
    assert solve(model, CLASSES, examples, examples.select(torch.arange(0))) in INVERSE_PENALTIES
    assert (_scores(model, examples).argmax(1) == examples.labels).float().mean() > 0.8


@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_without_training_examples_has_a_small_probability(classes: int) -> None:
    """Of a class more than occur; as if half an example of n were of it, where nothing is known."""
    examples = _drawn(90, 0)
    examples = dataclasses.replace(examples, targets=examples.labels % (classes - 1))
    model = _model(classes)
    solve(model, Classification(tuple("abc"[:classes])), examples, examples)
    assert model.output.weight.isfinite().all()
    nothing = Ragged.from_lengths(torch.zeros(0, dtype=torch.int64), [0])
    odds = model(nothing)[0].softmax(0)[-1]
    assert odds.item() == pytest.approx(1 / 181, rel=1e-4)
    assert (_scores(model, examples).argmax(1) < classes - 1).all()


def test_labels_are_a_logistic_regression_each() -> None:
    examples, model = _drawn(150, 0), _model(4)
    one_hot = torch.nn.functional.one_hot(examples.labels, 3)
    examples = dataclasses.replace(examples, targets=torch.cat([one_hot, one_hot[:, :1] * 0], 1).float())
    task = MultiLabel(("a", "b", "c", "never"))
    solve(model, task, examples, examples, 4.0)
    x, scores = _features(model, examples), _scores(model, examples)
    for label in range(3):
        reference = LogisticRegression(C=4.0, tol=1e-8).fit(x, examples.targets[:, label])
        np.testing.assert_allclose(scores[:, label], reference.decision_function(x), atol=2e-2)
    np.testing.assert_allclose(scores[:, 3], np.log(0.5 / 150.5), rtol=1e-5)


def test_values_are_a_ridge_regression() -> None:
    examples, model = _drawn(150, 0), _model(2)
    values = torch.stack([examples.labels.float(), examples.lengths.float()], 1)
    examples = dataclasses.replace(examples, targets=values)
    task = Regression(("class", "length"), (0.0, 0.0), (1.0, 1.0))
    solve(model, task, examples, examples, 4.0)
    x = _features(model, examples)
    expected = Ridge(alpha=0.25).fit(x, values).predict(x)
    np.testing.assert_allclose(_scores(model, examples), expected, atol=1e-3)


class _Means(SolvedModel):
    """The mean of each channel and of its square."""

    solver = "ridge"
    reads = ("series",)

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(ModelInputs(channels=channels))
        self.output = torch.nn.Linear(2 * channels, outputs)

    def learn(self, x: Ragged) -> None:
        del x

    def design(self, x: Ragged, extra: Tensor | None = None) -> Tensor:
        del extra
        return torch.stack([torch.cat([row.mean(0), row.square().mean(0)]) for row in x])

    def set_solution(self, weight: Tensor, bias: Tensor) -> None:
        self.output.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, x: Ragged, extra: Tensor | None = None) -> Tensor:
        scores: Tensor = self.output(self.design(x, extra))
        return scores


def _series(count: int, seed: int) -> Examples:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=random)
    values = torch.randn(count, 20, 2, generator=random) * (1 + labels[:, None, None])
    return Examples(Ragged.from_lengths(values.flatten(0, 1), [20] * count), labels)


def test_a_ridge_model_is_calibrated_without_validation_examples() -> None:
    training, other, model = _series(300, 1), _series(300, 2), _Means(2, 3)
    inverse = solve(model, CLASSES, training, training.select(torch.arange(0)))
    scores = _scores(model, other)
    assert (scores.argmax(1) == other.labels).float().mean() > 0.6
    losses = [
        float(torch.nn.functional.cross_entropy(scores * factor, other.labels)) for factor in (0.5, 1, 2)
    ]
    assert losses[1] == min(losses)
    twin = _Means(2, 3)
    assert solve(twin, CLASSES, training, training, inverse) == inverse
    assert torch.equal(_scores(twin, other), scores)


class _FirstMean(_Means):
    def importance(self, x: Ragged) -> Tensor:
        return torch.tensor([1.0] + [0.0] * (2 * x.shape[1] - 1))


def test_a_ridge_model_does_not_use_features_without_importance() -> None:
    training, model = _series(300, 1), _FirstMean(2, 3)
    solve(model, CLASSES, training, training)
    assert model.output.weight[:, 0].all()
    assert not model.output.weight[:, 1:].any()


def test_what_cannot_be_solved_is_named() -> None:
    examples = _drawn(10, 0)
    with pytest.raises(DataError, match="no training examples to fit to"):
        solve(_model(), CLASSES, examples.select(torch.arange(0)), examples)
    with pytest.raises(UnsupportedError, match="not for task 'tagging'; choose another model"):
        solve(_model(), Tagging(("a", "b")), examples, examples)
