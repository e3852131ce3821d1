"""Weights of a blend: the minimum of the stated objective, found independently."""

import pytest
import torch
from scipy.optimize import minimize

from throughtime.learn.auto.weights import fitted_weights
from throughtime.tasks import Classification, Regression


def _logits(rows: int, classes: int, right: torch.Tensor, strength: float, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, classes, generator=random)
    logits[torch.arange(rows), right] += strength
    return logits


def _objective(a: list[float], outputs: list[torch.Tensor], losses: object, rows: int) -> float:
    blended = sum(weight * output.double() for weight, output in zip(a, outputs, strict=True))
    return float(losses(blended)) + 2 * sum((len(a) * w - 1) ** 2 for w in a) / rows  # type: ignore[operator]


def test_weights_minimise_the_cross_entropy_of_weighted_logits() -> None:
    rows, classes = 200, 3
    truth = torch.randint(classes, (rows,), generator=torch.Generator().manual_seed(0))
    outputs = [_logits(rows, classes, truth, 1.5, 1), _logits(rows, classes, truth, 0.8, 2)]
    found = fitted_weights(Classification(("a", "b", "c")), outputs, truth)

    def losses(blended: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(blended, truth)

    expected = minimize(
        _objective, [0.5, 0.5], args=(outputs, losses, rows), method="Nelder-Mead", options={"xatol": 1e-7}
    ).x
    assert found.tolist() == pytest.approx(list(expected), abs=1e-3)
    assert found[0] > found[1] > 0


def test_weights_of_values_minimise_the_squared_error() -> None:
    truth = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(500, 1, generator=torch.Generator().manual_seed(1))
    found = fitted_weights(Regression(("y",), (0.0,), (1.0,)), [truth + 0.1 * noise, -truth], truth)
    # The least-squares weight of the first; the second would need a negative one.
    first = truth + 0.1 * noise
    expected = float((first * truth).sum() + 0.5 / 2 * 0) / float((first * first).sum())
    assert found[1] == 0
    assert float(found[0]) == pytest.approx(expected, abs=0.01)


def test_model_that_harms_is_left_out() -> None:
    truth = torch.arange(500) % 2
    wrong, good = _logits(500, 2, 1 - truth, 1.0, 3), _logits(500, 2, truth, 3.0, 4)
    found = fitted_weights(Classification(("a", "b")), [wrong, good], truth)
    assert found[0] == 0
    assert found[1] > 0.5


def test_few_rows_that_are_all_right_keep_nearly_equal_finite_weights() -> None:
    truth = torch.tensor([0, 1, 0, 1])
    outputs = [_logits(4, 2, truth, 20.0, seed) for seed in (5, 6)]
    found = fitted_weights(Classification(("a", "b")), outputs, truth)
    assert found.tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_weights_of_rows_count_as_repeated_rows() -> None:
    truth = torch.arange(60) % 2
    outputs = [_logits(60, 2, truth, 1.0, 7), _logits(60, 2, truth, 0.5, 8)]
    repeats = 1 + torch.arange(60) % 3
    task = Classification(("a", "b"))
    weighted = fitted_weights(task, outputs, truth, repeats.float())
    repeated = fitted_weights(
        task, [output.repeat_interleave(repeats, 0) for output in outputs], truth.repeat_interleave(repeats)
    )
    assert weighted.tolist() == pytest.approx(repeated.tolist(), abs=0.05)
