"""Gradient flow: every number against autograd on plain equations, or plain Python."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import gradient_flow, watch
from throughtime.errors import ShapeError, UnsupportedError

from ..nn.equations import by_equations, stacked
from ..nn.recurrent import LAYERS, VARIANTS, name_of

LENGTHS = [4, 0, 1, 6]
each_layer = pytest.mark.parametrize(("name", "options"), LAYERS + VARIANTS, ids=name_of)


def _layer(name: str, options: dict[str, Any], **more: Any) -> nn.Module:
    torch.manual_seed(0)
    return getattr(tt.nn, name)(3, 5, **options, **more).double()


def _batch() -> Ragged:
    return Ragged.from_lengths(torch.randn(sum(LENGTHS), 3, dtype=torch.float64), LENGTHS)


def _watched(layer: nn.Module, x: Any, seed: Tensor, **given: Any) -> tt.diagnose.GradientFlow:
    with watch(layer, whole=True) as seen:
        output = layer(x, **given).output
        kinds = {Ragged: "values", PackedSequence: "data"}
        values = getattr(output, kinds[type(output)]) if type(output) in kinds else output
        values.backward(seed)
    return gradient_flow(seen)


@each_layer
def test_norms_are_those_of_the_gradients_that_autograd_retains(name: str, options: dict[str, Any]) -> None:
    layer, x = _layer(name, options, bidirectional=True, num_layers=2), _batch()
    count = 4
    size = layer.proj_size or 5
    state: Any = torch.zeros(count, 4, size).double()
    state = (state, torch.zeros(count, 4, 5).double()) if layer.spec.has_c else state
    seed = torch.randn(sum(LENGTHS), 2 * size, dtype=torch.float64)
    flow = _watched(layer, x, seed)
    rows = by_equations(layer, options, x, state)
    for sequences in (sequences for row in rows for sequences in row):
        for step in (step for sequence in sequences for step in sequence):
            for part in step.values():
                part.requires_grad and part.retain_grad()
    torch.cat([stacked(sequences)["h"] for sequences in rows[-1]], 1).backward(seed)
    assert [(one.layer, one.direction) for one in flow.layers] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for one in flow.layers:
        steps = [step for sequence in rows[one.layer][one.direction] for step in sequence]
        torch.testing.assert_close(one.h.values, torch.stack([step["h"].grad.norm() for step in steps]))
        assert one.h.lengths.tolist() == LENGTHS
        if layer.spec.has_c:
            torch.testing.assert_close(one.c.values, torch.stack([step["c"].grad.norm() for step in steps]))
        else:
            assert one.c is None
        for gate, found in one.saturation.items():
            values = torch.stack([step[gate] for step in steps])
            torch.testing.assert_close(found.closed.values, (values < 0.1).double().mean(1))
            torch.testing.assert_close(found.open.values, (values > 0.9).double().mean(1))
        assert len(one.saturation) == {"LSTM": 3, "GRU": 2, "RNN": 0, "MGU": 1, "LayerNormLSTM": 3}[name]


@each_layer
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_terms_of_all_steps_add_up_to_the_gradient(
    name: str, options: dict[str, Any], bidirectional: bool
) -> None:
    """And the norm of a sequence's term is the norm of the term of that sequence alone."""
    layer, x = _layer(name, options, bidirectional=bidirectional), _batch()
    state: Any = torch.randn(2 if bidirectional else 1, 4, layer.proj_size or 5).double()
    state = (state, torch.randn(len(state), 4, 5).double()) if layer.spec.has_c else state
    seed = torch.randn(sum(LENGTHS), len(state[0]) and layer(x).output.values.shape[1]).double()
    flow = _watched(layer, x, seed, hx=state)
    for one, suffix in zip(flow.layers, ("", "_reverse"), strict=False):
        whole = getattr(layer, f"weight_hh_l0{suffix}").grad
        terms = [one.weight_term(t) for t in range(max(LENGTHS))]
        torch.testing.assert_close(sum(terms), whole)
        assert not one.weight_term(max(LENGTHS)).any()
    for b, sequence in enumerate(x):
        if not len(sequence):
            continue
        layer.zero_grad()
        alone = tuple(part[:, b] for part in state) if layer.spec.has_c else state[:, b]
        begin = sum(LENGTHS[:b])
        single = _watched(layer, sequence, seed[begin : begin + len(sequence)], hx=alone)
        for one, of_batch in zip(single.layers, flow.layers, strict=True):
            order = range(len(sequence))
            norms = torch.stack([one.weight_term(t).norm() for t in order])
            expected = norms.flip(0) if one.direction else norms
            torch.testing.assert_close(of_batch.weight_terms[b], expected)


def test_the_three_terms_of_the_lecture() -> None:
    """T = 3, one unit, identity: ∂L/∂w = Σ_t w^(3−t) h_(t−1), each term by hand."""
    layer = tt.nn.RNN(1, 1, nonlinearity="affine", bias=False).double()
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(0.5)
    x = torch.tensor([[2.0], [3.0], [4.0]], dtype=torch.float64)
    with watch(layer, whole=True) as seen:
        layer(x).output[-1].sum().backward()
    flow = gradient_flow(seen)[0]
    # h_1 = 2, h_2 = 4, and ∂L/∂h = 1/4, 1/2, 1.
    assert [float(flow.weight_term(t)) for t in range(3)] == [0.0, 0.5 * 2.0, 1.0 * 4.0]
    assert flow.h[0].tolist() == [0.25, 0.5, 1.0]
    assert float(layer.weight_hh_l0.grad) == 5.0


