"""Checkpointed backpropagation: the values and gradients of the plain layer, for segments of any size."""

from typing import Any

import pytest
import torch

import throughtime as tt
from throughtime import Ragged
from throughtime.bptt import checkpointed
from throughtime.errors import InputTypeError, ShapeError

from ..nn.recurrent import LAYERS, VARIANTS, leaves, name_of

LENGTHS = [11, 0, 3, 8]
each_layer = pytest.mark.parametrize(("name", "options"), LAYERS + VARIANTS, ids=name_of)


def _problem(name: str, options: dict[str, Any], **more: Any) -> tuple[Any, Ragged, Any]:
    torch.manual_seed(0)
    layer = getattr(tt.nn, name)(3, 4, **options, **more).double()
    x = Ragged.from_lengths(torch.randn(sum(LENGTHS), 3).double().requires_grad_(), LENGTHS)
    sizes = (layer.proj_size or 4, 4)[: 2 if layer.spec.has_c else 1]
    parts = tuple(torch.randn(layer.num_layers, 4, n).double().requires_grad_() for n in sizes)
    return layer, x, parts if layer.spec.has_c else parts[0]


@each_layer
@pytest.mark.parametrize("segment", [1, 2, 5, 11, 50, None])
def test_values_and_gradients_are_those_of_the_whole(
    name: str, options: dict[str, Any], segment: int
) -> None:
    layer, x, state = _problem(name, options, num_layers=2)
    found, expected = checkpointed(layer, x, state, segment=segment), layer(x, state)
    inputs = [x.values, *leaves(state), *layer.parameters()]
    seeds = [torch.randn_like(part) for part in leaves(expected)]
    for part, right in zip(leaves(found), leaves(expected), strict=True):
        assert torch.equal(part, right)
    torch.testing.assert_close(
        torch.autograd.grad(leaves(found), inputs, seeds),
        torch.autograd.grad(leaves(expected), inputs, seeds),
    )


def test_of_one_sequence_and_without_state_or_outputs() -> None:
    layer, x, _ = _problem("LSTM", {"context_size": 2, "learn_initial_state": True})
    context = torch.randn(4, 2).double()
    for batch, given in ((x, context), (x[:1], context[:1])):
        found = checkpointed(layer, batch, context=given, segment=4, outputs=False)
        expected = layer(batch, context=given)
        assert found.output.values.shape == (len(batch.values), 0)
        for part, right in zip(found.state, expected.state, strict=True):
            assert torch.equal(part, right)
        losses = (sum(part.square().sum() for part in result.state) for result in (found, expected))
        torch.testing.assert_close(*(torch.autograd.grad(loss, list(layer.parameters())) for loss in losses))


def test_dropout_draws_the_same_again() -> None:
    layer, x, state = _problem("GRU", {"dropout": 0.5}, num_layers=2)
    torch.manual_seed(5)
    found = checkpointed(layer, x, state, segment=3)
    grads = torch.autograd.grad(found.output.values.sum(), list(layer.parameters()))
    torch.manual_seed(5)
    outputs, carried = [], state
    rest = x
    while len(rest.values):
        head, rest = rest.split_time(3)
        y, carried = layer(head, carried)
        outputs.append(y)
    right = Ragged.cat_time(outputs)
    assert torch.equal(found.output.values, right.values)
    torch.testing.assert_close(grads, torch.autograd.grad(right.values.sum(), list(layer.parameters())))


def test_an_empty_batch_and_empty_sequences() -> None:
    layer, x, _ = _problem("LSTM", {})
    for batch in (x[:0], x[1:2]):
        found = checkpointed(layer, batch)
        assert found.output.values.shape == (0, 4)
        assert found.state[0].shape == (1, len(batch), 4)


def test_what_cannot_be_recomputed_is_named() -> None:
    layer, x, _ = _problem("GRU", {})
    with pytest.raises(ShapeError, match="does not support bidirectional layers"):
        checkpointed(tt.nn.GRU(3, 4, bidirectional=True), x)
    with pytest.raises(ShapeError, match="segment must be at least 1, got 0"):
        checkpointed(layer, x, segment=0)
    with pytest.raises(InputTypeError, match="takes a Ragged batch, got Tensor"):
        checkpointed(layer, x.values)
    with pytest.raises(InputTypeError, match=r"takes a tt.nn.RNN, LSTM or GRU, got Linear"):
        checkpointed(torch.nn.Linear(3, 4), x)
