"""MiniRocket's features and `Rocket` in ONNX: the same bits of proportions, and what is refused."""

from typing import Any

import pytest
import torch

import throughtime as tt
from throughtime import Ragged

from .runtime import close, padded, run, session

BATCHES = ([4, 0, 70, 1], [3], [33, 50])


def batch(lengths: list[int], channels: int) -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(lengths), channels).cumsum(0), lengths)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("differences", [False, True])
def test_proportions_have_the_same_bits(channels: int, differences: bool) -> None:
    torch.manual_seed(0)
    layer = tt.nn.MiniRocket(channels, 1500, differences=differences)
    layer.learn(batch([70, 40, 9], channels))
    runtime = session(tt.export.onnx(layer))
    for lengths in BATCHES:
        x = batch(lengths, channels)
        found = run(runtime, x=padded(x, batch_first=True), lengths=x.lengths)
        assert torch.equal(found["logits"], layer(x))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize": True},
        {"differences": True, "normalize": True},
        {"statistics": "all"},
        {"statistics": "all", "differences": True},
    ],
)
def test_a_solved_model_is_exported_as_it_computes(options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    model = tt.models.Rocket(2, 3, features=1000, **options)
    training = batch([70, 40, 9, 55], 2)
    model.learn(training)
    model.set_solution(torch.randn(3, model.output.in_features) / 100, torch.randn(3))
    runtime = session(tt.export.onnx(model))
    for lengths in BATCHES:
        x = batch(lengths, 2)
        with torch.no_grad():
            expected = model(x)
        close(run(runtime, x=padded(x, batch_first=True), lengths=x.lengths)["logits"], expected)
