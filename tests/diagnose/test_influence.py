"""Influence: on models whose outcome is a known function of their tokens, and by the axioms of each method."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import influence
from throughtime.errors import InputTypeError, ShapeError, UnsupportedError


class _Sum(nn.Module):
    """Logits that are a weighted sum of the features: every method must find the same."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False).double()

    def forward(self, x: Ragged) -> Tensor:
        rows = self.linear(x.values)
        return torch.zeros(len(x), 2).double().index_add(0, x.layout.sequence_ids, rows)


def _features() -> Ragged:
    torch.manual_seed(0)
    return Ragged.from_lengths(torch.randn(7, 3).double(), [3, 0, 4])


@pytest.mark.parametrize("method", ["gradient_input", "integrated_gradients", "occlusion", "deletion"])
@pytest.mark.parametrize("tokens_at_once", [1, 5, 1000])
def test_of_a_sum_every_method_finds_the_summands(method: Any, tokens_at_once: int) -> None:
    model, x = _Sum(), _features()
    target = torch.tensor([0, 1, 1])
    found = influence(model, x, target, method=method, tokens_at_once=tokens_at_once)
    summands = model.linear(x.values).detach()
    classes = target[x.layout.sequence_ids]
    torch.testing.assert_close(found.scores.values, summands.gather(1, classes[:, None])[:, 0])
    torch.testing.assert_close(found.outcome, model(x).detach().gather(1, target[:, None])[:, 0])
    assert found.scores.lengths.tolist() == [3, 0, 4]


def _classifier() -> tuple[nn.Module, Ragged]:
    torch.manual_seed(3)
    model = tt.models.BiLSTM(vocabulary_size=12, outputs=3, embedding_size=5, hidden_size=6).double()
    tokens = [torch.tensor(row) for row in ([1, 2, 3, 4, 5], [6], [7, 8, 9])]
    return model, Ragged.from_list(tokens)


def test_integrated_gradients_add_up_to_the_difference() -> None:
    """Completeness, of Sundararajan et al. 2017, proposition 1."""
    model, batch = _classifier()
    found = influence(model, batch, method="integrated_gradients", points=400)
    nothing = []
    hook = model.embedding.register_forward_hook(lambda _m, _i, out: out * 0.0)
    with torch.no_grad():
        model.eval()
        nothing = model(batch).gather(1, found.target[:, None])[:, 0]
    hook.remove()
    sums = torch.stack([row.sum() for row in found.scores])
    torch.testing.assert_close(sums, found.outcome - nothing, rtol=1e-3, atol=1e-4)


def test_gradient_times_input_is_autograds() -> None:
    model, batch = _classifier()
    found = influence(model, batch)
    model.eval()
    kept = {}
    hook = model.embedding.register_forward_hook(lambda _m, _i, out: kept.setdefault("x", out))
    logits = model(batch)
    hook.remove()
    assert torch.equal(found.target, logits.argmax(1))
    grad = torch.autograd.grad(logits.max(1).values.sum(), kept["x"].values)[0]
    torch.testing.assert_close(found.scores.values, (kept["x"].values * grad).sum(1).detach())


def test_occlusion_and_deletion_run_the_changed_sequences() -> None:
    model, batch = _classifier()
    model.eval()
    logits = model(batch).detach()
    target = torch.tensor([2, 0, 1])
    occluded = influence(model, batch, target, method="occlusion", tokens_at_once=7)
    deleted = influence(model, batch, target, method="deletion", tokens_at_once=4)
    for b, row in enumerate(batch):
        for t in range(len(row)):
            rest = torch.cat([row[:t], row[t + 1 :]])
            with torch.no_grad():
                without = model(Ragged.from_list([rest]))[0, target[b]]

                def zero(_module: nn.Module, _inputs: Any, out: Ragged, t: int = t) -> Ragged:
                    values = out.values.clone()
                    values[t] = 0
                    return out.with_values(values)

                hook = model.embedding.register_forward_hook(zero)
                hidden = model(Ragged.from_list([row]))[0, target[b]]
                hook.remove()
            torch.testing.assert_close(deleted.scores[b][t], logits[b, target[b]] - without)
            torch.testing.assert_close(occluded.scores[b][t], logits[b, target[b]] - hidden)


