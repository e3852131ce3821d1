"""What changes between calls: read anew, or noticed so that f is traced again."""

from __future__ import annotations

import copy
import functools
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from tests.nn.recurrence.evaluator import loop, run
from throughtime.ops.program.tracing.cache import StepTracer
from throughtime.ops.program.tracing.errors import UntraceableError

if TYPE_CHECKING:
    from collections.abc import Callable

N, D, H, LENGTH = 3, 3, 4, 2


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.u = nn.Linear(D, H), nn.Linear(H, H, bias=False)
        self.register_buffer("shift", torch.randn(H))
        self.mask = torch.rand(H)  # a plain attribute
        self.scale, self.options = 0.5, {"negative": False}

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        z = self.activation(self.w(x) + self.u(h)) * self.scale + self.shift * self.mask
        return -z if self.options["negative"] else z

    def activation(self, z: Tensor) -> Tensor:
        return torch.tanh(z) if self.training else torch.sigmoid(z)


def _checked(tracer: StepTracer, f: Callable[[Any, Any], Any], dtype: torch.dtype | None = None) -> None:
    """Check the trace against f as it is now."""
    h, tokens = torch.randn(N, H, dtype=dtype), torch.randn(N * LENGTH, D, dtype=dtype)
    actual = run(tracer.step(h, tokens), h, tokens, LENGTH)
    torch.testing.assert_close(actual, loop(f, h, tokens, LENGTH))


def _optimize(cell: Cell) -> None:
    optimizer = torch.optim.SGD(cell.parameters(), lr=0.5)
    cell(torch.randn(N, H), torch.randn(N, D)).sum().backward()
    optimizer.step()


def _load(cell: Cell) -> None:
    cell.load_state_dict(Cell().state_dict())


def _assign(cell: Cell) -> None:
    cell.load_state_dict(Cell().state_dict(), assign=True)


def _replace(cell: Cell) -> None:
    cell.u.weight = nn.Parameter(torch.randn(H, H))
    cell.shift = torch.randn(H)
    cell.mask = torch.rand(H)


def _data(cell: Cell) -> None:
    cell.u.weight.data = torch.randn(H, H)


@pytest.mark.parametrize("change", [_optimize, _load, _assign, _replace, _data])
def test_tensors_are_read_anew_without_another_trace(change: Callable[[Cell], None]) -> None:
    cell = Cell()
    tracer = StepTracer(cell)
    _checked(tracer, cell)
    change(cell)
    _checked(tracer, cell)
    assert tracer.traces == 1


def _module(cell: Cell) -> None:
    cell.u = nn.Linear(H, H)


def _parametrization(cell: Cell) -> None:
    nn.utils.parametrizations.weight_norm(cell.u)


def _hook(cell: Cell) -> None:
    cell.u.register_forward_hook(lambda module, inputs, output: output * 2)


def _evaluation(cell: Cell) -> None:
    cell.eval()


def _number(cell: Cell) -> None:
    cell.scale = 2.0


def _inner_number(cell: Cell) -> None:
    cell.options["negative"] = True


def _method(cell: Cell) -> None:
    cell.activation = torch.relu


def _no_bias(cell: Cell) -> None:
    cell.w.bias = None


def _number_by_tensor(cell: Cell) -> None:
    cell.scale = torch.rand(H)


def _tensor_by_number(cell: Cell) -> None:
    cell.mask = 0.25


def _other_shape(cell: Cell) -> None:
    cell.mask = torch.rand(1)


@pytest.mark.parametrize(
    "change",
    [
        _module,
        _parametrization,
        _hook,
        _evaluation,
        _number,
        _inner_number,
        _method,
        _no_bias,
        _number_by_tensor,
        _tensor_by_number,
        _other_shape,
    ],
)
@pytest.mark.parametrize("kind", ["module", "method", "closure", "partial"])
def test_all_else_is_noticed(change: Callable[[Cell], None], kind: str) -> None:
    cell = Cell()
    f = {
        "module": cell,
        "method": cell.forward,
        "closure": lambda h, x: cell(h, x),
        "partial": functools.partial(Cell.forward, cell),
    }[kind]
    tracer = StepTracer(f)
    _checked(tracer, f)
    change(cell)
    _checked(tracer, f)
    assert tracer.traces == 2
    _checked(tracer, f)
    assert tracer.traces == 2


def test_modes_keep_their_traces() -> None:
    cell = Cell()
    tracer = StepTracer(cell)
    for training in (True, False, True, False):
        cell.train(training)
        _checked(tracer, cell)
    assert tracer.traces == 2


def test_dtypes_and_sizes() -> None:
    cell = Cell()
    tracer = StepTracer(cell)
    _checked(tracer, cell)
    cell.double().mask = cell.mask.double()
    _checked(tracer, cell, torch.float64)
    cell.float().mask = cell.mask.float()
    _checked(tracer, cell)
    assert tracer.traces == 2


def test_gradients_off() -> None:
    cell = Cell()
    tracer = StepTracer(cell)
    for context in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with context:
            _checked(tracer, cell)


