"""Every case of the contract of sequence layers, on the device as on the CPU: outputs, states and gradients."""

import copy
import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from tests.gpu.compared import computed, leaves, moved, require_same, require_same_on_device, weighted
from tests.gpu.device import CUDA
from tests.nn.case import FEATURES, Case
from tests.nn.contract import CASES
from throughtime import Ragged
from throughtime.errors import NotCausalError
from throughtime.nn.recurrence.trace import RecurrenceTrace
from throughtime.nn.stack import StackTrace

LENGTHS = [9, 0, 12, 7, 30]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
stateful = pytest.mark.parametrize(
    "case", [case for case in CASES if case.stateful], ids=lambda case: case.name
)
precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


def _layer(case: Case, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    # A copy: some cases are made once, and moving a module changes it.
    return copy.deepcopy(case.make()).to(dtype).eval()


def _batch(dtype: torch.dtype = torch.float64, lengths: list[int] = LENGTHS) -> Ragged:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(sum(lengths), FEATURES, generator=generator, dtype=torch.float64)
    return Ragged.from_lengths(values.to(dtype), lengths)


@each_case
@precisions
def test_outputs_and_gradients(case: Case, dtype: torch.dtype) -> None:
    require_same_on_device(_layer(case, dtype), _batch(dtype))


def _drops(layer: nn.Module) -> bool:
    return any(type(module).__name__.endswith("Dropout") and module.p for module in layer.modules())


@pytest.mark.filterwarnings(
    "ignore:ConvBlock. padding is 'causal', but batch normalisation"
)  # ours, of a block
@each_case
def test_in_training(case: Case) -> None:
    """Batch normalisation with the statistics of the batch. Masks of dropout are torch's own on other devices."""
    if _drops(_layer(case)):
        pytest.skip("drops values at random")
    try:
        require_same_on_device(_layer(case).train(), _batch())
    except NotCausalError:
        pytest.skip("a stream is for evaluation")


@pytest.mark.parametrize("layer", [tt.nn.Dropout(0.25), tt.nn.LockedDropout(0.25)], ids=str)
def test_dropout(layer: nn.Module) -> None:
    values = torch.ones(40_000, 2, device=CUDA, requires_grad=True)
    x = Ragged.from_lengths(values, [1] * 39_999 + [0, 1])
    torch.manual_seed(0)
    y = layer(x).values
    (gradient,) = torch.autograd.grad(y.sum(), values)
    assert torch.equal(gradient, y)
    assert sorted(set(y.flatten().tolist())) == [0.0, pytest.approx(4 / 3)]
    assert float((y == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    torch.manual_seed(0)
    assert torch.equal(layer(x).values, y)
    long = layer(Ragged.from_lengths(values, [20_000, 20_000])).values
    assert len(long[:20_000].unique(dim=0)) == (1 if isinstance(layer, tt.nn.LockedDropout) else 4)
    assert layer.eval()(x) is x


@each_case
def test_without_gradients(case: Case) -> None:
    layer, x = _layer(case), _batch()
    with torch.no_grad():
        expected = layer(x)
        require_same(layer.to(CUDA)(x.to(CUDA)), expected, 1e-9)


@each_case
def test_there_and_back(case: Case) -> None:
    layer, x = _layer(case), _batch()
    expected = copy.deepcopy(layer)(x)
    for device in (CUDA, "cpu", CUDA, "cpu"):
        found = layer.to(device)(x.to(device))
    for leaf, right in zip(leaves(found), leaves(expected), strict=True):
        assert torch.equal(leaf, right)


@stateful
def test_a_state_that_is_carried_on(case: Case) -> None:
    state = require_same_on_device(_layer(case), _batch())[1]
    require_same_on_device(
        _layer(case), _batch(lengths=LENGTHS[::-1]), lambda layer, x, s: layer(x, s), state
    )


@stateful
def test_single_steps(case: Case) -> None:
    layer, x_t = _layer(case), torch.randn(5, FEATURES, dtype=torch.float64)
    if not hasattr(layer, "step"):
        pytest.skip("has no step")

    def run(layer: nn.Module, x_t: Tensor) -> Any:
        y, state = layer.step(x_t)
        return y, layer.step(x_t.flip(0), state)

    try:
        require_same_on_device(layer, x_t, run)
    except NotCausalError as error:
        pytest.skip(str(error))


@each_case
def test_reset_flags(case: Case) -> None:
    layer, x = _layer(case), _batch()
    flags = Ragged.from_lengths(torch.arange(sum(LENGTHS)) % 4 == 1, LENGTHS)
    try:
        layer(x, reset=flags)
    except TypeError:
        pytest.skip("takes no reset flags")
    require_same_on_device(layer, x, lambda layer, x, flags: layer(x, reset=flags), flags)


@each_case
def test_a_trace(case: Case) -> None:
    layer, x = _layer(case), _batch()
    if not hasattr(layer, "trace"):
        pytest.skip("has no trace")
    expected, found = _kept(layer.trace(x)), _kept(layer.to(CUDA).trace(x.to(CUDA)))
    require_same(found, expected, 1e-9)


@each_case
def test_gradients_of_every_step(case: Case) -> None:
    """Of the loops of recurrent layers the native one alone records them: they run on the CPU."""
    layer, x = _layer(case), _batch()
    if "gradients" not in inspect.signature(getattr(layer, "trace", _layer)).parameters:
        pytest.skip("has no trace with gradients")
    expected, found = _gradients_of_steps(layer, x), _gradients_of_steps(layer.to(CUDA), x.to(CUDA))
    assert len(expected) > 1
    require_same(found, expected, 1e-9)


def _kept(trace: Any) -> Any:
    if isinstance(trace, RecurrenceTrace):
        return trace.result, trace.states, dict(trace.recorded)
    if isinstance(trace, StackTrace):
        return trace.result, [_kept(layer) for layer in trace.layers if layer is not None]
    return trace.result, [(dict(part.states), dict(part.gates)) for row in trace.directions for part in row]


def _gradients_of_steps(layer: nn.Module, x: Ragged) -> list[Any]:
    trace = layer.trace(x, gradients=True)
    weighted(_kept(trace)).backward()
    if isinstance(trace, RecurrenceTrace):
        return [trace.result, trace.gradients.states, dict(trace.gradients.recorded)]
    parts = [part.gradients for row in trace.directions for part in row]
    return [trace.result, *((part.h, dict(part.pre_activations)) for part in parts)]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("cls", [tt.nn.RNN, tt.nn.LSTM, tt.nn.GRU, tt.nn.MGU, tt.nn.MinGRU, tt.nn.IndRNN])
def test_padded_and_packed_batches(cls: type, batch_first: bool) -> None:
    torch.manual_seed(0)
    layer = cls(FEATURES, 4, batch_first=batch_first).double()
    require_same_on_device(layer, torch.randn(5, 7, FEATURES, dtype=torch.float64))
    x = _batch(lengths=[5, 3, 2])

    def packed(layer: nn.Module, x: Ragged) -> Any:
        return layer(x.to_packed())[0].data

    require_same_on_device(layer, x, packed)


@each_case
@pytest.mark.parametrize("recorded", [True, False])
def test_another_device_than_that_of_the_weights_is_named(case: Case, recorded: bool) -> None:
    x = _batch()
    if not list(_layer(case).parameters()):
        pytest.skip("has no weights")
    for layer, batch in ((_layer(case), x.to(CUDA)), (_layer(case).to(CUDA), x)):
        with torch.set_grad_enabled(recorded), pytest.raises((RuntimeError, TypeError), match=CUDA.type):
            layer(batch)


@stateful
def test_another_device_than_that_of_the_state_is_named(case: Case) -> None:
    x = _batch()
    state = _layer(case)(x)[1]
    with pytest.raises((RuntimeError, TypeError), match=CUDA.type):
        _layer(case)(x, moved(state))
    with pytest.raises((RuntimeError, TypeError), match=CUDA.type):
        _layer(case).to(CUDA)(x.to(CUDA), state)


def test_reproduced_bit_by_bit() -> None:
    """The loops of cuDNN sum in the same order each time."""
    layer = tt.nn.LSTM(FEATURES, 4, num_layers=2, bidirectional=True).to(CUDA)
    x = _batch(torch.float32).to(CUDA)
    first, again = (computed(layer, x, lambda layer, x: layer(x).output.values) for _ in range(2))
    for one, other in zip(leaves(first), leaves(again), strict=True):
        assert torch.equal(one, other)
