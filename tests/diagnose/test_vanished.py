"""A vanished gradient is distinguished from a minimum, on models trained until they have one or the other."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import Finding, vanished_not_converged
from throughtime.errors import UnsupportedError

SEEDS = (0, 1, 2)
SCALES = (1e-3, 1.0, 1e3, 1e-24)
WORDS = 4

Task = Callable[[int, int, torch.Generator], tuple[Ragged, Tensor]]


def _rows(count: int, length: int, generator: torch.Generator) -> Tensor:
    return torch.randint(WORDS, (count, length), generator=generator)


def _ragged(rows: Tensor) -> Ragged:
    return Ragged.from_lengths(rows.flatten(), [rows.shape[1]] * len(rows))


def first(count: int, length: int, generator: torch.Generator) -> tuple[Ragged, Tensor]:
    """The class is in the first token."""
    rows = _rows(count, length, generator)
    return _ragged(rows), rows[:, 0] % 2


def last(count: int, length: int, generator: torch.Generator) -> tuple[Ragged, Tensor]:
    """The class is in the last token, and wrong in one of five sequences: no memory is needed."""
    rows = _rows(count, length, generator)
    wrong = torch.rand(count, generator=generator) < 0.2
    return _ragged(rows), (rows[:, -1] % 2) ^ wrong.long()


def noise(count: int, length: int, generator: torch.Generator) -> tuple[Ragged, Tensor]:
    """The class is in no token."""
    rows = _rows(count, length, generator)
    return _ragged(rows), torch.randint(2, (count,), generator=generator)


class Last(nn.Module):
    """Reads the class off the last state."""

    def __init__(self, layer: nn.Module, features: int = 6, hidden: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, features)
        self.layer, self.output = layer, nn.Linear(hidden, 2)

    def forward(self, x: Ragged) -> Tensor:
        state = self.layer(self.embedding(x)).state
        return self.output(state[0][-1] if isinstance(state, tuple) else state[-1])


def _trained(make: Callable[[], nn.Module], task: Task, seed: int, *, steps: int, length: int) -> Last:
    torch.manual_seed(seed)
    model = Last(make())
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(steps):
        x, y = task(32, length, generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


def _verdicts(model: nn.Module, x: Ragged, y: Tensor) -> list[Finding | None]:
    """Of the loss at every scale."""
    return [
        vanished_not_converged(model, x, lambda out, s=scale: s * F.cross_entropy(out, y)) for scale in SCALES
    ]


def _held_out(model: nn.Module, task: Task, seed: int, length: int) -> tuple[Ragged, Tensor, float]:
    x, y = task(96, length, torch.Generator().manual_seed(1000 + seed))
    with torch.no_grad():
        return x, y, F.cross_entropy(model(x), y).item()


@pytest.mark.parametrize("seed", SEEDS)
def test_an_rnn_that_would_have_to_remember_the_first_of_50_tokens_has_not_converged(seed: int) -> None:
    model = _trained(lambda: tt.nn.RNN(6, 8), first, seed, steps=40, length=50)
    x, y, loss = _held_out(model, first, seed, 50)
    assert 0.68 < loss < 0.75, "no better than chance, ln 2"
    found = _verdicts(model, x, y)
    for one in found:
        assert one is not None
        assert (one.code, one.severity) == ("vanished_not_converged", "problem")
        assert "the loss depends on the first step" in one.verdict
        gradient, explained, change = one.measured.values()
        assert gradient < 1e-6
        assert explained > 0.5
        assert change < 1e-4
    for one in found[1:]:
        assert one.measured == pytest.approx(found[0].measured, rel=1e-2, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_optimum_of_a_task_without_memory_is_a_minimum(seed: int) -> None:
    model = _trained(lambda: tt.nn.RNN(6, 8), last, seed, steps=60, length=50)
    x, y, loss = _held_out(model, last, seed, 50)
    assert loss < 0.62, "nearly the 0.50 that noise leaves"
    assert _verdicts(model, x, y) == [None] * len(SCALES)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_that_has_learned_its_task_is_left_alone(seed: int) -> None:
    model = _trained(
        lambda: tt.nn.init.forget_bias_(tt.nn.LSTM(6, 8), 2.0), first, seed, steps=150, length=10
    )
    x, y, loss = _held_out(model, first, seed, 10)
    assert loss < 0.2
    assert _verdicts(model, x, y) == [None] * len(SCALES)


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_that_are_noise_leave_nothing_to_learn(seed: int) -> None:
    model = _trained(lambda: tt.nn.RNN(6, 8), noise, seed, steps=40, length=50)
    x, y, loss = _held_out(model, noise, seed, 50)
    assert 0.66 < loss < 0.8
    assert _verdicts(model, x, y) == [None] * len(SCALES)


def test_chance_is_not_taken_for_dependence() -> None:
    """At p <= 0.001, forty times none is expected; at 0.05 it would be two."""
    for seed in range(40):
        torch.manual_seed(seed)
        x, y = noise(32, 20, torch.Generator().manual_seed(seed))
        model = Last(tt.nn.RNN(6, 8))
        assert vanished_not_converged(model, x, lambda out, y=y: F.cross_entropy(out, y)) is None


def test_nearer_steps_that_are_not_learned_yet_are_no_vanished_gradient() -> None:
    """Tokens stay for fifty steps: those far back tell the class only because the last one does."""
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(seed)
        rows = _rows(256, 50, generator)
        stays = torch.rand(256, 50, generator=generator) < 0.98
        for t in range(1, 50):
            rows[:, t] = torch.where(stays[:, t], rows[:, t - 1], rows[:, t])
        torch.manual_seed(seed)
        model, y = Last(tt.nn.RNN(6, 8)), rows[:, -1] % 2
        assert vanished_not_converged(model, _ragged(rows), lambda out, y=y: F.cross_entropy(out, y)) is None


def test_what_correlated_steps_tell_of_nearer_ones_is_no_more_than_a_warning() -> None:
    """A known limit: the class is in the last token, and a step far back is reported with 9 % of the error."""
    generator = torch.Generator().manual_seed(19)
    rows = _rows(256, 50, generator)
    stays = torch.rand(256, 50, generator=generator) < 0.95
    for t in range(1, 50):
        rows[:, t] = torch.where(stays[:, t], rows[:, t - 1], rows[:, t])
    torch.manual_seed(19)
    model, y = Last(tt.nn.RNN(6, 8)), rows[:, -1] % 2
    with torch.no_grad():
        model.layer.weight_hh_l0.mul_(3.0)
    found = vanished_not_converged(model, _ragged(rows), lambda out: F.cross_entropy(out, y))
    assert found is None or found.severity == "warning"


class Latch(nn.Module):
    """Keeps the sign of the first feature for ever; its gradient is gone within a few steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = tt.nn.RNN(2, 1, bias=False).double()
        with torch.no_grad():
            self.layer.weight_hh_l0.fill_(3.0)
            self.layer.weight_ih_l0.copy_(torch.tensor([[4.0, 0.0]]))

    def forward(self, x: Ragged) -> Tensor:
        return self.layer(x).state[0]


