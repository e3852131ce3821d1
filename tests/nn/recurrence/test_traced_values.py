"""Traced transitions against the transitions themselves: states after every step, and all gradients."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tests.nn.recurrence.evaluator import loop, run
from tests.nn.recurrence.transitions import CASES, Case
from throughtime.ops.program.layer import run_program
from throughtime.ops.program.reference import run_reference
from throughtime.ops.program.tracing.cache import StepTracer
from throughtime.ops.program.tracing.token_products import FEWEST_ROWS, MOST_BYTES
from throughtime.ops.program.tracing.walk import Walk

if TYPE_CHECKING:
    from throughtime.ops.program.tracing.step import TracedStep

LENGTH, N = 4, 3


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(part, int) for part in value)


def _drawn(shapes: Any, rows: int) -> Any:
    def draw(shape: tuple[int, ...]) -> Tensor:
        return (torch.randn(rows, *shape) * 0.7).requires_grad_()

    return pytree.tree_map(draw, shapes, is_leaf=_is_shape)


def _parameters(f: Any) -> list[Tensor]:
    tensors = {id(value): value for _, value in Walk(f).entries if isinstance(value, Tensor)}
    return [value for value in tensors.values() if value.requires_grad]


@functools.cache
def _traced(name: str) -> tuple[Case, TracedStep, Any, Any]:
    torch.manual_seed(len(name))
    case = CASES[name]()
    state, tokens = _drawn(case.state, N), _drawn(case.token, LENGTH * N)
    step = StepTracer(case.f).step(state, pytree.tree_map(lambda leaf: leaf[:N], tokens))
    return case, step, state, tokens


def _gradients(states: list[Any], wanted: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    leaves = [leaf for leaf in pytree.tree_leaves(states) if leaf.requires_grad]
    total = sum((leaf * torch.randn(leaf.shape)).sum() for leaf in leaves)
    return list(torch.autograd.grad(total, wanted, allow_unused=True, materialize_grads=True))


@pytest.fixture(autouse=True)
def _double() -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("runner", [run_reference, run_program])
@pytest.mark.parametrize("name", CASES)
def test_states_and_gradients(name: str, runner: Any) -> None:
    case, step, state, tokens = _traced(name)
    expected, actual = loop(case.f, state, tokens, LENGTH), run(step, state, tokens, LENGTH, runner)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    wanted = [*pytree.tree_leaves(state), *pytree.tree_leaves(tokens), *_parameters(case.f)]
    # torch's gradient of hardsigmoid has 1/6 in float32.
    tolerance = 1e-7 if name == "hardsigmoid" else 1e-9
    for a, b in zip(_gradients(actual, wanted), _gradients(expected, wanted), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance / 100)


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_depend_on_the_state_is_not_in_the_graph(name: str) -> None:
    case, step, _, _ = _traced(name)
    counts = Counter(node.operator for node in step.graph.nodes)
    assert case.products in {None, counts["product"]}
    assert case.tokens in {None, counts["token"]}


@pytest.mark.parametrize("name", CASES)
def test_the_form_for_many_rows_has_the_same_bits(name: str) -> None:
    case, step, state, tokens = _traced(name)
    forms = step, step.for_rows(FEWEST_ROWS)
    first, second = (run(form, state, tokens, LENGTH, run_program) for form in forms)
    pairs = zip(pytree.tree_leaves(first), pytree.tree_leaves(second), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    of_inputs = [*pytree.tree_leaves(state), *pytree.tree_leaves(tokens)]
    wanted = [*of_inputs, *_parameters(case.f)]
    gradients = list(zip(*(_gradients(states, wanted) for states in (first, second)), strict=True))
    assert all(torch.equal(one, other) for one, other in gradients[: len(of_inputs)])
    for one, other in gradients:
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["lstm_of_eight_matrices", "fast_weights"])
def test_several_products_of_tokens_are_in_the_loop_without_gradients(name: str) -> None:
    case, with_gradients, state, tokens = _traced(name)
    with torch.no_grad():
        step = StepTracer(case.f).step(state, pytree.tree_map(lambda leaf: leaf[:N], tokens))
        many = step.for_rows(FEWEST_ROWS)
        first, second = (run(form, state, tokens, LENGTH, run_program) for form in (step, many))
    assert many is not step
    assert with_gradients.for_rows(FEWEST_ROWS) is with_gradients
    pairs = zip(pytree.tree_leaves(first), pytree.tree_leaves(second), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_products_of_tokens_are_in_the_loop_for_many_rows() -> None:
    biased, plain = nn.Linear(3, 4), nn.Linear(3, 4, bias=False)
    state, token = torch.randn(2, 4), torch.randn(2, 3)
    steps = [
        StepTracer(f).step(state, token)
        for f in (lambda h, x: torch.tanh(h + biased(x)), lambda h, x: torch.tanh(h + plain(x)))
    ]
    few, many = steps[0].for_rows(FEWEST_ROWS - 1), steps[0].for_rows(FEWEST_ROWS)
    products = [[node.operator for node in form.graph.nodes].count("product") for form in (few, many)]
    assert products == [0, 1]
    assert steps[1].for_rows(FEWEST_ROWS) is steps[1]


def test_large_products_of_tokens_stay_before_the_loop() -> None:
    linear = nn.Linear(MOST_BYTES // 8, 2)
    step = StepTracer(lambda h, x: h + linear(x)).step(torch.randn(2, 2), torch.randn(2, MOST_BYTES // 8))
    assert step.for_rows(FEWEST_ROWS) is step


@pytest.mark.parametrize("name", ["lstm", "heads_over_memory"])
def test_states_at_zero(name: str) -> None:
    """Where nearly all users begin, and where roots and maxima have corners."""
    case, step, state, tokens = _traced(name)
    state = pytree.tree_map(torch.zeros_like, state)
    torch.testing.assert_close(run(step, state, tokens, LENGTH), loop(case.f, state, tokens, LENGTH))


def test_a_norm_has_no_gradient_at_zero() -> None:
    state, tokens = torch.zeros(2, 3, requires_grad=True), torch.randn(2, 3)
    f = lambda h, x: x + h.norm(dim=-1, keepdim=True)  # noqa: E731
    step = StepTracer(f).step(state, tokens)
    (gradient,) = _gradients(run(step, state, tokens, 1), [state])
    assert torch.equal(gradient, torch.zeros(2, 3))


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_any_number_of_rows(rows: int) -> None:
    cell = nn.GRUCell(3, 4)
    f = lambda h, x: cell(x, h)  # noqa: E731
    step = StepTracer(f).step(torch.randn(rows, 4), torch.randn(rows, 3))
    for n in (1, 5):
        h, tokens = torch.randn(n, 4), torch.randn(2 * n, 3)
        torch.testing.assert_close(run(step, h, tokens, 2), loop(f, h, tokens, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtypes(dtype: torch.dtype) -> None:
    norm = nn.LayerNorm(4, dtype=dtype)
    f = lambda h, x: norm(torch.tanh(h + x))  # noqa: E731
    step = StepTracer(f).step(torch.randn(2, 4, dtype=dtype), torch.randn(2, 4, dtype=dtype))
    assert {part.dtype for part in step.inputs(torch.randn(6, 4, dtype=dtype)).tokens} == {dtype}