def test_the_model_is_left_as_it_was() -> None:
    model, batch = _classifier()
    model.train()
    model.recurrent.eval()
    influence(model, batch, method="occlusion")
    assert model.training
    assert model.dropout.training
    assert not model.recurrent.training
    assert not model.embedding._forward_hooks
    assert all(parameter.grad is None for parameter in model.parameters())


def test_shares_of_sequences_of_many_lengths_add_up_to_one() -> None:
    """Means over those sequences alone that are so long would add up to more."""
    x = Ragged.from_list(
        [torch.tensor([[3.0], [1.0]]), torch.tensor([[2.0]]), torch.zeros(3, 1), torch.zeros(0, 1)]
    )
    found = influence(tt.nn.Pool("sum"), x, outcome=lambda y: y[:, 0]).recency()
    assert found.mean.tolist() == pytest.approx([(1 / 4 + 1) / 2, 3 / 4 / 2, 0.0])
    assert found.count.tolist() == [3, 2, 1]
    assert found.quantiles[0.5].tolist() == pytest.approx([(1 / 4 + 1) / 2, 3 / 4 / 2, 0.0])
    nothing = influence(tt.nn.Pool("sum"), x[2:3], outcome=lambda y: y[:, 0]).recency()
    assert nothing.mean.tolist() == [0.0, 0.0, 0.0]


def test_recency_tells_which_end_a_model_listens_to() -> None:
    """A forgetful RNN that reads forward weighs its last steps most, one that reads backward its first."""
    torch.manual_seed(0)
    x = Ragged.from_lengths(torch.randn(240, 3), [40] * 6)
    layer = tt.nn.RNN(3, 8, bidirectional=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(0.7)

    def ended(halves: slice) -> Any:
        return lambda result: result.state.transpose(0, 1)[:, halves].flatten(1).sum(1)

    forward = influence(layer, x, outcome=ended(slice(0, 1))).recency().mean
    backward = influence(layer, x, outcome=ended(slice(1, 2))).recency().mean
    both = influence(layer, x, outcome=ended(slice(0, 2))).recency().mean
    assert forward[:8].sum() > 0.95
    assert backward[-8:].sum() > 0.95
    assert both[:8].sum() > 0.3 < both[-8:].sum()
    for profile in (forward, backward, both):
        assert float(profile.sum()) == pytest.approx(1.0, abs=1e-5)
    from_start = influence(layer, x, outcome=ended(slice(0, 1))).recency(origin="start").mean
    torch.testing.assert_close(from_start, forward.flip(0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, b: influence(m, b, method="magic"), ShapeError, "method must be one of gradient_input"),
        (lambda m, b: influence(m, b.values), InputTypeError, "takes a Ragged batch, got Tensor"),
        (lambda m, b: influence(m, b[:0]), ShapeError, "no tokens"),
        (lambda m, b: influence(m, b, torch.tensor([1])), ShapeError, "one class for each of 3 sequences"),
        (lambda m, b: influence(m, b, points=0), ShapeError, "at least 1"),
        (
            lambda m, b: influence(m, b, torch.tensor([0, 0, 0]), outcome=lambda y: y[:, 0]),
            ShapeError,
            "not both",
        ),
        (lambda m, b: influence(m, b, outcome=lambda y: y), ShapeError, "one number for each of 3 sequences"),
        (
            lambda m, b: influence(m, b, features_of=nn.Linear(1, 1)),
            UnsupportedError,
            "not a submodule of this model",
        ),
        (lambda m, b: influence(nn.Sequential(m.embedding, m.recurrent), b), ShapeError, "outcome=lambda"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, error: Any, message: str) -> None:
    model, batch = _classifier()
    with pytest.raises(error, match=None) as caught:
        call(model, batch)
    assert message in str(caught.value)


def test_a_model_with_two_embeddings_asks_which() -> None:
    model, batch = _classifier()
    model.other = nn.Embedding(3, 3)
    with pytest.raises(UnsupportedError, match="has 2 embeddings; give the one"):
        influence(model, batch)
    assert influence(model, batch, features_of=model.embedding).scores.lengths.tolist() == [5, 1, 3]