def test_a_state_that_has_latched_is_in_use_though_its_gradient_is_gone() -> None:
    torch.manual_seed(0)
    x = 0.01 * torch.randn(128, 30, 2).double()
    x[:, 0] = torch.randn(128, 2).double()
    batch, target = Ragged.from_lengths(x.flatten(0, 1), [30] * 128), x[:, 0, :1]
    model = Latch()

    def loss(y: Tensor) -> Tensor:
        return (y - target).square().mean()

    leaf = x.clone().requires_grad_()
    loss(model(Ragged.from_lengths(leaf.flatten(0, 1), [30] * 128))).backward()
    sizes = leaf.grad.norm(dim=2)
    assert (sizes[:, 0] < 0.01 * sizes.max(1).values).all()
    assert vanished_not_converged(model, batch, loss) is None
    with torch.no_grad():
        model.layer.weight_hh_l0.fill_(0.1)  # forgets
    found = vanished_not_converged(model, batch, loss)
    assert found is not None
    assert "the first step" in found.verdict


def test_a_mark_and_a_number_count_together() -> None:
    """The adding problem before training, of 50 to 100 steps: numbers alone tell little of the sum."""
    torch.manual_seed(0)
    rows, sums = [], []
    for n in torch.randint(50, 101, (128,)).tolist():
        row = torch.stack([torch.rand(n), torch.zeros(n)], 1)
        row[torch.randperm(n)[:2], 1] = 1.0
        rows.append(row)
        sums.append(row.prod(1).sum())
    target = torch.stack(sums)
    x = Ragged.from_list(rows)

    class Adder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.output = tt.nn.RNN(2, 8), nn.Linear(8, 1)

        def forward(self, x: Ragged) -> Tensor:
            return self.output(self.layer(x).state[0])[:, 0]

    found = vanished_not_converged(Adder(), x, lambda y: (y - target).square().mean())
    assert found is not None
    assert found.verdict.startswith("the loss depends on several steps")


def test_a_receptive_field_that_is_too_short_is_told() -> None:
    torch.manual_seed(0)
    x, y = first(96, 21, torch.Generator().manual_seed(0))
    for dilation, told in ((1, True), (10, False)):
        model = nn.Sequential(
            nn.Embedding(WORDS, 6),
            tt.nn.Conv1d(6, 2, 3, dilation=dilation, padding="causal"),
            tt.nn.Pool("last"),
        )
        found = vanished_not_converged(model, x, lambda out: F.cross_entropy(out, y))
        assert (found is not None) == told


def test_where_nothing_can_be_told_nothing_is() -> None:
    torch.manual_seed(0)
    x, y = first(12, 50, torch.Generator().manual_seed(0))
    model = Last(tt.nn.RNN(6, 8))
    assert vanished_not_converged(model, x, lambda out: F.cross_entropy(out, y)) is None, "too few sequences"
    layer, series = tt.nn.RNN(3, 4), Ragged.from_lengths(torch.randn(800, 3), [40] * 20)
    assert vanished_not_converged(layer, series, lambda out: out.state.sum()) is None, "no row per sequence"
    with pytest.raises(UnsupportedError, match="the model has 0 embeddings"):
        vanished_not_converged(tt.nn.Pool("mean"), x, lambda out: out.sum())


def test_a_model_all_of_whose_gradients_are_zero_is_no_minimum_either() -> None:
    torch.manual_seed(0)
    model = Last(tt.nn.RNN(6, 8))
    for parameter in (*model.layer.parameters(), *model.output.parameters()):
        nn.init.zeros_(parameter)
    x, y = first(64, 8, torch.Generator().manual_seed(0))
    found = vanished_not_converged(model, x, lambda out: F.cross_entropy(out, y))
    assert found is not None
    x, y = noise(64, 8, torch.Generator().manual_seed(0))
    assert vanished_not_converged(model, x, lambda out: F.cross_entropy(out, y)) is None
