"""`diagnose`: the result equals the single measurements and survives JSON, and the model is unchanged."""

import json
import math
from typing import Any

import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import Diagnosis, diagnose, gradient_flow, influence, spectrum, watch
from throughtime.errors import NotFiniteError, ShapeError, UnsupportedError


def _classifier(kind: Any = None) -> tuple[nn.Module, Ragged]:
    torch.manual_seed(0)
    layer = (kind or tt.models.BiLSTM)(vocabulary_size=12, outputs=3, embedding_size=5, hidden_size=6)
    rows = [torch.tensor(row) for row in ([1, 2, 3, 4, 5], [6], [7, 8, 9])]
    return layer, Ragged.from_list(rows)


def _loss(logits: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2]))


def _require_json(found: Diagnosis) -> None:
    content = found.to_json()
    text = json.dumps(content, allow_nan=False)
    assert json.loads(text) == content
    assert Diagnosis.from_json(json.loads(text)) == found


def test_it_says_what_the_measures_say_and_survives_json() -> None:
    model, batch = _classifier()
    found = diagnose(model, batch, _loss, examples=2)
    _require_json(found)
    model.eval()
    with watch(model) as seen:
        _loss(model(batch)).backward()
    flow = gradient_flow(seen)
    assert len(found.layers) == 2
    for one, layer in zip(found.layers, flow.layers, strict=True):
        for origin, key in (("end", "from_end"), ("start", "from_start")):
            for of in ("h", "c", "weight_terms"):
                profile = layer.profile(of, origin=origin)
                summary = getattr(getattr(one, key), of)
                assert summary.mean == pytest.approx(profile.mean.tolist(), rel=1e-5)
                for q, values in ((0.1, summary.q10), (0.5, summary.q50), (0.9, summary.q90)):
                    assert values == pytest.approx(profile.quantiles[q].tolist(), rel=1e-5)
        assert one.saturation.keys() == {"input", "forget", "output"}
    grads = [parameter.grad.flatten() for parameter in model.parameters()]
    assert found.gradient_norm == pytest.approx(float(torch.cat(grads).norm()), rel=1e-5)
    assert found.loss == pytest.approx(_loss(model(batch)).item())
    blocks = spectrum(model)
    assert [one.block for one in found.spectrum] == [one.block for one in blocks]
    assert found.spectrum[0].spectral_radius == blocks[0].spectral_radius
    scores = influence(model, batch)
    assert [one.influence for one in found.examples] == [
        pytest.approx(scores.scores[b].tolist(), rel=1e-5) for b in (0, 1)
    ]
    assert list(found.examples[0].gates) == ["recurrent", "recurrent, from the end"]
    assert len(found.examples[0].gates["recurrent"]["forget"]) == 5
    assert len(found.lyapunov[0].exponents) == 8


def test_an_rnn_has_a_prediction_beside_the_measure() -> None:
    torch.manual_seed(0)
    layer = tt.nn.RNN(3, 4, nonlinearity="affine", bias=False)
    x = Ragged.from_lengths(torch.randn(20, 3), [20])
    found = diagnose(layer, x, lambda y: y.state.sum(), outcome=lambda y: y.state[0].sum(1))
    one = found.spectrum[0]
    assert one.prediction == pytest.approx(one.measured, rel=1e-4)


@pytest.mark.parametrize(("scale", "drifts"), [(1.0, True), (0.5, False)])
def test_a_state_that_grows_along_its_stream_is_named(scale: float, drifts: bool) -> None:
    layer = tt.nn.Bidirectional(tt.nn.RNN(2, 2, nonlinearity="affine", bias=False))
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(torch.eye(2) * (scale if "weight_hh" in name else 1.0))
    x = Ragged.from_lengths(torch.ones(130, 2), [80, 50])
    found = diagnose(layer, x, lambda y: y.output.values.sum(), outcome=lambda y: y.output.values.sum(1)[:2])
    where = [one.where for one in found.findings if one.code == "drifting"]
    assert len(where) == (2 if drifts else 0)


def test_a_convolutional_model_is_diagnosed_by_what_it_has() -> None:
    torch.manual_seed(0)
    model = tt.models.TextCNN(vocabulary_size=12, outputs=3)
    _, batch = _classifier()
    found = diagnose(model, batch, _loss)
    _require_json(found)
    assert found.layers == found.spectrum == found.lyapunov == ()
    model.eval()
    model.zero_grad()
    inputs = []
    hook = model.embedding.register_forward_hook(lambda _m, _i, out: inputs.append(out.values) or None)
    _loss(model(batch)).backward(inputs=[*model.parameters(), inputs[0]])
    hook.remove()
    norms = {one.name: one.gradient for one in found.gradient_norms}
    for name, module in model.named_modules():
        own = [parameter.grad.flatten() for parameter in module.parameters(recurse=False)]
        if own:
            assert norms.pop(name) == pytest.approx(float(torch.cat(own).norm()), rel=1e-5)
    assert not norms
    size = inputs[0].grad.norm(dim=1)
    # Lengths are 5, 1 and 3.
    assert found.inputs.from_end.mean == pytest.approx(
        [float(part.mean()) for part in (size[[4, 5, 8]], size[[3, 7]], size[[2, 6]], size[1:2], size[:1])],
        rel=1e-5,
    )
    assert found.inputs.from_start.mean[4] == pytest.approx(float(size[4]), rel=1e-5)
    assert len(found.examples) == 3
    assert found.examples[0].gates == {}


