"""`run_program`: derivatives of higher order, dispatch paths, dtypes, copies, errors."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.program import graphs
from tests.ops.program.graphs import Call, call_of
from throughtime.errors import InputTypeError, ShapeError
from throughtime.ops.program import autograd
from throughtime.ops.program.inputs import Inputs
from throughtime.ops.program.layer import run_program
from throughtime.ops.program.reference import run_reference

LENGTHS = [2, 0, 3]
CELLS = {
    "lstm": graphs.lstm(2),
    "gru, reset before": graphs.gru_reset_before(2),
    "attention": graphs.attention(2, 3),
}
each_cell = pytest.mark.parametrize("name", CELLS)


def rebuilt(call: Call, tensors: tuple[Tensor, ...]) -> tuple[Inputs, list[Tensor]]:
    """Return other tensors in the places of those of a call."""
    left = iter(tensors)
    *inputs, states = ([next(left) for _ in group] for group in (*call.inputs, call.states))
    return Inputs(*map(tuple, inputs)), states


def function_of(call: Call) -> Callable[..., tuple[Tensor, ...]]:
    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        results = run_program(call.graph, *rebuilt(call, tensors), call.steps)
        return tuple(part for group in results for part in group if part is not None)

    return run


@each_cell
def test_derivatives_of_first_and_second_order(name: str) -> None:
    torch.manual_seed(0)
    call = call_of(CELLS[name], LENGTHS)
    assert torch.autograd.gradcheck(function_of(call), call.tensors(), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function_of(call), call.tensors())


def test_a_training_step_is_native(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the reference ran")

    monkeypatch.setattr(autograd, "run_reference", refuse)
    call = call_of(graphs.lstm(2), LENGTHS)
    torch.autograd.grad(function_of(call)(*call.tensors())[0].sum(), call.tensors())


@each_cell
def test_per_sample_gradients(name: str) -> None:
    torch.manual_seed(0)
    call = call_of(CELLS[name], LENGTHS)
    tensors = tuple(part.detach() for part in call.tensors())

    def loss(tokens: Tensor, *others: Tensor) -> Tensor:
        return sum((part.sin().sum() for part in function_of(call)(tokens, *others)), tokens.new_zeros(()))

    numbers = tuple(range(len(tensors)))
    many = torch.stack([tensors[0], tensors[0] * 2])
    gradient = torch.func.grad(loss, numbers)
    found = torch.func.vmap(gradient, (0, *(None,) * (len(tensors) - 1)))(many, *tensors[1:])
    for place, tokens in enumerate(many):
        copies = [part.detach().requires_grad_() for part in (tokens, *tensors[1:])]
        expected = torch.autograd.grad(loss(*copies), copies)
        torch.testing.assert_close([part[place] for part in found], list(expected))


# Torch's own, at the first forward-mode derivative.
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@each_cell
def test_forward_mode(name: str) -> None:
    call = call_of(CELLS[name], LENGTHS)
    tensors = tuple(part.detach() for part in call.tensors())
    tangents = tuple(part.cos() for part in tensors)
    found = torch.func.jvp(function_of(call), tensors, tangents)[1]
    expected = torch.autograd.functional.jvp(function_of(call), tensors, tangents)[1]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    call = call_of(CELLS["lstm"], LENGTHS, dtype=dtype)
    wide = tuple(part.detach().float() for part in call.tensors())
    found, expected = function_of(call)(*call.tensors()), function_of(call)(*wide)
    torch.testing.assert_close(found, tuple(part.to(dtype) for part in expected), rtol=0, atol=0)
    gradients = torch.autograd.grad(found[0].sum(), call.tensors(), allow_unused=True)
    assert [part.dtype for part in gradients if part is not None] == [dtype] * 4


def test_under_autocast_a_state_keeps_its_dtype() -> None:
    call = call_of(CELLS["lstm"], LENGTHS, dtype=torch.float32)
    inputs = call.inputs._replace(tokens=(call.inputs.tokens[0].bfloat16(),))
    results = run_program(call.graph, inputs, [call.states[0], None], call.steps)
    assert [part.dtype for part in results.final] == [torch.float32, torch.float32]
    expected = run_reference(
        call.graph, inputs._replace(tokens=(inputs.tokens[0].float(),)), [call.states[0], None], call.steps
    )
    torch.testing.assert_close(results.final, expected.final)


@pytest.mark.parametrize("second_order", [False, True])
def test_autocast_changes_nothing(*, second_order: bool) -> None:
    call = call_of(CELLS["lstm"], LENGTHS, dtype=torch.float32)
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results = function_of(call)(*call.tensors())
            loss = sum((part.sin().sum() for part in results), torch.zeros(()))
            found.append(torch.autograd.grad(loss, call.tensors(), create_graph=second_order))
    torch.testing.assert_close(*found)


@each_cell
def test_float32_is_as_exact_as_the_reference(name: str) -> None:
    torch.manual_seed(1)
    call = call_of(CELLS[name], [40, 0, 3], dtype=torch.float32)
    exact = function_of(call)(*(part.detach().double() for part in call.tensors()))
    of_torch = run_reference(call.graph, call.inputs, call.states, call.steps)
    others = [part for group in of_torch for part in group if part is not None]
    for found, other, right in zip(function_of(call)(*call.tensors()), others, exact, strict=True):
        assert (found - right).abs().max() <= 2 * (other - right).abs().max() + 1e-7


@each_cell
def test_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads(name: str) -> None:
    torch.manual_seed(1)
    lengths = [3, 17, 1, 8, 9]
    call = call_of(CELLS[name], lengths, dtype=torch.float32)
    whole = run_program(call.graph, call.inputs, call.states, call.steps)
    torch.set_num_threads(2)
    threads = run_program(call.graph, call.inputs, call.states, call.steps)
    torch.set_num_threads(1)
    torch.testing.assert_close(threads, whole, rtol=0, atol=0)
    begin = 0
    for number, length in enumerate(lengths):
        alone = call.inputs._replace(
            tokens=tuple(part[begin : begin + length] for part in call.inputs.tokens),
            sequences=tuple(part[number : number + 1] for part in call.inputs.sequences),
        )
        states = [None if part is None else part[number : number + 1] for part in call.states]
        found = run_program(call.graph, alone, states, graphs.steps_of("ragged", [length]))
        for state, other in zip(found.states, whole.states, strict=True):
            assert state is not None
            assert other is not None
            torch.testing.assert_close(state, other[begin : begin + length], rtol=0, atol=0)
        begin += length


def test_tensors_need_not_be_contiguous() -> None:
    call = call_of(CELLS["attention"], LENGTHS)
    strided = tuple(
        part.detach().repeat_interleave(2, -1)[..., ::2].requires_grad_() for part in call.tensors()
    )
    assert not all(part.is_contiguous() for part in strided)
    results = [function_of(call)(*tensors) for tensors in (tuple(call.tensors()), strided)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(
        torch.autograd.grad(results[0][0].sum(), call.tensors(), allow_unused=True),
        torch.autograd.grad(results[1][0].sum(), strided, allow_unused=True),
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda graph: pickle.loads(pickle.dumps(graph))])
def test_a_graph_that_ran_can_be_copied(copied: Callable[[Any], Any]) -> None:
    call = call_of(graphs.lstm(2), LENGTHS)
    function_of(call)(*call.tensors())[0].sum().backward()
    other = Call(copied(call.graph), call.inputs, call.states, call.steps)
    assert other.graph == call.graph
    torch.testing.assert_close(function_of(other)(*call.tensors()), function_of(call)(*call.tensors()))


def test_no_gradient_of_what_needs_none() -> None:
    call = call_of(graphs.lstm(2), LENGTHS)
    call.inputs.tokens[0].requires_grad_(False)
    matrix = call.inputs.matrices[0]
    results = run_program(call.graph, call.inputs, [None, None], call.steps)
    results.final[0].sum().backward()
    assert matrix.grad is not None
    assert call.inputs.tokens[0].grad is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tokens": (torch.ones(5, 7),)}, ShapeError, r"tokens\[0\] .* shape \(5, 7\), expected \(5, 8\)"),
        ({"tokens": ()}, ShapeError, r"reads tokens\[0\]"),
        ({"matrices": (torch.ones(2, 8),)}, ShapeError, r"matrices\[0\] .* \(2, 8\), expected \(8, 2\)"),
        ({"matrices": (torch.ones(8, 2).double(),)}, InputTypeError, "torch.float32, torch.float64"),
    ],
)
def test_errors_of_inputs(change: dict[str, Any], error: type[Exception], message: str) -> None:
    call = call_of(CELLS["lstm"], LENGTHS, dtype=torch.float32)
    with pytest.raises(error, match=message):
        run_program(call.graph, call.inputs._replace(**change), call.states, call.steps)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ([None], "has 2 states, got 1"),
        ([torch.ones(2, 2), None], r"states\[0\] .* \(2, 2\), expected \(3, 2\)"),
    ],
)
def test_errors_of_states(states: list[Any], message: str) -> None:
    call = call_of(CELLS["lstm"], LENGTHS, dtype=torch.float32)
    with pytest.raises(ShapeError, match=message):
        run_program(call.graph, call.inputs, states, call.steps)
