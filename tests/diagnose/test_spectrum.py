"""Spectra and Lyapunov exponents: on matrices with known values, and against Jacobians by autograd."""

import math

import pytest
import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged
from throughtime.diagnose import gradient_flow, lyapunov_exponents, spectrum, watch
from throughtime.errors import ShapeError, UnsupportedError

from ..nn.recurrent import VARIANTS, name_of


def _linear_rnn(matrix: torch.Tensor) -> tt.nn.RNN:
    layer = tt.nn.RNN(1, len(matrix), nonlinearity="affine", bias=False).double()
    with torch.no_grad():
        layer.weight_hh_l0.copy_(matrix)
    return layer


def test_eigenvalues_and_singular_values_of_a_known_matrix() -> None:
    # A shear: both eigenvalues 0.5, though a step may stretch by more than 2.
    found = spectrum(_linear_rnn(torch.tensor([[0.5, 2.0], [0.0, 0.5]])))[0]
    assert found.block == "h"
    assert found.spectral_radius == pytest.approx(0.5)
    # σ₁² and σ₂² solve s² − (0.25 + 4 + 0.25) s + det² = 0.
    middle, root = 2.25, math.sqrt(2.25**2 - 0.0625)
    assert found.norm == pytest.approx(math.sqrt(middle + root))
    assert found.condition_number == pytest.approx(math.sqrt((middle + root) / (middle - root)))
    assert found.eigenvalue_ratio == pytest.approx(1.0)
    # Growth in passing: Wⁿ = [[0.5ⁿ, 2n 0.5ⁿ⁻¹], [0, 0.5ⁿ]], so ‖(Wᵀ)ⁿ e₁‖ is known.
    prediction = found.prediction(torch.tensor([1.0, 0.0]), 20)
    expected = [math.hypot(0.5**n, 2 * n * 0.5 ** (n - 1) if n else 0.0) for n in range(21)]
    torch.testing.assert_close(prediction, torch.tensor(expected, dtype=torch.float64))
    assert prediction[1] > 2 > prediction[20]


def test_every_gate_layer_and_direction_has_a_block() -> None:
    layer = tt.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    found = spectrum(nn.ModuleDict({"a": layer, "b": tt.nn.GRU(3, 4), "c": tt.nn.LSTM(3, 4, coupled=True)}))
    assert [one.block for one in found[:4]] == ["input", "forget", "candidate", "output"]
    assert {(one.layer, one.direction) for one in found if one.name == "a"} == {
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    }
    assert [one.block for one in found if one.name == "b"] == ["reset", "update", "candidate"]
    assert [one.block for one in found if one.name == "c"] == ["input", "candidate", "output"]
    third = next(one for one in found if (one.layer, one.direction, one.block) == (1, 1, "candidate"))
    matrix = layer.weight_hh_l1_reverse[8:12].detach().double()
    assert torch.equal(third.matrix, matrix)
    sizes = third.eigenvalues.abs()
    assert bool((sizes.diff() <= 1e-12).all())
    torch.testing.assert_close(third.eigenvalues.prod().real, torch.linalg.det(matrix))
    torch.testing.assert_close(third.singular_values.square().sum(), matrix.square().sum())


