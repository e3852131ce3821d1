"""Which graphs are built: equal values once, constants folded, simpler forms, fused operators."""

from collections.abc import Callable

import pytest

from tests.ops.program import graphs
from throughtime.ops.program.builder import Builder, Value
from throughtime.ops.program.counts import Counts
from throughtime.ops.program.derive import Needs, Seeds, derive
from throughtime.ops.program.encode import encode
from throughtime.ops.program.forward_plan import ForwardPlan
from throughtime.ops.program.graph import Graph

WIDTH = 4


def shown(graph: Graph, position: int) -> str:
    """Return a value as a formula, s for the state and x, w for two tokens."""
    node = graph.nodes[position]
    if node.operator in {"state", "token"}:
        return "s" if node.operator == "state" else "xw"[node.index]
    numbers = [f"{number:g}" for number in node.numbers]
    if node.operator == "slice":
        numbers = [f"{node.index}:{node.index + node.width}"]
    return f"{node.operator}({', '.join([*(shown(graph, source) for source in node.inputs), *numbers])})"


def built(expression: Callable[[Value, Value, Value], Value]) -> str:
    b = Builder()
    s, x, w = b.leaf("state", 0, WIDTH), b.leaf("token", 0, WIDTH), b.leaf("token", 1, WIDTH)
    graph = b.graph([expression(s, x, w)])
    return shown(graph, graph.states[0])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (lambda s, x, w: x + 0.0, "x"),
        (lambda s, x, w: x * 1.0, "x"),
        (lambda s, x, w: x - 0.0, "x"),
        (lambda s, x, w: x / 1.0, "x"),
        (lambda s, x, w: x * 0.0, "affine(x, 0, 0)"),  # NaN stays
        (lambda s, x, w: 1.0 - x, "affine(x, -1, 1)"),
        (lambda s, x, w: (x * 2.0 + 1.0) * 3.0 - 1.0, "affine(x, 6, 2)"),
        (lambda s, x, w: x / 4.0, "affine(x, 0.25, 0)"),
        (lambda s, x, w: 2.0 / x, "affine(reciprocal(x), 2, 0)"),
        (lambda s, x, w: x.call("neg").call("neg"), "x"),
        (lambda s, x, w: x + -w, "sub(x, w)"),
        (lambda s, x, w: -(x - w), "sub(w, x)"),
        (lambda s, x, w: x * x, "square(x)"),
        (lambda s, x, w: x.call("pow", numbers=(2.0,)), "square(x)"),
        (lambda s, x, w: x.call("pow", numbers=(3.0,)), "pow(x, 3)"),
        (lambda s, x, w: 1.0 / x.call("sqrt"), "rsqrt(x)"),
        (lambda s, x, w: s * x + w, "fma(s, x, w)"),
        (lambda s, x, w: (1.0 - x) * w + x * s, "lerp(w, s, x)"),
        (lambda s, x, w: s + x * (w - s), "lerp(s, w, x)"),
        (lambda s, x, w: x.call("lt", w).where(s, s), "s"),
        (lambda s, x, w: x.slice(1, 3).slice(1, 2).repeat(4), "repeat(slice(x, 2:4))"),
        (lambda s, x, w: x.builder.concat([x.slice(0, 1), x.slice(1, 3)]), "x"),
        (lambda s, x, w: x.builder.concat([x.slice(0, 2), w.slice(0, 2)]).slice(0, 2).repeat(4),
         "repeat(slice(x, 0:2))"),
        (lambda s, x, w: (x.sum(1) * 2.0).repeat(4) * w.sum(1).repeat(4),
         "repeat(mul(affine(sum(x), 2, 0), sum(w)))"),
        (lambda s, x, w: x.sum(1).repeat(4).sum(1).repeat(4), "repeat(affine(sum(x), 4, 0))"),
        (lambda s, x, w: x.call("neg").sum(1).repeat(4), "repeat(neg(sum(x)))"),
        (lambda s, x, w: (x * 2.0).sum(1).repeat(4), "repeat(affine(sum(x), 2, 0))"),
        (lambda s, x, w: (x * w.sum(2).repeat(4)).sum(2).repeat(4), "repeat(mul(sum(w), sum(x)))"),
        (lambda s, x, w: x * 2.0 * w.sum(1).repeat(4), "mul(x, repeat(affine(sum(w), 2, 0)))"),
        (lambda s, x, w: x.builder.constant(4.0, 4).call("sqrt") * x, "affine(x, 2, 0)"),
    ],
)  # fmt: skip
def test_simplest_forms(expression: Callable[[Value, Value, Value], Value], expected: str) -> None:
    assert built(expression) == expected


