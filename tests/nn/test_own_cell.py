"""The worked example of CONTRIBUTING.md: a custom cell is a `CellSpec` and a layer.

It has no native code here, so its step runs in PyTorch; everything that reads the description works.
"""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import InputTypeError, ShapeError
from throughtime.nn.recurrent.layer import LAYERS, Recurrent
from throughtime.ops.recurrent.activations import TANH, Activation, activated
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.weights import OwnParameter, Weights

from .recurrent import leaves


@dataclass(frozen=True, eq=False)
class LeakySpec(CellSpec):
    """h_t = (1 − leak) h_{t−1} + leak · tanh(W x_t + b_ih + U h_{t−1} + b_hh)."""

    activations: tuple[Activation, ...] = (TANH,)
    leak: float = field(default=0.3, kw_only=True)

    kind: ClassVar[str] = "Leaky"
    activation_roles: ClassVar[tuple[str, ...]] = ("the candidate",)

    @property
    def row_blocks(self) -> tuple[str, ...]:
        return ("candidate",)

    def step(self, x: Tensor, state: State, weights: Weights, context: Tensor | None) -> tuple[State, Tensor]:
        total = torch.add(*self._sums(x, state.h, weights, context))
        candidate = activated(self.activations[0], total, self.clip)
        return State((1 - self.leak) * state.h + self.leak * candidate, state.c), candidate[:, None]

    def pre_activations(
        self, from_x: Tensor, before: State, after: State, kept: Mapping[str, Tensor], weights: Weights
    ) -> dict[str, Tensor]:
        del after, kept
        product = torch.nn.functional.linear(before.h, weights.hh, weights.bias_hh)
        return {"candidate": from_x + product}


class Leaky(Recurrent):
    """A layer of `LeakySpec`, with torch's arguments."""

    spec_class = LeakySpec

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, *, leak: float = 0.3, **options: Any
    ) -> None:
        flags = tuple(options.pop(name, default) for name, default in _FLAGS.items())
        spec = self.spec_class(leak=leak)
        super().__init__(spec, "RNN_TANH", (input_size, hidden_size, num_layers), flags, 0.0, **options)


@dataclass(frozen=True, eq=False)
class GainSpec(LeakySpec):
    """The same with h_t = gain ⊙ … + shift, two parameters that no other cell has."""

    kind: ClassVar[str] = "Gain"

    @property
    def own_parameters(self) -> Mapping[str, OwnParameter]:
        return {"weight_gain": OwnParameter(1, initial=1.0), "bias_shift": OwnParameter(1)}

    def step(self, x: Tensor, state: State, weights: Weights, context: Tensor | None) -> tuple[State, Tensor]:
        after, kept = super().step(x, state, weights, context)
        gain, shift = self.own_rows(weights)
        return State(gain * after.h + shift, state.c), kept


class Gain(Leaky):
    """A layer of `GainSpec`."""

    spec_class = GainSpec


_FLAGS = {"bias": True, "batch_first": False, "bidirectional": False}


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """The cells are known as long as a test of them runs: others go over all cells of the package."""
    for layer in (Leaky, Gain):
        CellSpec.register(layer.spec_class)
        LAYERS[layer.spec_class.kind] = layer
    yield
    _forget()


def _forget() -> None:
    for layer in (Leaky, Gain):
        CellSpec.forget(layer.spec_class)
        del LAYERS[layer.spec_class.kind]


_forget()


def _by_hand(layer: Leaky, x: Tensor, h: Tensor) -> Tensor:
    outputs = []
    for token in x:
        total = layer.weight_ih_l0 @ token + layer.bias_ih_l0 + layer.weight_hh_l0 @ h + layer.bias_hh_l0
        h = (1 - layer.spec.leak) * h + layer.spec.leak * torch.tanh(total)
        outputs.append(h)
    return torch.stack(outputs) if outputs else torch.zeros(0, len(h), dtype=x.dtype)


def _layer(**options: Any) -> Leaky:
    torch.manual_seed(0)
    return Leaky(3, 4, leak=0.2, **options).double()


def _batch() -> Ragged:
    torch.manual_seed(1)
    return Ragged.from_list(
        [torch.randn(length, 3, dtype=torch.float64, requires_grad=True) for length in (4, 0, 1, 6)]
    )


def test_it_computes_its_equation_in_outputs_and_gradients() -> None:
    layer, x = _layer(), _batch()
    output, h_n = layer(x)
    weights = [*layer.parameters()]
    expected = [_by_hand(layer, sequence, torch.zeros(4, dtype=torch.float64)) for sequence in x]
    torch.testing.assert_close(output.values, torch.cat(expected))
    torch.testing.assert_close(h_n[0, 3], expected[3][-1])
    torch.testing.assert_close(h_n[0, 1], torch.zeros(4, dtype=torch.float64))
    seed = torch.randn_like(output.values)
    found = torch.autograd.grad(output.values, weights, seed)
    torch.testing.assert_close(found, torch.autograd.grad(torch.cat(expected), weights, seed))