def test_blocks_of_cells_are_those_of_their_weights() -> None:
    torch.manual_seed(0)
    cells = nn.ModuleDict(
        {
            "li": tt.nn.LiGRU(3, 4, num_layers=2),
            "ind": tt.nn.IndRNN(3, 4, bound=0.3),
            "slstm": tt.nn.SLSTM(3, 4, num_heads=2, bidirectional=True),
            "highway": tt.nn.RecurrentHighway(3, 4, depth=2, coupled=False),
            "torch": tt.nn.Recurrence(nn.LSTMCell(3, 4)),
            "zoneout": tt.nn.Recurrence(tt.nn.Zoneout(nn.GRUCell(3, 4), 0.1)),
        }
    )
    found = {(block.name, block.layer, block.direction, block.block): block for block in spectrum(cells)}
    weight = cells["li"].recurrences["l1"].f.weight_hh
    assert torch.equal(found["li", 1, 0, "candidate"].matrix, weight[4:].double())
    u = cells["ind"].recurrences["l0"].f.weight_hh.clamp(-0.3, 0.3).double()
    assert torch.equal(found["ind", 0, 0, "h"].eigenvalues.real, u[u.abs().argsort(descending=True)])
    heads = cells["slstm"].recurrences["l0_reverse"].f.weight_hh.double()
    forget = torch.cat([torch.linalg.eigvals(head[2:4]) for head in heads])
    block = found["slstm", 0, 1, "forget"]
    torch.testing.assert_close(block.eigenvalues.abs().sort().values, forget.abs().sort().values)
    weight = cells["highway"].recurrences["l0"].f.weight_hh
    assert torch.equal(found["highway", 0, 0, "carry_2"].matrix, weight[1, 8:].double())
    assert torch.equal(found["torch", 0, 0, "output"].matrix, cells["torch"].f.weight_hh[12:].double())
    assert torch.equal(
        found["zoneout", 0, 0, "reset"].matrix, cells["zoneout"].f.cell.cell.weight_hh[:4].double()
    )
    with pytest.raises(UnsupportedError, match=r"give spectrum a recording of watch\(model\)"):
        spectrum(tt.nn.Recurrence(lambda h, x: torch.tanh(h + x), state=2))


def test_jacobians_of_a_recording_are_the_weights_of_a_linear_rnn() -> None:
    layer = _linear_rnn(torch.tensor([[0.5, 2.0], [0.0, 0.5]]))
    with watch(nn.ModuleDict({"a": layer})) as seen:
        layer(Ragged.from_lengths(torch.randn(9, 1).double(), [3, 6])).output.values.sum().backward()
    for step in (0, 5, -1, -6):
        (block,) = spectrum(seen, step=step)
        assert (block.name, block.layer, block.direction, block.block) == ("a", 0, 0, "Jacobian")
        assert torch.equal(block.matrix, layer.weight_hh_l0)


