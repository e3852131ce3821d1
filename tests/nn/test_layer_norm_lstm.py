"""`LayerNormLSTM` against torch's LayerNorm and LSTM; equations and gradients of every option are in test_variants."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged, _native
from throughtime.errors import ShapeError
from throughtime.ops.recurrent.native import native_cell

OWN = ("weight_norm_ih_l0", "weight_norm_hh_l0", "weight_norm_c_l0", "bias_norm_c_l0")


def _layer(**options: object) -> tt.nn.LayerNormLSTM:
    torch.manual_seed(0)
    layer = tt.nn.LayerNormLSTM(3, 5, **options).double()
    with torch.no_grad():
        for name in OWN:
            getattr(layer, name).normal_()
    return layer


def _by_torch(layer: tt.nn.LayerNormLSTM, x: Tensor, eps: float) -> Tensor:
    """A step as users write it: torch's LayerNorm over all four gates at once."""
    norms = [nn.LayerNorm(size, eps).double() for size in (20, 20, 5)]
    with torch.no_grad():
        for norm, name in zip(norms, OWN, strict=False):
            norm.weight.copy_(getattr(layer, name))
        norms[0].bias.copy_(layer.bias_ih_l0)
        norms[1].bias.copy_(layer.bias_hh_l0)
        norms[2].bias.copy_(layer.bias_norm_c_l0)
    h, c, outputs = torch.zeros(len(x), 5).double(), torch.zeros(len(x), 5).double(), []
    for token in x.unbind(1):
        total = norms[0](token @ layer.weight_ih_l0.t()) + norms[1](h @ layer.weight_hh_l0.t())
        i, f, g, o = total.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * norms[2](c).tanh()
        outputs.append(h)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("eps", [1e-5, 0.1])
@torch.no_grad()
def test_statistics_are_those_of_all_gates_as_of_torchs_layer_norm(eps: float) -> None:
    layer, x = _layer(eps=eps, batch_first=True), torch.randn(4, 7, 3).double()
    torch.testing.assert_close(layer(x).output, _by_torch(layer, x, eps))


@torch.no_grad()
def test_scale_and_shift_of_a_product_change_nothing() -> None:
    """LN(s a + t) = LN(a) but for eps, so the scale of the weights does not matter."""
    layer, x = _layer(eps=1e-12), torch.randn(9, 3).double()
    before = layer(x).output
    layer.weight_ih_l0.mul_(3.0)
    layer.weight_hh_l0.mul_(0.5)
    layer.weight_ih_l0.add_(torch.randn(3).double())  # the same for all rows
    torch.testing.assert_close(layer(x).output, before, rtol=1e-6, atol=1e-7)


def test_own_parameters_begin_as_ones_and_zeros_and_do_so_again() -> None:
    layer = tt.nn.LayerNormLSTM(3, 5)
    assert [getattr(layer, name).shape for name in OWN] == [(20,), (20,), (5,), (5,)]
    for _ in range(2):
        assert [getattr(layer, name).unique().tolist() for name in OWN] == [[1.0], [1.0], [1.0], [0.0]]
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.fill_(7.0)
        layer.reset_parameters()
    assert not (layer.weight_hh_l0 == 7).any()


def test_copies_compute_the_same_and_plans_are_their_own() -> None:
    layer, x = (
        _layer(num_layers=2, bidirectional=True),
        Ragged.from_lengths(torch.randn(7, 3).double(), [4, 3]),
    )
    right = layer(x).output.values
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x).output.values, right)
        assert other.weight_plan is not layer.weight_plan
        with torch.no_grad():
            assert torch.equal(other(x).output.values, right)
        other.weight_norm_c_l1_reverse = nn.Parameter(torch.ones(4).double())
        with pytest.raises(ShapeError, match=r"weight_norm_c_l1_reverse has shape \(4,\), expected \(5,\)"):
            other(x)


def test_parameters_of_any_origin_are_joined() -> None:
    """Frozen, parametrized, or given by functional_call, with the gradients that belong to each."""
    layer, x = _layer(), torch.randn(6, 3).double()
    layer.weight_norm_hh_l0.requires_grad_(False)
    right = torch.autograd.grad(layer(x).output.sum(), layer.weight_norm_ih_l0)[0]
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    given = {"weight_norm_ih_l0": layer.weight_norm_ih_l0.detach().clone().requires_grad_()}
    output = torch.func.functional_call(layer, given, (x,)).output
    found = torch.autograd.grad(output.sum(), given["weight_norm_ih_l0"])[0]
    torch.testing.assert_close(found, right)
    layer(x).output.sum().backward()
    assert layer.weight_norm_hh_l0.grad is None
    assert layer.parametrizations.weight_hh_l0.original0.grad.any()


def test_it_is_refused_by_name_where_there_is_no_such_cell() -> None:
    layer = _layer()
    with pytest.raises(ShapeError, match=r"ONNX has no operator for the cell LayerNormLSTM"):
        tt.convert.to_onnx(layer)
    with pytest.raises(ShapeError, match=r"Keras has no layer for the cell LayerNormLSTM"):
        tt.convert.to_keras(layer)
    with pytest.raises(ShapeError, match=r"torch\.nn has no layer for the cell LayerNormLSTM"):
        tt.convert.to_torch(layer)
    with pytest.raises(ShapeError, match="eps must be finite and above 0, got 0"):
        tt.nn.LayerNormLSTM(3, 5, eps=0)


def test_native_code_reads_as_many_rows_as_the_kernel_has() -> None:
    given = {"clip": 1.0, "cell_clip": 1.0, "update_new": False, "epsilon": 1e-5}
    given |= {
        "gradient_value": 1.0,
        "gradient_norm": 1.0,
        "bfloat16": False,
        "activations": [("tanh", 0.0, 0.0)],
    }
    assert native_cell(tt.nn.LayerNormLSTM(3, 5).spec).saved == 12
    for kernel, rows in (("layer_norm_lstm", [4, 4, 1]), ("layer_norm_lstm", []), ("lstm_general", [2])):
        with pytest.raises(ValueError, match=f"the kernel {kernel} reads .* rows of its own parameters"):
            _native.RecurrentCell(kernel=kernel, own_rows=rows, **given)
