"""`ForecastModel`: its density against torch.distributions, its draws, and a process whose entropy is known."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch.distributions import Normal

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError
from throughtime.models import ForecastModel, sample

LENGTHS = [5, 1, 0, 7]


def _model(channels: int = 3, **options: Any) -> ForecastModel:
    torch.manual_seed(0)
    model = ForecastModel(channels, **{"hidden_size": 6, "dropout": 0.0} | options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7)
    return model


def _series(channels: int = 3, seed: int = 0) -> Ragged:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(sum(LENGTHS), channels, dtype=torch.float64, generator=generator)
    return Ragged.from_lengths(values, LENGTHS)


@pytest.mark.parametrize("options", [{}, {"embedding_size": 4, "cell": "gru", "num_layers": 2}], ids=str)
def test_the_score_is_the_density_of_torch_distributions(options: dict[str, Any]) -> None:
    model, x, targets = _model(**options), _series(), _series(seed=1).values
    scored = model.score(model.states(x).values, targets)
    raw = model.output(model.states(x).values)
    mean, variance = raw[:, :3], torch.log1p(raw[:, 3:].exp()) + 1e-4
    expected = -Normal(mean, variance.sqrt()).log_prob(targets).sum(1)
    torch.testing.assert_close(scored.losses, expected)
    found, wanted = (
        torch.autograd.grad(losses.cos().sum(), list(model.parameters()), materialize_grads=True)
        for losses in (scored.losses, expected)
    )
    torch.testing.assert_close(found, wanted)
    distance = ((targets - mean) ** 2 / variance).mean(1)
    assert torch.equal(scored.right, distance <= 1)
    assert 0 < scored.right.sum() < len(targets)
    torch.testing.assert_close(model(x).values, torch.stack([mean, variance.log()], 1))


def test_layers_are_those_of_torch() -> None:
    model, x = _model(), _series()
    twin = torch.nn.LSTM(3, 6).double()
    twin.load_state_dict(model.layers[0].state_dict())
    for row, found in zip(x, model.states(x), strict=True):
        if len(row):
            torch.testing.assert_close(found, twin(row)[0])


def test_one_channel_is_right_within_one_standard_deviation() -> None:
    model, x = _model(1), _series(1)
    h = model.states(x).values
    mean, log_variance = model.read_out(h).unbind(1)
    for distance, right in ((0.99, True), (-0.99, True), (1.01, False)):
        assert (model.score(h, mean + distance * (log_variance / 2).exp()).right == right).all()


def test_variances_are_bounded_below_and_begin_near_one() -> None:
    model = ForecastModel(2, hidden_size=4).eval()
    x = Ragged.from_lengths(torch.zeros(3, 2), [3])
    fresh = model(x).values[:, 1].exp()
    assert ((fresh > 0.5) & (fresh < 2)).all()
    torch.nn.init.constant_(model.output.bias, -1e4)
    mean, log_variance = model(x).values.unbind(1)
    torch.testing.assert_close(log_variance.exp(), torch.full((3, 2), 1e-4))
    losses = model.score(model.states(x).values, mean).losses
    torch.testing.assert_close(losses, torch.full((3,), math.log(2 * math.pi * 1e-4)))


def test_a_process_of_known_entropy_is_learned() -> None:
    """x_{t+1} = 0.8 x_t + 0.6 e: no model has a lower mean loss than the entropy of 0.6 e."""
    torch.manual_seed(0)
    steps = [torch.randn(64)]
    for _ in range(60):
        steps.append(0.8 * steps[-1] + 0.6 * torch.randn(64))
    rows = torch.stack(steps, 1)
    x, targets = (Ragged.from_list(list(part.unsqueeze(-1))) for part in (rows[:, :-1], rows[:, 1:]))
    model = ForecastModel(1, hidden_size=8, cell="gru", dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(120):
        optimizer.zero_grad()
        scored = model.score(model.states(x).values, targets.values)
        scored.losses.mean().backward()
        optimizer.step()
    entropy = 0.5 * math.log(2 * math.pi * math.e * 0.36)
    assert abs(float(scored.losses.mean().detach()) - entropy) < 0.03
    assert abs(float(scored.right.float().mean()) - 0.683) < 0.02
    usual, odd = torch.tensor([[0.1]]), torch.tensor([[5.0]])
    h = model.states(Ragged.from_list([torch.zeros(4, 1)])).values[-1:]
    assert model.score(h, odd).losses > model.score(h, usual).losses + 10


def test_steps_are_the_whole_and_windows_go_on() -> None:
    model, x = _model(), _series()
    state = None
    for step, expected in zip(x[3], model(x)[3], strict=True):
        following, state = model.step(step[None], state)
        torch.testing.assert_close(following[0], expected)
    carried, whole = tt.bptt.Carried(), model(x)
    for window in tt.bptt.windows(x, 3):
        with carried.carry(model, window):
            found = model(window.of(x))
        torch.testing.assert_close(found.values, window.of(whole).values)


def test_draws_have_the_distribution_that_is_predicted() -> None:
    model, prompt = _model(2), _series(2)[3]
    mean, log_variance = model(Ragged.from_list([prompt])).values[-1].detach()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack(
        [next(sample(model, prompt, temperature=0.25, generator=generator)) for _ in range(3000)]
    )
    deviation = 0.5 * (log_variance / 2).exp()
    assert ((drawn.mean(0) - mean).abs() < 5 * deviation / 3000**0.5).all()
    torch.testing.assert_close(drawn.std(0), deviation, rtol=0.08, atol=0)
    first, second = itertools.islice(sample(model, prompt, temperature=0), 2)
    torch.testing.assert_close(first, mean)
    after = model(Ragged.from_list([torch.cat([prompt, first[None]])])).values[-1, 0]
    torch.testing.assert_close(second, after.detach())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ForecastModel(2)(Ragged.from_list([torch.ones(3, 4)])),
            ShapeError,
            "ForecastModel reads steps of 2 channels, got (3, 4)",
        ),
        (
            lambda: ForecastModel(2)(Ragged.from_list([torch.ones(3, 2) * 1j])),
            InputTypeError,
            "ForecastModel reads real numbers, got torch.complex64",
        ),
        (lambda: ForecastModel(2, cell="elman"), ShapeError, "ForecastModel: unknown cell 'elman'"),
        (
            lambda: next(sample(ForecastModel(2), torch.ones(1, 2), top_p=0.5)),
            ShapeError,
            "top_p = 0.5 is for words only",
        ),
    ],
)
def test_what_cannot_be_is_named(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
