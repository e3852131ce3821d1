"""captum's attributions to the steps of a sequence. ``make test-optional`` runs it."""

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged

pytestmark = [
    pytest.mark.skipif(find_spec("captum") is None, reason="captum is not installed; pip install captum"),
    pytest.mark.filterwarnings("ignore"),  # captum's own
]


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(tt.nn.GRU(3, 8), tt.nn.Pool("mean"), nn.Linear(8, 2)).double()


def of_rows(model: nn.Module) -> Any:
    """As docs/compatibility.md has it: captum's batch (N, L, D) is N variants of one sequence."""
    return lambda rows: model(Ragged.from_list(list(rows)))


def test_integrated_gradients_add_up(model: nn.Module) -> None:
    from captum.attr import IntegratedGradients

    x = Ragged.from_lengths(torch.randn(6, 3, dtype=torch.float64), [4, 2])
    for sequence in x:
        found = IntegratedGradients(of_rows(model)).attribute(sequence[None], target=1, n_steps=100)
        assert found.shape == (1, *sequence.shape)
        difference = (of_rows(model)(sequence[None]) - of_rows(model)(torch.zeros_like(sequence)[None]))[0, 1]
        torch.testing.assert_close(found.sum(), difference, rtol=1e-6, atol=1e-8)


def test_the_ablation_of_steps(model: nn.Module) -> None:
    from captum.attr import FeatureAblation

    sequence = torch.randn(4, 3, dtype=torch.float64)
    steps = torch.arange(4)[None, :, None].expand(1, 4, 3)
    found = FeatureAblation(of_rows(model)).attribute(sequence[None], target=0, feature_mask=steps)
    for t in range(4):
        without = sequence.clone()
        without[t] = 0
        expected = model(Ragged.from_list([sequence]))[0, 0] - model(Ragged.from_list([without]))[0, 0]
        torch.testing.assert_close(found[0, t], expected.expand(3))


@pytest.mark.parametrize(
    "name", ["Saliency", "InputXGradient", "GradientShap", "Occlusion", "ShapleyValueSampling"]
)
def test_other_methods_run(model: nn.Module, name: str) -> None:
    import captum.attr

    sequence = torch.randn(1, 4, 3, dtype=torch.float64)
    options: dict[str, Any] = {
        "GradientShap": {"baselines": torch.zeros_like(sequence)},
        "Occlusion": {"sliding_window_shapes": (1, 3)},
        "ShapleyValueSampling": {"n_samples": 2},
    }
    found: Tensor = getattr(captum.attr, name)(of_rows(model)).attribute(
        sequence, target=0, **options.get(name, {})
    )
    assert found.shape == sequence.shape
    assert found.abs().sum() > 0
