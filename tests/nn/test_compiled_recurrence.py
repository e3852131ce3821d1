"""A `Recurrence` under torch.compile: one operator, with the values and gradients of an eager call."""

import copy
import gc
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import throughtime as tt
from throughtime import Ragged
from throughtime.errors import ShapeError, UnsupportedError
from throughtime.nn.recurrence._compiled import CompiledLoop
from throughtime.ops.program import saved_graphs

LENGTHS = [5, 0, 7]


class Cell(nn.Module):
    """A state of two parts, one of them a matrix; scaled in training."""

    def __init__(self) -> None:
        super().__init__()
        self.from_x, self.from_h = nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        matrix, total = state
        flat = torch.tanh(self.from_x(x) + self.from_h(matrix.flatten(1)))
        return flat.view(-1, 2, 3) * (0.5 if self.training else 1.0), total + flat.sum(1, keepdim=True)


@pytest.fixture
def layer() -> tt.nn.Recurrence:
    torch.manual_seed(0)
    torch._dynamo.reset()
    state = (torch.zeros(2, 3).double(), nn.Parameter(torch.ones(1).double()))
    return tt.nn.Recurrence(Cell().double(), lambda state: state[0], state=state)


def _x(lengths: list[int] = LENGTHS) -> Ragged:
    values = torch.randn(sum(lengths), 4, dtype=torch.float64, requires_grad=True)
    return Ragged.from_lengths(values, lengths)


def _check(found: Any, expected: Any, wanted: list[Tensor]) -> None:
    torch.testing.assert_close(_leaves(found), _leaves(expected))
    torch.testing.assert_close(_gradients(found, wanted), _gradients(expected, wanted))


def _leaves(result: Any) -> list[Tensor]:
    leaves = pytree.tree_leaves(result)
    return [leaf.values if isinstance(leaf, Ragged) else leaf for leaf in leaves]


def _gradients(result: Any, wanted: list[Tensor]) -> list[Tensor]:
    loss = torch.stack([leaf.sin().sum() for leaf in _leaves(result)]).sum()
    return list(torch.autograd.grad(loss, wanted, materialize_grads=True))


@pytest.mark.parametrize("dense", [False, True])
def test_one_graph_has_the_values_and_gradients_of_an_eager_call(
    layer: tt.nn.Recurrence, dense: bool
) -> None:
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for training in (True, False, True):
        layer.train(training)
        x = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True) if dense else _x()
        wanted = [x if isinstance(x, Tensor) else x.values, *layer.parameters()]
        _check(compiled(x), layer(x), wanted)
        state = layer(x).state
        state = tuple(part.detach().requires_grad_() for part in state)
        _check(compiled(x, state), layer(x, state), [*wanted, *state])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # Inductor's own
def test_inductor_gives_the_same(layer: tt.nn.Recurrence) -> None:
    compiled = torch.compile(layer, fullgraph=True, dynamic=True)
    for lengths in (LENGTHS, [3, 4]):
        x = _x(lengths)
        _check(compiled(x), layer(x), [x.values, *layer.parameters()])


def test_bounds_set_later_and_copies_have_their_own_loop(layer: tt.nn.Recurrence) -> None:
    compiled, x = torch.compile(layer, backend="aot_eager", fullgraph=True), _x()
    compiled(x)
    layer.bound_gradients(value=0.01)
    wanted = [x.values, *layer.parameters()]
    _check(compiled(x), layer(x), wanted)
    twin = copy.deepcopy(layer)
    assert twin._compiled.number != layer._compiled.number
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(2)
    _check(
        torch.compile(twin, backend="aot_eager", fullgraph=True)(x), twin(x), [x.values, *twin.parameters()]
    )
    _check(compiled(x), layer(x), wanted)


def test_other_parameters_by_functional_call(layer: tt.nn.Recurrence) -> None:
    others = {name: (2 * part).detach().requires_grad_() for name, part in layer.named_parameters()}
    x = _x()

    def call(parameters: dict[str, Tensor], x: Ragged) -> Any:
        return torch.func.functional_call(layer, parameters, (x,))

    compiled = torch.compile(call, backend="aot_eager", fullgraph=True)
    _check(compiled(others, x), call(others, x), [x.values, *others.values()])


# Torch's own, where one graph ends and another begins.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_function_is_refused_as_one_graph_and_runs_between_two() -> None:
    torch._dynamo.reset()
    weight = nn.Parameter(torch.randn(4, 4).double())
    layer = tt.nn.Recurrence(lambda h, x: torch.tanh(h @ weight + x), state=torch.zeros(4).double())
    x = _x()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="torch.compile can if f is a module"):
        torch.compile(layer, backend="eager", fullgraph=True)(x)
    torch._dynamo.reset()
    _check(torch.compile(layer, backend="eager")(x), layer(x), [x.values, weight])
    assert [tracer.traces for tracer in layer._transitions._tracers["plain"]] == [1, 0]


def test_a_tensor_without_a_gradient_in_the_graph_is_named() -> None:
    torch._dynamo.reset()
    weight = nn.Parameter(torch.randn(4, 4).double())

    class Reading(nn.Module):
        def forward(self, h: Tensor, x: Tensor) -> Tensor:
            return torch.tanh(h @ weight + x)

    layer = tt.nn.Recurrence(Reading(), state=torch.zeros(4).double())
    with pytest.raises(
        UnsupportedError, match="weight.* would have no gradient, because it is no parameter of"
    ):
        torch.compile(layer, backend="eager", fullgraph=True)(_x())