@pytest.mark.parametrize("kind", [tt.nn.MinGRU, tt.nn.MinLSTM, tt.nn.QRNN, tt.nn.SRU])
def test_eigenvalues_of_scan_layers_are_their_gates(kind: type) -> None:
    torch.manual_seed(0)
    layer, x = kind(3, 4, num_layers=2, bidirectional=True).double(), torch.randn(6, 3).double()
    with watch(layer) as seen:
        layer(x).output.sum().backward()
    found, states = spectrum(seen, step=1), layer.trace(x).states
    assert [(block.layer, block.direction) for block in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for block in found:
        gates = states[block.layer, block.direction]
        factors = (1 - gates["update"].values if "update" in gates else gates["forget"].values).detach()
        read = factors[4 if block.direction else 1]
        assert torch.equal(block.eigenvalues.real, read.sort(descending=True).values)
        assert not block.eigenvalues.imag.any()
        assert torch.equal(block.matrix, torch.diag(read))


def test_of_a_linear_rnn_the_prediction_is_what_is_measured() -> None:
    torch.manual_seed(0)
    layer = _linear_rnn(torch.randn(6, 6) * 0.35)
    with watch(layer, whole=True) as seen:
        layer(torch.randn(40, 1).double()).output[-1].square().sum().backward()
    measured = gradient_flow(seen)[0].profile("h").mean
    run = seen.directions()[0]
    last = run.state_gradients["h"][-1]
    torch.testing.assert_close(spectrum(layer)[0].prediction(last, 39), measured)


def test_a_large_condition_number_does_not_keep_gradients_from_vanishing() -> None:
    layer = _linear_rnn(torch.diag(torch.tensor([0.9, 9e-7])))
    with watch(layer) as seen:
        layer(torch.randn(101, 1).double()).output[-1].sum().backward()
    measured = gradient_flow(seen)[0].profile("h").mean
    assert spectrum(layer)[0].condition_number == pytest.approx(1e6, rel=1e-5)
    assert measured[100] < 1e-4 * measured[0]


@pytest.mark.parametrize(
    ("name", "options"), [*VARIANTS, ("LSTM", {}), ("GRU", {}), ("RNN", {})], ids=name_of
)
def test_exponents_are_those_of_the_product_of_jacobians(name: str, options: dict) -> None:
    """Of a short sequence: Σ of all exponents · T = ln abs(det of the product), by autograd's own Jacobians."""
    torch.manual_seed(1)
    layer = getattr(tt.nn, name)(3, 4, **{**options, **({"proj_size": 0} if "LSTM" in name else {})}).double()
    layer.bound_gradients()
    x = torch.randn(5, 3).double()
    with watch(layer) as seen:
        layer(x).output.sum().backward()
    found = lyapunov_exponents(seen, count=8)[0]
    size = 8 if layer.spec.has_c else 4
    assert found.exponents.shape == (size,)

    def step(state: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        given = (state[None, :4], state[None, 4:]) if layer.spec.has_c else state[None]
        result = layer(token[None], given).state
        return torch.cat(result, 1)[0] if layer.spec.has_c else result[0]

    state, total = torch.zeros(size).double(), torch.zeros(()).double()
    for token in x:
        jacobian = torch.autograd.functional.jacobian(lambda s, token=token: step(s, token), state)
        total += torch.linalg.slogdet(jacobian)[1]
        state = step(state, token).detach()
    if total > 10 * math.log(torch.finfo(torch.float64).eps):
        torch.testing.assert_close(found.exponents.sum() * 5, total, rtol=1e-6, atol=1e-6)
    else:
        # A unit beyond its bound has no slope, and a normalisation none along its mean and scale: rounding is all
        # that is left of those directions.
        assert found.exponents[-1] < -5


def test_exponents_of_known_systems() -> None:
    rotation = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    for scale in (0.8, 1.0, 1.25):
        layer = _linear_rnn(scale * rotation)
        with watch(layer) as seen:
            layer(torch.randn(30, 1).double()).output.sum().backward()
        found = lyapunov_exponents(seen)[0]
        torch.testing.assert_close(
            found.exponents, torch.full((2,), math.log(scale)).double(), rtol=1e-6, atol=1e-6
        )
        expected = math.log(0.01) / math.log(scale) if scale < 1 else math.inf
        assert found.horizon == pytest.approx(expected, rel=1e-4) or scale == 1.0
    layer = _linear_rnn(torch.diag(torch.tensor([0.9, 0.5, 0.1])))
    x = Ragged.from_lengths(torch.randn(270, 1).double(), [200, 0, 1, 69])
    with watch(layer) as seen:
        layer(x).output.values.sum().backward()
    found = lyapunov_exponents(seen, count=2)[0]
    assert found.steps.tolist() == [200, 69]
    torch.testing.assert_close(found.exponents, torch.tensor([0.9, 0.5]).double().log(), rtol=0.02, atol=0.02)


def test_what_has_no_spectrum_is_named() -> None:
    for model in (nn.Linear(2, 2), tt.nn.LSTM(3, 4, proj_size=2)):
        with pytest.raises(UnsupportedError, match="square W_hh"):
            spectrum(model)
    layer = tt.nn.RNN(1, 2)
    with watch(layer) as seen:
        layer(Ragged.from_lengths(torch.randn(2, 1), [0, 2])).output.values.sum().backward()
    with pytest.raises(ShapeError, match="the longest sequence has 2 steps, so there is no step 2"):
        spectrum(seen, step=2)
    with pytest.raises(ShapeError, match=r"\(n, H\) with H = 2, got \(3,\)"):
        spectrum(layer)[0].prediction(torch.ones(3), 4)
    with watch(layer) as seen:
        layer(Ragged.from_lengths(torch.randn(2, 1), [1, 1])).output.values.sum().backward()
    with pytest.raises(ShapeError, match="no sequence has two steps"):
        lyapunov_exponents(seen)
    with pytest.raises(ShapeError, match="at least 1"):
        lyapunov_exponents(seen, count=0)
