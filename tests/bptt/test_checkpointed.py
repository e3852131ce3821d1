"""Checkpointed backpropagation: the values and gradients of the plain layer, for segments of any size."""

from typing import Any

import pytest
import torch

import throughtime as tt
from throughtime import Ragged
from throughtime.bptt import checkpointed
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError

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
    with pytest.raises(InputTypeError, match=r"such as LSTM, Recurrence or Stack, got Linear"):
        checkpointed(torch.nn.Linear(3, 4), x)


def test_noise_of_a_cell_is_that_of_a_call_on_the_whole() -> None:
    torch.manual_seed(0)
    cell = tt.nn.Zoneout(tt.nn.RecurrentDropout(tt.nn.LSTMCell(3, 4), x=0.2, h=0.3), (0.3, 0.2))
    layer, x = tt.nn.Recurrence(cell).double(), _problem("GRU", {})[1]
    for options in (
        {},
        {"seeds": [4, 5, 6, 7]},
        {"seeds": [4, 5, 6, 7], "first_step": torch.tensor([0, 1, 5, 9])},
    ):
        results = []
        for segment in (None, 3):
            torch.manual_seed(1)
            result = (
                layer(x, **options) if segment is None else checkpointed(layer, x, segment=segment, **options)
            )
            loss = result.output.values.sin().sum()
            results.append((result, torch.autograd.grad(loss, [x.values, *layer.parameters()])))
        (expected, gradients), (found, found_gradients) = results
        for part, right in zip(leaves(found), leaves(expected), strict=True):
            assert torch.equal(part, right)
        torch.testing.assert_close(found_gradients, gradients)


def test_outputs_and_contexts_of_any_structure() -> None:
    weight = torch.randn(3, 2).double().requires_grad_()

    def f(state: dict[str, Any], x: torch.Tensor, context: tuple[torch.Tensor]) -> dict[str, Any]:
        return {"h": torch.tanh(0.5 * state["h"] + x @ weight + context[0]), "steps": state["steps"] + 1}

    layer = tt.nn.Recurrence(
        f,
        lambda state: (state["h"], {"twice": 2 * state["h"].sum(1)}),
        state={"h": 2, "steps": torch.tensor(0)},
        native="never",
    ).double()
    x, context = _problem("GRU", {})[1], (torch.randn(4, 2).double().requires_grad_(),)
    found, expected = checkpointed(layer, x, segment=3, context=context), layer(x, context=context)
    inputs = [x.values, weight, context[0]]
    gradients = []
    for (h, more), state in (found, expected):
        assert state["steps"].tolist() == LENGTHS
        loss = h.values.sum() + more["twice"].values.sin().sum() + state["h"].cos().sum()
        gradients.append(torch.autograd.grad(loss, inputs))
    assert torch.equal(found.output[1]["twice"].values, expected.output[1]["twice"].values)
    torch.testing.assert_close(*gradients)
    (h, more), _ = checkpointed(layer, x, segment=3, context=context, outputs=False)
    assert h.values.shape == more["twice"].values.shape == (len(x.values), 0)


def test_torch_checkpoints_the_first_call_of_a_transition() -> None:
    layer, x = tt.nn.LiGRU(3, 4, normalization="layer").double(), _problem("GRU", {})[1]
    output = torch.utils.checkpoint.checkpoint(lambda x: layer(x).output.values, x, use_reentrant=False)
    found = torch.autograd.grad(output.sum(), x.values)
    torch.testing.assert_close(found, torch.autograd.grad(layer(x).output.values.sum(), x.values))


def test_layers_that_segments_would_change_are_refused_by_name() -> None:
    x = Ragged.from_lengths(torch.randn(sum(LENGTHS), 3), LENGTHS)
    conv = tt.nn.Conv1d(3, 3, 3, padding="causal")
    zoneout = tt.nn.Recurrence(tt.nn.Zoneout(tt.nn.GRUCell(3, 3), 0.1))
    sums = tt.nn.Recurrence(lambda h, x: h + x, state=3, prepare=lambda x: x.cumsum(0))
    refused: list[tuple[torch.nn.Module, str]] = [
        (tt.nn.Stack(tt.nn.GRU(3, 3), conv), r"layers\.1 \(Conv1d\) reads several steps and has no state"),
        (tt.nn.LiGRU(3, 4), r"norm \(BatchNorm1d\) takes its statistics from all tokens of a batch"),
        (
            tt.nn.Stack(tt.nn.GRU(3, 3), tt.nn.LockedDropout(0.5)),
            r"LockedDropout\) draws one mask for a sequence",
        ),
        (
            tt.nn.Stack(zoneout, tt.nn.GRU(3, 3)),
            r"layers\.0 \(Recurrence\) draws the random numbers of a sequence",
        ),
        (sums, "prepare of Recurrence sees all tokens of a batch"),
    ]
    for layer, message in refused:
        with pytest.raises(UnsupportedError, match=message):
            checkpointed(layer, x)
    with pytest.raises(InputTypeError, match="has a forward hook"):
        checkpointed(tt.nn.weight_drop(tt.nn.LSTM(3, 4)), x)
    with pytest.raises(ShapeError, match=r"backward_layer|Bidirectional"):
        checkpointed(tt.nn.Bidirectional(tt.nn.GRU(3, 4)), x)
    layer = tt.nn.GRU(3, 4)
    with tt.bptt.Carried().carry(layer, range(4)), pytest.raises(UnsupportedError, match="GRU are carried"):
        checkpointed(layer, x)
    checkpointed(tt.nn.LiGRU(3, 4).eval(), x)
