"""One layer in eight threads at once gives the bits that it gives one call after the other, gradients included."""

import pytest
import torch
from torch import Tensor, nn

from throughtime import Ragged

from ..threads import THREADS, at_once
from .case import FEATURES, Case
from .contract import CASES, output_of, rows


def _batch(number: int) -> Ragged:
    generator = torch.Generator().manual_seed(number)
    lengths = [number + 5, 9, 0, 30 - number]
    values = torch.randn(sum(lengths), FEATURES, generator=generator, dtype=torch.float64)
    return Ragged.from_lengths(values, lengths)


def _results(layer: nn.Module, number: int) -> list[Tensor]:
    """The outputs without and with gradients, and the gradients of the input and of all parameters."""
    x = _batch(number)
    with torch.no_grad():
        plain = rows(output_of(layer, x))
    x = x.with_values(x.values.requires_grad_())
    outputs = rows(output_of(layer, x))
    wanted = [x.values, *(weight for weight in layer.parameters() if weight.requires_grad)]
    loss = sum(row.square().sum() for row in outputs)
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [*plain, *(row.detach() for row in outputs), *(part for part in gradients if part is not None)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_eight_threads_give_the_bits_of_one(case: Case) -> None:
    torch.manual_seed(0)
    layer = case.make().double().eval()  # not called before: threads find it without anything kept
    found = at_once(lambda number: _results(layer, number))
    for number in range(THREADS):
        for part, right in zip(found[number], _results(layer, number), strict=True):
            assert torch.equal(part, right)