@pytest.mark.parametrize(("weight", "steps"), [(0.1, 36), (10.0, 36)])
def test_norms_are_right_where_their_squares_would_not_fit(weight: float, steps: int) -> None:
    layer = tt.nn.RNN(1, 3, nonlinearity="affine", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(weight * torch.eye(3))
    with watch(layer) as seen:
        layer(torch.zeros(steps, 1)).output[-1].sum().backward()
    found = gradient_flow(seen)[0].profile("h").mean
    expected = 3**0.5 * weight ** torch.arange(steps, dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_profiles_gather_by_distance_as_plain_python_does() -> None:
    layer, x = _layer("LSTM", {}, bidirectional=True), _batch()
    flow = _watched(layer, x, torch.randn(sum(LENGTHS), 10).double())
    for one in flow.layers:
        for origin in ("end", "start"):
            table: dict[int, list[float]] = {}
            for sequence in one.c:
                numbers = sequence.tolist()
                read = numbers[::-1] if one.direction else numbers
                for distance, number in enumerate(read[::-1] if origin == "end" else read):
                    table.setdefault(distance, []).append(number)
            found = one.profile("c", origin=origin, quantiles=(0.0, 0.25, 0.5, 1.0))
            assert found.distance.tolist() == sorted(table)
            assert found.count.tolist() == [len(table[d]) for d in sorted(table)]
            for d, numbers in table.items():
                right = torch.tensor(numbers, dtype=torch.float64)
                torch.testing.assert_close(found.mean[d], right.mean())
                for q, values in found.quantiles.items():
                    torch.testing.assert_close(values[d], right.quantile(q))


def test_every_kind_of_input_gives_the_same_flow() -> None:
    layer = _layer("GRU", {}, bidirectional=True)
    rows = [torch.randn(n, 3).double() for n in (3, 3, 3)]
    seeds = [torch.randn(3, 10).double() for _ in rows]
    flows = [
        _watched(layer, Ragged.from_list(rows), torch.cat(seeds)),
        _watched(layer, torch.stack(rows, 1), torch.stack(seeds, 1)),
        _watched(layer, pack_sequence(rows), pack_sequence(seeds).data),
    ]
    first = _layer("GRU", {}, bidirectional=True, batch_first=True)
    flows.append(_watched(first, torch.stack(rows), torch.stack(seeds)))
    for flow in flows[1:]:
        for one, right in zip(flow.layers, flows[0].layers, strict=True):
            torch.testing.assert_close(one.h.values, right.h.values)
            torch.testing.assert_close(one.weight_terms.values, right.weight_terms.values)
            torch.testing.assert_close(one.weight_term(1), right.weight_term(1))
            assert one.h.lengths.tolist() == [3, 3, 3]


def test_watching_changes_nothing_and_ends() -> None:
    model = nn.Sequential(nn.Linear(3, 3), _layer("LSTM", {}), nn.Linear(5, 2)).double()
    x = _batch()
    expected = model(x).values
    expected.sum().backward()
    right = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with watch(model) as seen:
        found = model(x).values
        found.sum().backward()
    assert torch.equal(found, expected)
    for parameter, grad in zip(model.parameters(), right, strict=True):
        torch.testing.assert_close(parameter.grad, grad, rtol=0, atol=0)
    assert model[1]._watchers is None
    assert [one.name for one in gradient_flow(seen).layers] == ["1"]
    model(x).values.sum().backward()
    assert len(gradient_flow(seen)) == 1, "a run outside of the block is not seen"
    seen.clear()
    with pytest.raises(UnsupportedError, match="no backward pass"):
        gradient_flow(seen)


def test_several_layers_and_runs_have_names() -> None:
    model = nn.ModuleDict({"encoder": _layer("GRU", {}, num_layers=2), "head": _layer("RNN", {})})
    x = _batch()
    with watch(model) as seen:
        for _ in range(2):
            (model["encoder"](x).output.values.sum() + model["head"](x).output.values.sum()).backward()
    names = [one.name for one in gradient_flow(seen).layers]
    assert names == ["encoder[0]", "encoder[1]", "head"] * 2


def test_what_cannot_be_diagnosed_is_named() -> None:
    nothing = watch(nn.Linear(3, 4))
    with pytest.raises(UnsupportedError, match=r"this model has no recurrent layer \(it has Linear\)"):
        nothing.__enter__()
    layer, x = _layer("GRU", {}), _batch()
    with watch(layer) as seen:
        with pytest.raises(UnsupportedError, match=r"\(0 forward passes of 1 recurrent layers\)"):
            gradient_flow(seen)
        with torch.no_grad():
            layer(x)
        with pytest.raises(UnsupportedError, match=r"\(1 forward passes of 1 recurrent layers\)"):
            gradient_flow(seen)
        layer(x).output.values.sum().backward()
    one = gradient_flow(seen)[0]
    with pytest.raises(ShapeError, match="is GRU, which has no c"):
        one.profile("c")
    with pytest.raises(ShapeError, match="'end' or 'start'"):
        one.profile(origin="middle")
    with pytest.raises(ShapeError, match="quantiles must be between 0 and 1"):
        one.profile(quantiles=(0.5, 2))