class WithContext(nn.Module):
    """Reads the rows of a context in a dict of a tensor and a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.from_h = nn.Linear(4, 4)

    def forward(self, h: Tensor, x: Tensor, context: dict[str, Any]) -> Tensor:
        scale, (added, other) = context["scale"], context["added"]
        return torch.tanh(scale * x + self.from_h(h) + added - other)


def test_a_context_of_any_structure_is_an_input_of_the_graph() -> None:
    torch._dynamo.reset()
    layer = tt.nn.Recurrence(WithContext(), state=4).double()
    compiled, x = torch.compile(layer, backend="aot_eager", fullgraph=True), _x()
    for _ in range(2):
        scale, added = (torch.randn(3, n, dtype=torch.float64, requires_grad=True) for n in (1, 4))
        context = {"scale": scale, "added": (added, torch.randn(3, 4).double())}
        wanted = [x.values, scale, added, *layer.parameters()]
        found, expected = compiled(x, context=context), layer(x, context=context)
        assert torch.equal(found.output.values, expected.output.values)
        _check(found, expected, wanted)


# Torch's own, where one graph ends and another begins.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_context_of_another_structure_is_refused_as_one_graph_and_runs_between_two() -> None:
    torch._dynamo.reset()
    context: Any = OrderedDict(scale=torch.ones(3, 1).double(), added=[torch.randn(3, 4).double()] * 2)
    layer, x = tt.nn.Recurrence(WithContext(), state=4).double(), _x()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="a context one of tuples, lists and dicts"):
        torch.compile(layer, backend="eager", fullgraph=True)(x, context=context)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="eager")
    _check(compiled(x, context=context), layer(x, context=context), [x.values, *layer.parameters()])


def test_noise_follows_seeds_and_steps_as_eagerly() -> None:
    torch._dynamo.reset()
    cell = tt.nn.Zoneout(tt.nn.RecurrentDropout(tt.nn.LSTMCell(4, 3), x=0.2, h=0.3), (0.3, 0.2))
    layer, x = tt.nn.Recurrence(cell).double(), _x()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    calls: list[dict[str, Any]] = [
        {},
        {"seeds": torch.tensor([3, 4, 5]), "first_step": torch.tensor([0, 2, 9])},
        {"seeds": torch.tensor([5, 4, 3]), "first_step": torch.tensor([1, 0, 0])},
    ]
    results = []
    for options in calls:
        found, expected = (_seeded(call, x, options) for call in (compiled, layer))
        assert torch.equal(found.output.values, expected.output.values)
        _check(found, expected, [x.values, *layer.parameters()])
        results.append(found.output.values)
    assert not torch.equal(results[1], results[2])
    layer.eval()
    assert torch.equal(compiled(x).output.values, layer(x).output.values)
    layer.train()
    with pytest.raises(ShapeError, match="first_step must be at least 0, got -1"):
        compiled(x, **calls[1] | {"first_step": torch.tensor([0, -1, 0])})


# Torch's own, where one graph ends and another begins.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("native", ["auto", "never"])
def test_noise_of_a_step_and_of_an_unrolled_loop_is_that_of_an_eager_call(native: Any) -> None:
    torch._dynamo.reset()
    layer = tt.nn.Recurrence(tt.nn.Zoneout(tt.nn.GRUCell(4, 3), 0.4), native=native).double()
    options = {"seeds": torch.tensor([3, 4]), "first_step": 5}
    if native == "auto":
        x = torch.randn(2, 4).double()
        found, expected = (
            torch.compile(layer.step, backend="eager")(x, **options),
            layer.step(x, **options),
        )
    else:
        x = torch.randn(3, 2, 4).double()
        found, expected = torch.compile(layer, backend="eager")(x, **options), layer(x, **options)
    torch.testing.assert_close(found, expected)
    layer.eval()
    assert not torch.allclose(expected[0], (layer.step if native == "auto" else layer)(x)[0])


def _seeded(call: Any, x: Ragged, options: dict[str, Any]) -> Any:
    torch.manual_seed(7)
    return call(x, **options)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_the_backward_pass_reads_the_graph_of_the_forward_pass(
    layer: tt.nn.Recurrence, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    run = CompiledLoop.run
    monkeypatch.setattr(CompiledLoop, "run", lambda *arguments: (runs.append(1), run(*arguments))[1])
    compiled, x = torch.compile(layer, backend=backend, fullgraph=True), _x()
    before = len(saved_graphs._GRAPHS)
    wanted = [x.values, *layer.parameters()]
    found = compiled(x)
    assert len(saved_graphs._GRAPHS) == before + 1
    loss = found.output.values.sin().sum()
    first = torch.autograd.grad(loss, wanted, retain_graph=True, materialize_grads=True)
    torch.testing.assert_close(torch.autograd.grad(loss, wanted, materialize_grads=True), first)
    assert len(runs) == 1
    del found, loss
    gc.collect()
    assert len(saved_graphs._GRAPHS) == before
    with torch.no_grad():
        compiled(x)
    assert len(saved_graphs._GRAPHS) == before


def test_a_backward_pass_whose_saved_tensors_are_copies_runs_the_loop_again(layer: tt.nn.Recurrence) -> None:
    compiled, x = torch.compile(layer, backend="eager", fullgraph=True), _x()
    compiled(x)
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda part: part):
        found = compiled(x)
    _check(found, layer(x), [x.values, *layer.parameters()])


def test_gradients_that_nobody_needs_are_not_computed(layer: tt.nn.Recurrence) -> None:
    layer.f.from_x.requires_grad_(False)
    x = _x()
    x = x.with_values(x.values.detach())
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    _check(compiled(x), layer(x), [part for part in layer.parameters() if part.requires_grad])
