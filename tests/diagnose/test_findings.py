"""Findings: each on a model constructed to have the problem, and on one constructed not to have it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import (
    AdaptiveClip,
    clipping,
    drifting,
    effective_horizon,
    findings_of_flow,
    first_gradient_not_finite,
    first_not_finite,
    gradient_flow,
    locate_not_finite,
    no_gain_over_bag_of_words,
    order_unused,
    watch,
)
from throughtime.errors import InputTypeError, NotFiniteError, ShapeError


def _rnn(scale: float, hidden: int = 6) -> tt.nn.RNN:
    """A linear RNN whose every step multiplies gradients by ``scale``."""
    layer = tt.nn.RNN(3, hidden, nonlinearity="affine", bias=False).double()
    tt.nn.init.orthogonal_(layer, scale, generator=torch.Generator().manual_seed(0))
    return layer


def _flow(layer: nn.Module, lengths: list[int], **more: Any) -> tt.diagnose.GradientFlow:
    torch.manual_seed(0)
    x = Ragged.from_lengths(torch.randn(sum(lengths), 3).double(), lengths)
    with watch(layer) as seen:
        state = layer(x, **more).state
        (state[0] if isinstance(state, tuple) else state).sum().backward()
    return gradient_flow(seen)


def _codes(layer: nn.Module, lengths: list[int]) -> list[str]:
    return [finding.code for finding in findings_of_flow(_flow(layer, lengths))]


def test_vanishing_says_within_how_many_steps() -> None:
    flow = _flow(_rnn(0.5), [40, 30])
    # 0.5⁷ < 1 % < 0.5⁶
    assert effective_horizon(flow[0]) == 7
    found = {finding.code: finding for finding in findings_of_flow(flow)}
    assert found.keys() == {"vanishing", "longer_than_horizon"}
    assert found["vanishing"].measured["steps"] == 7
    assert found["vanishing"].measured["fraction left at its start"] == pytest.approx(0.5**39)
    assert found["longer_than_horizon"].measured == {
        "fraction of sequences": 1.0,
        "steps": 7,
        "median length": 30.0,
    }
    assert "within 7 steps" in str(found["vanishing"])
    assert _codes(_rnn(1.0), [40, 30]) == []


def test_sequences_within_reach_are_not_out_of_it() -> None:
    assert _codes(_rnn(0.5), [12, 5, 4, 3]) == ["vanishing"]


def test_exploding_says_how_fast() -> None:
    found = findings_of_flow(_flow(_rnn(1.3), [40, 40]))
    assert [finding.code for finding in found] == ["exploding"]
    assert found[0].severity == "problem"
    assert found[0].measured["growth per step back"] == pytest.approx(1.3)
    assert found[0].measured["largest over last"] == pytest.approx(1.3**39)
    assert _codes(_rnn(1.05), [40, 40]) == []


def test_gradients_that_are_not_finite_come_first() -> None:
    layer = _rnn(10.0).float()
    x = torch.randn(60, 3)
    with watch(layer) as seen:
        layer(x).output[-1].sum().backward()
    found = findings_of_flow(gradient_flow(seen))
    assert found[0].code == "not_finite"
    assert 0 < found[0].measured["fraction of steps"] < 1


@pytest.mark.parametrize(
    ("gate", "bias", "code"),
    [
        ("input", -9.0, "nothing new enters c"),
        ("forget", -9.0, "no memory"),
        ("forget", 9.0, "forgets nothing"),
        ("output", -9.0, "shows nothing"),
        ("input", 9.0, None),
        ("forget", 0.5, None),
    ],
)
def test_gates_of_an_lstm_that_are_stuck(gate: str, bias: float, code: str | None) -> None:
    layer = tt.nn.LSTM(3, 6).double()
    place = ["input", "forget", "candidate", "output"].index(gate) * 6
    with torch.no_grad():
        layer.bias_ih_l0[place : place + 6] = bias
    stuck = [finding for finding in findings_of_flow(_flow(layer, [20, 8])) if finding.code == "stuck_gate"]
    assert [code in finding.verdict for finding in stuck] == ([] if code is None else [True])
    assert all(
        finding.measured["fraction of units and steps"] > 0.95 and gate in finding.verdict
        for finding in stuck
    )


def test_gates_of_a_gru_that_are_stuck() -> None:
    for block, bias, words in (
        (0, -9.0, "reset gate is closed"),
        (1, 9.0, "z is stuck near 1"),
        (1, -9.0, "near 0"),
    ):
        layer = tt.nn.GRU(3, 6).double()
        with torch.no_grad():
            layer.bias_ih_l0[6 * block : 6 * block + 6] = bias
        found = [f.verdict for f in findings_of_flow(_flow(layer, [20, 8])) if f.code == "stuck_gate"]
        assert len(found) == 1
        assert words in found[0]


def test_bounds_that_always_or_never_act() -> None:
    # Gradients of a sequence begin with the norm √6 and grow by 1.3 a step.
    for norm, code in ((1e-6, "bound_always"), (1e6, "bound_never"), (6**0.5 * 1.3**15, None)):
        layer = _rnn(1.3)
        layer.bound_gradients(norm=norm)
        found = [f for f in findings_of_flow(_flow(layer, [30, 30])) if f.code.startswith("bound")]
        assert [f.code for f in found] == ([] if code is None else [code])
        assert all(f.measured["fraction of steps"] == (1.0 if code == "bound_always" else 0.0) for f in found)


class _Last(nn.Module):
    """Remembers the last token, or only counts tokens."""

    def __init__(self, *, ordered: bool) -> None:
        super().__init__()
        self.ordered = ordered

    def forward(self, x: Ragged) -> Tensor:
        last = torch.stack([row[-1] if self.ordered else row.sum() for row in x])
        return last.float()


def test_a_model_that_does_not_use_the_order() -> None:
    batch = Ragged.from_lengths(torch.arange(40), [10, 10, 20])
    target = torch.tensor([9.0, 19.0, 39.0])

    def loss(y: Tensor) -> Tensor:
        return (y - target).square().mean() + 1.0

    assert order_unused(_Last(ordered=True), batch, loss) is None
    sums = torch.tensor([45.0, 145.0, 590.0])
    found = order_unused(_Last(ordered=False), batch, lambda y: (y - sums).square().mean() + 1.0)
    assert found is not None
    assert found.measured == {"loss": 1.0, "loss of permuted tokens": 1.0}
    assert found.cost == "two forward passes"
    assert found.verdict == "the loss is no worse when the tokens of each sequence are permuted"
    slightly = order_unused(_Last(ordered=True), batch, lambda y: loss(y) / 1e4 + 1.0)
    assert slightly is not None
    first, second = slightly.measured.values()
    assert second > first
    assert f"the loss is only {100 * (second - first) / first:.1f} % worse when" in slightly.verdict
    below_zero = order_unused(_Last(ordered=False), batch, lambda y: (y - sums).square().mean() - 1.0)
    assert below_zero is not None, "log densities may be below zero"
    with pytest.raises(NotFiniteError, match="cannot be compared"):
        order_unused(_Last(ordered=True), batch, lambda y: y.sum() * float("nan"))


def test_a_bag_of_words_is_compared_sequence_by_sequence() -> None:
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(200, generator=generator)
    right = torch.arange(200) < 150
    fewer, more = torch.arange(200) < 120, torch.arange(200) < 180

    def said(bag_losses: Tensor, bag_right: Tensor) -> tuple[str, str] | None:
        found = no_gain_over_bag_of_words(losses, bag_losses, right, bag_right)
        return None if found is None else (found.severity, found.verdict)

    # All differ by 0.01, which is certain though it is a fiftieth of the spread of losses.
    assert said(losses + 0.01, right) is None
    assert said(losses + 0.01, fewer) is None
    assert said(losses - 0.01, right) == ("warning", "a bag of words does better on 200 sequences")
    assert said(losses, more) == ("warning", "a bag of words does better on 200 sequences")
    assert said(losses, right) == (
        "warning",
        "a bag of words does as well on 200 sequences, within the standard error",
    )
    # A mean difference of 0.01 among differences of 0.3 is nothing.
    apart = losses + 0.01 + 0.3 * torch.tensor([1.0, -1.0]).repeat(100)
    assert said(apart, right) is not None
    assert said(losses - 0.01, fewer) == (
        "note",
        "more accurate than a bag of words on 200 sequences, but with a larger loss",
    )
    assert said(losses + 0.01, more) == (
        "note",
        "a smaller loss than a bag of words on 200 sequences, but less accurate",
    )
    found = no_gain_over_bag_of_words(losses, losses, right, fewer[torch.randperm(200, generator=generator)])
    assert found is None
    measured = no_gain_over_bag_of_words(losses, losses, right, right).measured
    assert measured["accuracy"] == measured["accuracy of the bag of words"] == 0.75
    assert measured["loss"] == pytest.approx(float(losses.double().mean()))
    with pytest.raises(ShapeError, match=r"four tensors \(B,\) with B >= 2"):
        no_gain_over_bag_of_words(losses[:1], losses[:1], right[:1], right[:1])
    with pytest.raises(ShapeError, match=r"four tensors \(B,\) with B >= 2"):
        no_gain_over_bag_of_words(losses, losses[:9], right, right)
    with pytest.raises(ShapeError, match="losses must be finite"):
        no_gain_over_bag_of_words(losses, losses / 0, right, right)


def test_what_fell_below_an_exploded_gradient_has_not_vanished() -> None:
    """One layer is not said to explode and to vanish."""
    layer = tt.nn.RNN(2, 2, nonlinearity="affine", bias=False).double()
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.diag(torch.tensor([1.3, 0.9])))
    x = Ragged.from_lengths(torch.randn(100, 2).double(), [60, 40])
    with watch(layer) as seen:
        state = layer(x).state[0]
        # The longer sequence has no part in what grows, so the mean falls where the shorter one ends.
        (state[0, 1] + state[1, 0]).backward()
    flow = gradient_flow(seen)
    assert effective_horizon(flow[0]) == 40
    assert [finding.code for finding in findings_of_flow(flow)] == ["exploding"]


def test_reading_both_ways_is_not_advised_to_a_layer_that_does() -> None:
    for bidirectional in (False, True):
        layer = tt.nn.RNN(3, 6, nonlinearity="affine", bias=False, bidirectional=bidirectional).double()
        tt.nn.init.orthogonal_(layer, 0.5)
        found = [f for f in findings_of_flow(_flow(layer, [40, 30])) if f.code == "longer_than_horizon"]
        assert found
        assert all(("bidirectional" in one.advice) != bidirectional for one in found)


def test_clipping_that_always_or_never_acts() -> None:
    norms = [1.0 + 0.01 * i for i in range(40)]
    always, never = clipping(norms, 0.5), clipping(norms, 5.0)
    assert always is not None
    assert never is not None
    assert (always.code, never.code) == ("clip_always", "clip_never")
    assert always.measured["fraction of steps"] == 1.0
    assert clipping(norms, 1.2) is None
    assert clipping(norms[:10], 0.5) is None, "too few steps to say so"


def test_states_that_drift_over_long_streams() -> None:
    layer = tt.nn.LSTM(1, 4).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0[0:8] = 30.0  # everything enters, nothing is forgotten
        layer.bias_ih_l0[8:12] = 1.0
    x = Ragged.from_lengths(torch.zeros(250, 1).double(), [200, 50])
    found = drifting(layer.trace(x).c, "c")
    assert found is not None
    quarters = list(found.measured.values())
    assert quarters == sorted(quarters)
    with torch.no_grad():
        layer.bias_ih_l0[4:8] = -1.0
    assert drifting(layer.trace(x).c) is None
    assert drifting(x[:0]) is None


def test_the_first_number_that_is_not_finite_is_found() -> None:
    for bidirectional in (False, True):
        layer = tt.nn.GRU(3, 4, bidirectional=bidirectional)
        values = torch.randn(9, 3)
        values[5, 1] = float("inf")
        values[7, 1] = float("nan")
        with watch(layer) as seen:
            layer(Ragged.from_lengths(values, [3, 6])).output.values.sum().backward()
        assert first_not_finite(seen) == "GRU: the input is not finite, first at step 2 of sequence 1"
    stacked = nn.Sequential(tt.nn.RNN(3, 4, nonlinearity="affine"), tt.nn.GRU(4, 4))
    with torch.no_grad():
        stacked[0].weight_hh_l0.copy_(1e20 * torch.eye(4))
    with watch(stacked) as seen:
        stacked(Ragged.from_lengths(torch.ones(6, 3), [6])).output.values.sum().backward()
    assert first_not_finite(seen) == "0: h is not finite, first at step 2 of sequence 0"
    clean = tt.nn.LSTM(3, 4)
    with watch(clean) as seen:
        clean(torch.randn(5, 3)).output.sum().backward()
    assert first_not_finite(seen) is None


def test_one_nan_among_zeros_is_a_norm_of_nan() -> None:
    torch.manual_seed(0)
    layer = tt.nn.RNN(3, 8)
    with tt.diagnose.watch(layer) as seen:
        y = layer(torch.randn(4, 3)).output
        dy = torch.zeros_like(y)
        dy[2, 0] = torch.nan
        y.backward(dy)
    norms = tt.diagnose.gradient_flow(seen)[0].h.values
    assert norms.isnan().tolist() == [True, True, True, False]
    said = first_gradient_not_finite(seen)
    assert said is not None
    assert "step 2" in said


def test_a_gradient_that_is_not_finite_is_found_on_its_way_back() -> None:
    layer = tt.nn.RNN(3, 4, nonlinearity="affine", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(1e20 * torch.eye(4))
    x = Ragged.from_lengths(torch.zeros(8, 3), [2, 6])
    with watch(layer) as seen:
        layer(x).state.sum().backward()
    said = "RNN: the gradient is not finite, going back first at step 3 of sequence 1"
    assert first_not_finite(seen) is None
    assert first_gradient_not_finite(seen) == said
    assert locate_not_finite(layer, lambda: layer(x).state.sum()) == said
    assert locate_not_finite(layer, lambda: layer(x).state.sum() * float("inf")) is None, (
        "the loss is to blame"
    )
    linear = nn.Linear(3, 1)
    assert locate_not_finite(linear, lambda: linear(x).values.sum()) is None, "no recurrent layer"


def test_adaptive_clipping_follows_a_percentile_of_all_norms() -> None:
    torch.manual_seed(0)
    for percentile in (10.0, 50.0, 100.0):
        clip, norms = AdaptiveClip(percentile), []
        parameters = [
            nn.Parameter(torch.zeros(4)),
            nn.Parameter(torch.zeros(2)),
            nn.Parameter(torch.zeros(1)),
        ]
        for step in range(12):
            for parameter in parameters[:2]:
                parameter.grad = torch.randn_like(parameter) * (1 + step % 5)
            before = torch.cat([parameter.grad.clone() for parameter in parameters[:2]])
            norms.append(float(before.norm()))
            event = clip(parameters)
            threshold = float(np.percentile(norms, percentile))
            assert event.norm == pytest.approx(norms[-1])
            assert event.threshold == pytest.approx(threshold)
            after = torch.cat([parameter.grad for parameter in parameters[:2]])
            expected = before * min(1.0, threshold / norms[-1])
            torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-6)
            assert event.clipped == (norms[-1] > threshold + 1e-9)
        again = AdaptiveClip()
        again.load_state_dict(clip.state_dict())
        assert again.events == clip.events
        assert again.percentile == percentile


def test_adaptive_clipping_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ShapeError, match="between 0 and 100, got 101"):
        AdaptiveClip(101)
    with pytest.raises(InputTypeError, match="not the state_dict of an AdaptiveClip"):
        AdaptiveClip().load_state_dict({})
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([float("nan"), 1.0])
    clip = AdaptiveClip()
    with pytest.raises(NotFiniteError, match="is nan at step 0"):
        clip([parameter])
    assert clip.events == []