def test_shares_of_influence_add_up_to_one() -> None:
    model, batch = _classifier()
    shares = diagnose(model, batch, _loss).recency
    assert sum(shares.mean) == pytest.approx(1.0)
    assert shares.count == (3, 2, 2, 1, 1)


def test_a_loss_that_vanished_steps_would_lower_is_a_finding() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(4, (64, 40))
    batch = Ragged.from_lengths(tokens.flatten(), [40] * 64)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.layer, self.output = nn.Embedding(4, 6), tt.nn.RNN(6, 8), nn.Linear(8, 2)

        def forward(self, x: Ragged) -> torch.Tensor:
            return self.output(self.layer(self.embedding(x)).state[0])

    for target, told in ((tokens[:, 0] % 2, True), (torch.randint(2, (64,)), False)):
        found = diagnose(Last(), batch, lambda y, t=target: nn.functional.cross_entropy(y, t))
        assert ("vanished_not_converged" in [one.code for one in found.findings]) == told


def test_the_model_its_mode_and_its_gradients_are_left_alone() -> None:
    model, batch = _classifier()
    model.train()
    kept = [torch.randn_like(parameter) for parameter in model.parameters()]
    for parameter, grad in zip(model.parameters(), kept, strict=True):
        parameter.grad = grad
    diagnose(model, batch, _loss)
    assert model.training
    assert all(parameter.grad is grad for parameter, grad in zip(model.parameters(), kept, strict=True))


def test_a_loss_that_is_not_finite_says_where() -> None:
    model, batch = _classifier()
    with torch.no_grad():
        model.embedding.weight[8] = float("nan")
    with pytest.raises(
        NotFiniteError,
        match=r"the loss is nan: recurrent: the input is not finite, first at step 1 of sequence 2",
    ):
        diagnose(model, batch, _loss)
    model, batch = _classifier()
    with pytest.raises(NotFiniteError, match="it comes from the loss itself"):
        diagnose(model, batch, lambda y: _loss(y) * float("inf"))


def test_what_cannot_be_diagnosed_is_named() -> None:
    model, batch = _classifier()
    with pytest.raises(ShapeError, match="no tokens"):
        diagnose(model, batch[:0], _loss)
    with pytest.raises(ShapeError, match="sequence 1 has 1 tokens, but 2 names"):
        diagnose(model, batch, _loss, tokens=[["a"] * 5, ["b"] * 2, ["c"] * 3])
    two = nn.Sequential(nn.Embedding(12, 4), tt.nn.Pool("mean"), nn.Linear(4, 3))
    two.append(nn.Embedding(3, 3))
    with pytest.raises(UnsupportedError, match="the model has 2 embeddings"):
        diagnose(two[:3].append(two[3]), batch, _loss)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version must be 3, got 2"),
        ({"loss": "low"}, "loss must be a number, got 'low'"),
        ({"layers": [{"name": 3}]}, "layers.0.name must be a string, got 3"),
        ({"inputs": {}}, "inputs.from_end is missing"),
        ({"recency": {"distance": [0.5], "mean": [1], "count": [1]}}, "recency.distance.0 must be a whole"),
        ({"examples": [{"tokens": [], "influence": ["a"], "gates": {}}]}, "examples.0.influence must be"),
    ],
)
def test_json_of_another_form_is_refused_with_the_place(change: dict[str, Any], message: str) -> None:
    model, batch = _classifier()
    content = diagnose(model, batch, _loss).to_json()
    with pytest.raises(ValueError, match=message):
        Diagnosis.from_json({**content, **change})


def test_horizons_of_the_loss_and_of_the_slowest_direction_stand_side_by_side() -> None:
    """A linear unit with weight 1/2: both shrink by half at every step, 0.5⁷ < 1 % < 0.5⁶."""
    layer = tt.nn.RNN(1, 1, nonlinearity="affine", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.fill_(0.5)
    x = Ragged.from_lengths(torch.ones(30, 1), [20, 10])
    diagnosis = diagnose(layer, x, lambda y: y.state.sum(), outcome=lambda y: y.state[0].sum(1))
    (horizon,) = diagnosis.horizons
    assert (horizon.steps, horizon.loss) == (20, 7)
    assert horizon.exponent == pytest.approx(math.log(0.5))
    assert horizon.slowest == pytest.approx(math.log(0.01) / math.log(0.5))
    (vanishing,) = (finding for finding in diagnosis.findings if finding.code == "vanishing")
    assert vanishing.measured["steps"] == horizon.loss


def test_a_loss_at_every_step_reaches_further_than_the_slowest_direction() -> None:
    layer = tt.nn.RNN(1, 1, nonlinearity="affine", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.fill_(0.5)
    x = Ragged.from_lengths(torch.ones(20, 1), [20])
    (horizon,) = diagnose(
        layer, x, lambda y: y.output.values.sum(), outcome=lambda y: y.state[0].sum(1)
    ).horizons
    assert horizon.loss is None
    assert horizon.slowest == pytest.approx(math.log(0.01) / math.log(0.5))
