"""`Rocket` with a solution of scikit-learn: its features, outputs and state."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import UnsupportedError


def labelled(count: int, seed: int) -> tuple[Ragged, Tensor]:
    """Noise of unequal lengths, with a slow or a fast wave at some place."""
    generator = torch.Generator().manual_seed(seed)
    series, classes = [], torch.arange(count) % 2
    for number in classes.tolist():
        x = torch.randn(int(torch.randint(40, 90, (), generator=generator)), 1, generator=generator)
        start = int(torch.randint(len(x) - 30, (), generator=generator))
        x[start : start + 30, 0] += 2 * torch.sin(torch.arange(30) * (0.5 if number else 1.5))
        series.append(x)
    return Ragged.from_list(series), classes


def trained(x: Ragged, classes: Tensor) -> tt.models.Rocket:
    """The model with the ridge regression of scikit-learn on standardized features."""
    torch.manual_seed(0)
    model = tt.models.Rocket(1, 2, features=2000)
    model.learn(x)
    design = model.design(x).double().numpy()
    scaler = StandardScaler().fit(design)
    ridge = Ridge(10.0).fit(scaler.transform(design), 2 * np.eye(2)[classes] - 1)
    weight = torch.from_numpy(ridge.coef_ / scaler.scale_)
    model.set_solution(weight, torch.from_numpy(ridge.intercept_) - weight @ torch.from_numpy(scaler.mean_))
    return model


def test_classes_of_held_out_series_are_found() -> None:
    """Where the most frequent class has 50 %."""
    model, (x, classes) = trained(*labelled(60, seed=1)), labelled(200, seed=2)
    with torch.no_grad():
        assert float((model(x).argmax(1) == classes).double().mean()) > 0.95


def test_the_solution_is_one_linear_layer_of_the_features() -> None:
    x, _ = labelled(20, seed=1)
    model = tt.models.Rocket(tt.models.ModelInputs(channels=1, extra=2), 3, features=500)
    model.learn(x)
    extra = torch.randn(20, 2)
    design = model.design(x, extra)
    assert torch.equal(design, torch.cat([model.features(x), extra], 1))
    weight, bias = torch.randn(3, design.shape[1]) / 20, torch.randn(3)
    model.set_solution(weight, bias)
    with torch.no_grad():
        torch.testing.assert_close(model(x, extra), design @ weight.t() + bias, rtol=1e-5, atol=1e-5)


def test_a_trained_model_is_restored_by_its_state() -> None:
    x, classes = labelled(40, seed=1)
    model = trained(x, classes)
    other = tt.models.build_model("rocket", tt.models.ModelInputs(channels=1), 2, options={"features": 2000})
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(other(x), model(x))
        assert torch.equal(copy.deepcopy(model)(x), model(x))


def test_a_tensor_is_series_of_one_length() -> None:
    x, classes = labelled(20, seed=1)
    model = trained(x, classes)
    tensor = torch.randn(4, 1, 50)
    with torch.no_grad():
        assert torch.equal(model(tensor), model(Ragged.from_list(list(tensor.transpose(1, 2)))))


def test_an_empty_batch_has_an_empty_design() -> None:
    x, classes = labelled(20, seed=1)
    assert trained(x, classes).design(x[:0]).shape == (0, 1932 + 2)


def test_tokens_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="Rocket reads series, not tokens"):
        tt.models.Rocket(tt.models.ModelInputs(vocabulary_size=5), 2)


def _offset_series(normalized: bool) -> Ragged:
    """Series of two channels, of which the second differs between series only in its order."""
    generator, second = torch.Generator().manual_seed(3), torch.linspace(-1, 1, 50)
    series = []
    for _ in range(12):
        first = torch.randn(50, generator=generator) * 3 + torch.randn(1, generator=generator)
        if normalized:
            first = (first - first.mean()) / first.std(correction=0)
        series.append(torch.stack([first, second[torch.randperm(50, generator=generator)]], 1))
    return Ragged.from_list(series)


def test_means_and_deviations_of_channels_are_features() -> None:
    x = Ragged.from_list(
        [torch.randn(9, 2) + 5, torch.empty(0, 2), torch.full((4, 2), 0.1), torch.randn(1, 2)]
    )
    model = tt.models.Rocket(2, 3, features=500)
    moments = model.design(x)[:, model.rocket.features :].numpy()
    for series, found in zip(x.to_list(), moments, strict=True):
        values = series.double().numpy()
        expected = [*values.mean(0), *values.std(0)] if len(values) else [0] * 4
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert model.output.in_features == model.rocket.features + 4
    assert tt.models.Rocket(2, 3, features=500, normalize=True).output.in_features == 420


@pytest.mark.parametrize("normalized", [False, True])
def test_what_differs_between_series_by_rounding_alone_is_not_used(normalized: bool) -> None:
    x = _offset_series(normalized)
    model = tt.models.Rocket(tt.models.ModelInputs(channels=2, extra=1), 2, features=500)
    model.learn(x)
    factors = model.importance(x)
    weight = (0.02 * 420) ** 0.5
    mean = std = 0.0 if normalized else weight
    assert factors[:420].tolist() == [1.0] * 420
    assert factors[420:].tolist() == pytest.approx([mean, 0, std, 0, weight])
