"""Calls of a traced `Recurrence`: what may change between two calls, and tensors of unusual memory."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime.nn.recurrence import recurrence
from throughtime.ops.program.tracing.token_products import FEW_TOKENS

LENGTHS = [4, 0, 2]


class Step(nn.Module):
    """A cell of two states."""

    def __init__(self) -> None:
        super().__init__()
        self.of_x, self.of_h = nn.Linear(3, 10), nn.Linear(5, 10, bias=False)
        self.scale = 1.0

    def forward(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        h, c = state
        gate, candidate = (self.of_x(x) + self.of_h(h)).chunk(2, 1)
        c = torch.sigmoid(gate) * c + self.scale * torch.tanh(candidate)
        return torch.tanh(c), c


def first(state: tuple[Tensor, Tensor]) -> Tensor:
    return state[0]


def layer_of(**options: Any) -> tt.nn.Recurrence:
    torch.manual_seed(0)
    return tt.nn.Recurrence(Step(), first, state=options.pop("state", (5, 5)), **options).double()


def ragged(lengths: list[int] = LENGTHS) -> tt.Ragged:
    torch.manual_seed(1)
    return tt.Ragged.from_list([torch.randn(count, 3, dtype=torch.float64) for count in lengths])


def values(layer: tt.nn.Recurrence, x: Any, state: Any = None) -> list[Tensor]:
    """Return output, state and gradients."""
    result = layer(x, state)
    output = result.output.values if isinstance(result.output, tt.Ragged) else result.output
    total = output.square().sum() + sum(part.sum() for part in result.state)
    gradients = torch.autograd.grad(total, list(layer.parameters()))
    return [output, *result.state, *gradients]


def in_python(layer: tt.nn.Recurrence, x: Any, state: Any = None) -> list[Tensor]:
    layer.native = "never"
    try:
        return values(layer, x, state)
    finally:
        layer.native = "auto"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether calls went straight to the native program, one after the other."""
    taken: list[bool] = []
    real: Callable[..., Any] = recurrence.quick_states

    def counted(*arguments: Any) -> Any:
        result = real(*arguments)
        taken.append(result is not None)
        return result

    monkeypatch.setattr(recurrence, "quick_states", counted)
    return taken


INPUTS: dict[str, Callable[[], Any]] = {
    "ragged": ragged,
    "empty": lambda: ragged([0, 0]),
    "many tokens": lambda: ragged([FEW_TOKENS, 1]),
    "dense": lambda: torch.randn(4, 2, 3, dtype=torch.float64),
    "strided": lambda: torch.randn(4, 2, 6, dtype=torch.float64)[..., ::2],
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_second_call_has_the_bits_of_the_first(name: str, batch_first: bool, quick: list[bool]) -> None:
    layer, x = layer_of(batch_first=batch_first), INPUTS[name]()
    torch.testing.assert_close(values(layer, x), values(layer, x), rtol=0, atol=0)
    assert quick == [False, True]
    torch.testing.assert_close(values(layer, x), in_python(layer, x), rtol=1e-10, atol=1e-10)


def test_states_of_any_memory_and_learned_ones(quick: list[bool]) -> None:
    wide = torch.randn(3, 20, dtype=torch.float64)
    states = wide[:, :5], torch.randn(5, 3, dtype=torch.float64).T
    layer, x = layer_of(), ragged()
    expected = in_python(layer, x, states)
    for _ in range(2):
        torch.testing.assert_close(values(layer, x, states), expected, rtol=1e-10, atol=1e-10)
    learned = layer_of(state=tuple(nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2)))
    expected = in_python(learned, x)
    for _ in range(2):
        torch.testing.assert_close(values(learned, x), expected, rtol=1e-10, atol=1e-10)
    assert quick.count(True) == 2


def test_the_state_of_a_call_must_fit_as_in_the_first() -> None:
    layer, x = layer_of(), ragged()
    layer(x)
    with pytest.raises(tt.errors.ShapeError, match="part 1 of the state has shape"):
        layer(x, (torch.zeros(3, 5).double(), torch.zeros(2, 5).double()))
    with pytest.raises(tt.errors.InputTypeError, match="the state is"):
        layer(x, torch.zeros(3, 5).double())


def _replaced(step: Step) -> None:
    step.of_h.weight = nn.Parameter(step.of_h.weight.detach() * 0.5)


def _in_place(step: Step) -> None:
    with torch.no_grad():
        step.of_x.bias += 1
    step.of_h.weight.data *= 0.5


def _attribute(step: Step) -> None:
    step.scale = 0.5


def _hook(step: Step) -> None:
    step.of_h.register_forward_hook(lambda _, __, result: result * 0.5)


@pytest.mark.parametrize("change", [_replaced, _in_place, _attribute, _hook])
def test_what_f_reads_may_change_between_calls(change: Callable[[Step], None], quick: list[bool]) -> None:
    layer, x = layer_of(), ragged()
    before = [values(layer, x) for _ in range(2)][1]
    change(layer.f)
    after = values(layer, x)
    torch.testing.assert_close(after, in_python(layer, x), rtol=1e-10, atol=1e-10)
    assert not torch.equal(before[0], after[0])
    torch.testing.assert_close(values(layer, x), after, rtol=0, atol=0)
    assert quick[1]
    assert quick[-1]


def test_frozen_parameters_and_no_grad(quick: list[bool]) -> None:
    layer, x = layer_of(), ragged()
    expected = values(layer, x)
    layer(x)
    layer.f.of_h.weight.requires_grad_(False)
    layer(x).output.values.square().sum().backward()
    assert layer.f.of_h.weight.grad is None
    assert layer.f.of_x.weight.grad is not None
    for _ in range(2):
        with torch.no_grad():
            output = layer(x).output
        assert not output.requires_grad
        assert torch.equal(output.values, expected[0])
    assert quick == [False, True, True, False, True]


def test_modes_and_transforms_take_the_general_path(quick: list[bool]) -> None:
    layer, x = layer_of(), torch.randn(4, 2, 3, dtype=torch.float64)
    y = layer(x).output
    layer(x)
    mapped = torch.vmap(lambda part: layer(part[:, None]).output[:, 0], 1, 1)(x)
    torch.testing.assert_close(mapped, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(x)
    assert quick == [False, True]


def test_second_derivatives_of_a_second_call(quick: list[bool]) -> None:
    layer, x = layer_of(), torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    layer(x)
    assert torch.autograd.gradgradcheck(lambda part: layer(part).output, x)
    assert quick.count(False) == 1


def test_bounds_of_gradients_set_between_calls() -> None:
    layer, x = layer_of(), ragged()
    layer(x)
    layer.bound_gradients(norm=0.01)
    for _ in range(2):
        torch.testing.assert_close(values(layer, x), in_python(layer, x), rtol=1e-10, atol=1e-10)