def test_functional_call() -> None:
    cell = Cell()
    tracer = StepTracer(cell)
    h, tokens = torch.randn(N, H), torch.randn(N * LENGTH, D)

    def last(parameters: dict[str, Tensor], h: Tensor, tokens: Tensor, *, traced: bool) -> Tensor:
        class Caller(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.cell = cell

            def forward(self) -> Tensor:
                if not traced:
                    return loop(cell, h, tokens, LENGTH)[-1].square().sum()
                return run(tracer.step(h, tokens[: len(h)]), h, tokens, LENGTH)[-1].square().sum()

        named = {f"cell.{name}": value for name, value in parameters.items()}
        return torch.func.functional_call(Caller(), named, ())

    parameters = {name: torch.randn_like(value) for name, value in cell.named_parameters()}
    for transform in (
        lambda f: f(parameters, h, tokens),
        lambda f: torch.func.grad(f)(parameters, h, tokens),
        lambda f: torch.vmap(torch.func.grad(f), (None, 0, 0))(
            parameters,
            torch.randn(2, N, H, generator=torch.Generator().manual_seed(0)),
            tokens.expand(2, -1, -1),
        ),
        lambda f: torch.vmap(f, (0, None, None))(
            {k: torch.stack([v, 2 * v]) for k, v in parameters.items()}, h, tokens
        ),
    ):
        torch.testing.assert_close(
            transform(functools.partial(last, traced=True)), transform(functools.partial(last, traced=False))
        )
    assert tracer.traces == 1
    fresh = StepTracer(cell)
    tracer = fresh  # first traced inside of a transform
    torch.testing.assert_close(
        torch.func.grad(functools.partial(last, traced=True))(parameters, h, tokens),
        torch.func.grad(functools.partial(last, traced=False))(parameters, h, tokens),
    )
    assert all(type(value) is nn.Parameter for value in cell.parameters())


SCALE, CONFIGURATION = 0.5, SimpleNamespace(scale=1.0, names=["a"])
TABLE = torch.randn(H)


def _of_globals(h: Tensor, x: Tensor) -> Tensor:
    return _helper(h) * SCALE + TABLE * CONFIGURATION.scale * len(CONFIGURATION.names)


def _helper(h: Tensor) -> Tensor:
    return h * FACTOR


FACTOR = 2.0


@pytest.mark.parametrize(
    "name", ["SCALE", "CONFIGURATION.scale", "CONFIGURATION.names", "FACTOR", "_helper", "TABLE", "none"]
)
def test_globals(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = StepTracer(_of_globals)
    _checked(tracer, _of_globals)
    if name == "CONFIGURATION.names":
        monkeypatch.setattr(CONFIGURATION, "names", ["a", "b"])
    elif name == "CONFIGURATION.scale":
        monkeypatch.setattr(CONFIGURATION, "scale", 3.0)
    elif name != "none":
        value = {"_helper": lambda h: h * 5, "TABLE": torch.randn(H)}.get(name, 7.0)
        monkeypatch.setitem(globals(), name, value)
    _checked(tracer, _of_globals)
    assert tracer.traces == (1 if name in {"TABLE", "none"} else 2)


def test_closures() -> None:
    def f(h: Tensor, x: Tensor) -> Tensor:
        return h * alpha + weights[0] @ torch.ones(H) + inner()

    def inner() -> float:
        return beta

    alpha, beta, weights = 0.5, 1.0, [torch.randn(H, H)]
    tracer = StepTracer(f)
    _checked(tracer, f)
    weights[0] = torch.randn(H, H)
    _checked(tracer, f)
    assert tracer.traces == 1
    beta = 2.0
    _checked(tracer, f)
    alpha = torch.tensor(0.25)
    _checked(tracer, f)
    assert tracer.traces == 3


def test_a_number_that_changes_at_every_call() -> None:
    cell = Cell()
    tracer = StepTracer(cell)

    def anneal() -> None:
        for step in range(100):
            cell.scale = step + 0.5
            _checked(tracer, cell)

    with pytest.raises(
        UntraceableError, match=r"traced again at every call, because f.scale changes; make it a tensor"
    ):
        anneal()


class Owner(nn.Module):
    """A model whose method is f, and which changes with every call in what f does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.other, self.calls, self.scale = Cell(), nn.Linear(2, 2), 0, 1.0
        self.bound = StepTracer(self.transition)
        self.of_lambda = StepTracer(lambda h, x: self.cell(h, x) * self.scale)

    def transition(self, h: Tensor, x: Tensor) -> Tensor:
        return self.cell(h, x) * self.scale


def test_only_what_f_reads_of_its_owner_is_watched() -> None:
    owner = Owner()
    for tracer in (owner.bound, owner.of_lambda):
        for _ in range(3):
            owner.calls += 1
            owner.other = nn.Linear(2, 2)
            _checked(tracer, owner.transition)
        assert tracer.traces == 1
        owner.scale += 1
        _checked(tracer, owner.transition)
        assert tracer.traces == 2


def test_copies_trace_again() -> None:
    cell = Cell()
    tracer = StepTracer(cell)
    _checked(tracer, cell)
    twin = copy.deepcopy(nn.ModuleList([cell])), copy.deepcopy(tracer)
    assert twin[1].traces == 0
    _checked(twin[1], cell)


def test_lazy_modules_are_traced_once_they_are_initialised() -> None:
    lazy = nn.LazyLinear(H)
    f = lambda h, x: torch.tanh(lazy(torch.cat([h, x], 1)))  # noqa: E731
    tracer = StepTracer(f)
    with pytest.raises(UntraceableError, match=r"lazy.weight is not initialised before the first call of f"):
        tracer.step(torch.randn(N, H), torch.randn(N, D))
    assert type(lazy) is nn.LazyLinear
    f(torch.randn(N, H), torch.randn(N, D))
    _checked(tracer, f)


def test_cached_parametrizations() -> None:
    cell = Cell()
    nn.utils.parametrizations.weight_norm(cell.u)
    tracer = StepTracer(cell)
    with nn.utils.parametrize.cached():
        _checked(tracer, cell)
        _checked(tracer, cell)
    _optimize(cell)
    _checked(tracer, cell)
    assert tracer.traces == 1


def test_threads() -> None:
    cell = Cell()
    tracer = StepTracer(cell)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _checked(tracer, cell), range(8)))
    _checked(tracer, cell)