def test_it_streams_traces_and_stacks() -> None:
    layer, x = _layer(num_layers=2), torch.randn(5, 2, 3, dtype=torch.float64)
    state, outputs = None, []
    for x_t in x:
        y_t, state = layer.step(x_t, state)
        outputs.append(y_t)
    torch.testing.assert_close(torch.stack(outputs), layer(x).output)
    trace = _layer(bidirectional=True).trace(_batch(), pre_activations=True)
    for direction in trace.directions[0]:
        before = direction.pre_activations["candidate"].values
        torch.testing.assert_close(direction.candidate.values, torch.tanh(before))
    assert torch.equal(trace[0, 0].h.values, trace.result.output.values[:, :4])


def test_its_name_holds_its_options_and_it_can_be_copied() -> None:
    layer = _layer()
    assert layer.spec.name == 'Leaky{"leak": 0.2}'
    assert CellSpec.parse(layer.spec.name) == layer.spec != LeakySpec()
    again = pickle.loads(pickle.dumps(layer.spec))
    assert again == layer.spec
    assert hash(again) == hash(layer.spec)
    assert repr(layer) == "Leaky(3, 4, leak=0.2)"


def test_gradients_are_bounded_inside_it() -> None:
    layer, x = _layer(), torch.randn(6, 3, dtype=torch.float64)
    h0 = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    layer.bound_gradients(norm=1e-3)
    (gradient,) = torch.autograd.grad(layer(x, h0).output[-1].sum(), h0)
    assert gradient.norm() <= 1e-3 * (1 + 1e-12)
    layer.bound_gradients()
    (free,) = torch.autograd.grad(layer(x, h0).output[-1].sum(), h0)
    assert free.norm() > 1e-2


def test_what_it_does_not_describe_is_refused_by_name() -> None:
    layer = _layer()
    with pytest.raises(ShapeError, match=r"ONNX has no operator for the cell Leaky, only GRU, LSTM, RNN"):
        tt.convert.to_onnx(layer)
    with pytest.raises(ShapeError, match=r"Keras has no layer for the cell Leaky"):
        tt.convert.to_keras(layer)
    with pytest.raises(ShapeError, match=r"torch\.nn has no layer for the cell Leaky"):
        tt.convert.to_torch(layer)
    with pytest.raises(InputTypeError, match=r"chrono_ is for layers with gates"):
        tt.nn.init.chrono_(layer, 10)
    orthogonal = tt.nn.init.orthogonal_(layer).weight_hh_l0.detach()
    torch.testing.assert_close(orthogonal @ orthogonal.T, torch.eye(4, dtype=torch.float64))


def test_its_own_parameters_are_named_begin_and_learn_as_described() -> None:
    torch.manual_seed(0)
    layer = Gain(3, 4, num_layers=2, bidirectional=True).double()
    names = [
        f"{name}_l{k}{suffix}"
        for k in (0, 1)
        for suffix in ("", "_reverse")
        for name in GainSpec().own_parameters
    ]
    assert {name: part.shape for name, part in layer.named_parameters() if name in names} == dict.fromkeys(
        names, (4,)
    )
    assert (layer.weight_gain_l1_reverse == 1).all()
    assert 0 < layer.bias_shift_l0.abs().max() <= 0.5
    layer, x = Gain(3, 4, leak=0.2).double(), torch.randn(5, 3).double()
    with torch.no_grad():
        layer.weight_gain_l0.normal_()
    h, outputs = torch.zeros(4).double(), []
    for token in x:
        h = layer.weight_gain_l0 * _by_hand(layer, token[None], h)[0] + layer.bias_shift_l0
        outputs.append(h)
    expected, weights = torch.stack(outputs), [*layer.parameters()]
    torch.testing.assert_close(layer(x).output, expected)
    seed = torch.randn_like(expected)
    found = torch.autograd.grad(layer(x).output, weights, seed)
    torch.testing.assert_close(found, torch.autograd.grad(expected, weights, seed))
    layer.weight_gain_l0 = torch.nn.Parameter(torch.ones(3).double())
    with pytest.raises(
        ShapeError, match=r"Gain: the parameter weight_gain_l0 has shape \(3,\), expected \(4,\)"
    ):
        layer(x)


def test_lyapunov_exponents_follow_its_step() -> None:
    """Without input and weights a step shrinks the state by 1 − leak."""
    layer = _layer()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    x = torch.zeros(8, 3, dtype=torch.float64)
    with tt.diagnose.watch(layer) as seen:
        loss = sum(leaf.sum() for leaf in leaves(layer(x)))
        loss.backward()
    with pytest.raises(tt.errors.UnsupportedError, match="no backward pass"):
        tt.diagnose.gradient_flow(seen)  # the loop in PyTorch keeps no record
    h = torch.ones(1, 4, dtype=torch.float64, requires_grad=True)
    weights = Weights(layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0, None)
    state, _ = layer.spec.step(x[:1], State(h, h[:, :0]), weights, None)
    (gradient,) = torch.autograd.grad(state.h.sum(), h)
    torch.testing.assert_close(gradient, torch.full_like(gradient, 0.8))
    torch.testing.assert_close(state.h.detach(), torch.full_like(h.detach(), 0.8))