def test_equal_values_are_computed_once() -> None:
    b = Builder()
    s, x = b.leaf("state", 0, WIDTH), b.leaf("token", 0, WIDTH)
    assert (s + x).call("tanh").position == (x + s).call("tanh").position


def test_what_nothing_needs_is_left_out() -> None:
    b = Builder()
    s, x = b.leaf("state", 0, WIDTH), b.leaf("token", 0, WIDTH)
    b.product(0, x, WIDTH).call("exp")
    assert [node.operator for node in b.graph([s.call("tanh")]).nodes] == ["state", "tanh"]


@pytest.mark.parametrize(
    ("operator", "inputs", "width", "message"),
    [
        ("cosh", 1, 4, "no operator 'cosh'; a graph has token"),
        ("add", 1, 4, "add takes 2 inputs, got 1"),
        ("add", 2, 3, r"add of width 3 got inputs of widths \[4, 4\]"),
        ("sum", 1, 3, "sum of width 3"),
        ("repeat", 1, 6, "repeat of width 6"),
        ("slice", 1, 5, "slice of width 5"),
    ],
)
def test_errors(operator: str, inputs: int, width: int, message: str) -> None:
    b = Builder()
    with pytest.raises(ValueError, match=message):
        b.apply(operator, [b.leaf("token", k, WIDTH) for k in range(inputs)], width)


def test_the_program_of_an_lstm() -> None:
    instructions = encode(graphs.lstm(WIDTH), 0).instructions
    names = sorted(operator for operator, *_ in instructions)
    assert names == sorted(["product", *["sigmoid"] * 3, *["tanh"] * 2, "mul", "fma", "mul"])
    # The product adds to the token, and its result is read by columns.
    assert instructions[0][2] == (("state", 0, 0), ("token", 0, 0))
    assert {target for _, target, *_ in instructions} >= {("next", 0, 0), ("next", 1, 0)}


def test_the_backward_program_of_an_lstm() -> None:
    graph = graphs.lstm(WIDTH)
    needs = Needs((True,), (), (), (True,), (True, True))
    (h, c) = graph.states
    backward = derive(graph, needs, Seeds(frozenset({h}), (False, False)), [h, c])
    names = [operator for operator, *_ in encode(backward.graph, 0).instructions]
    assert names.count("product") == 1
    assert names.count("copy") == 2  # the gradient of the product, and the state before each step
    assert {"sigmoid_gradient", "tanh_gradient"} < set(names)
    # The gradient of the tokens is that of the product.
    (of_matrix,) = backward.matrix_gradients
    assert of_matrix.gradient == (backward.token_gradients[0],)


def test_of_a_product_what_is_read_is_kept() -> None:
    graph = graphs.gru(WIDTH)
    plan = ForwardPlan(graph, Counts(1, 0, 1, 1, 1), wanted=(True,), needed=(True,) * 4)
    kept = [graph.nodes[node] for node in plan.written]
    assert [node.index for node in kept if node.operator == "slice"] == [2 * WIDTH]
    assert sum(node.width for node in kept) == 5 * WIDTH  # h, r, z, n and the candidate's product


def test_a_state_that_is_written_is_read_and_not_computed_again() -> None:
    graph = graphs.layer_norm_lstm(WIDTH)
    plan = ForwardPlan(graph, Counts(1, 0, 4, 1, 2), wanted=(True, False), needed=(True,) * 8)
    _, c = graph.states
    assert c in plan.written
    needs = Needs((True,), (), (True,) * 4, (True,), (True, True))
    seeds = Seeds(frozenset({graph.states[0]}), (False, False))
    assert ("written", c) in derive(graph, needs, seeds, plan.written).tokens
