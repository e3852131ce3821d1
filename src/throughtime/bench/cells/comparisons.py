"""The comparisons of ``throughtime bench cells``."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from throughtime import nn as our_nn
from throughtime.bench._agreement import TOLERANCE, apart
from throughtime.bench._lengths import Lengths, Mode, kinds_of, lengths_of
from throughtime.bench._timing import in_turns
from throughtime.bench.cells.functions import GRUFunction, LayerNormLSTMFunction, LSTMFunction
from throughtime.bench.cells.row import Row
from throughtime.bench.recurrent.case import SHAPES, Cell, Shape, make_case
from throughtime.bench.recurrent.peers import Contender, Prepared, find
from throughtime.bench.recurrent.peers import ours as ours_peer
from throughtime.errors import ThroughtimeError
from throughtime.ragged import Ragged


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long: each call gets ``seconds`` in each of the ``rounds``."""

    parts: Sequence[str]
    shapes: Sequence[Shape] = SHAPES
    kinds: Sequence[Lengths] = ("equal", "ragged")
    modes: Sequence[Mode] = ("inference", "training")
    threads: int = 2
    rounds: int = 5
    seconds: float = 0.06


class DifferentResultsError(ThroughtimeError, RuntimeError):
    """The two sides of a comparison do not compute the same."""


def measure(plan: Plan) -> Iterator[Row | str]:
    """Measure all parts of the plan; yield a row for each comparison, or a line about what is left out."""
    torch.set_num_threads(plan.threads)
    for part in plan.parts:
        torch.manual_seed(0)  # the weights: rounding errors grow to the tolerance with some
        yield from PARTS[part](plan)


_FUNCTIONS: dict[Cell, Callable[[Shape], nn.Module]] = {"LSTM": LSTMFunction, "GRU": GRUFunction}


def _function_layer(cell: Cell, shape: Shape) -> our_nn.Recurrence:
    state = (shape.hidden, shape.hidden) if cell == "LSTM" else shape.hidden
    g = _first if cell == "LSTM" else None
    return our_nn.Recurrence(_FUNCTIONS[cell](shape), g, state=state)


def _first(state: tuple[Tensor, Tensor]) -> Tensor:
    return state[0]


def _built_in(plan: Plan) -> Iterator[Row | str]:
    """Compare LSTM and GRU written as functions with the built-in layers."""
    for prepared in _cases(plan):
        ours, built_in = prepared.function(), prepared.built_in()
        _check(ours.results(ours.run()), built_in.results(built_in.run()), str(prepared))
        seconds = in_turns([ours.run, built_in.run], plan.rounds, plan.seconds)
        yield prepared.row("built-in", "function", "built-in layer", seconds, "time")


def _jax(plan: Plan) -> Iterator[Row | str]:
    """Compare the same functions with compiled `jax.lax.scan`."""
    contenders, missing = find(["jax"], plan.threads)
    yield from missing
    for contender in contenders:
        for prepared in _cases(plan):
            ours, jax = prepared.function(), prepared.of(contender)
            _check(jax.results(jax.run()), ours.results(ours.run()), str(prepared))
            seconds = in_turns([ours.run, jax.run], plan.rounds, plan.seconds)
            yield prepared.row("jax", "function", "jax", seconds, "speed")


_LOOP_SHAPES = (
    Shape(32, 100, 64, 64),
    Shape(32, 128, 256, 256),
    Shape(8, 128, 128, 128),
    Shape(128, 128, 128, 128),
)


def _loop(plan: Plan) -> Iterator[Row | str]:
    """Compare a GRU written as a function with a loop over `torch.nn.GRUCell` on the padded batch."""
    for shape in _LOOP_SHAPES:
        prepared = _Case("GRU", shape, "ragged", "training")
        ours = prepared.function()
        loop = _padded_loop(prepared)
        _check(loop.results(loop.run()), ours.results(ours.run()), str(prepared))
        seconds = in_turns([ours.run, loop.run], plan.rounds, plan.seconds)
        yield prepared.row("loop", "function", "padded loop of torch.nn.GRUCell", seconds, "speed")


def _layer_norm(plan: Plan) -> Iterator[Row | str]:
    """Compare an LSTM with LayerNorm, written as a function, with a loop in torch and the built-in layer."""
    for shape in _LOOP_SHAPES:
        function = LayerNormLSTMFunction(shape)
        lengths = lengths_of("ragged", shape.batch, shape.steps, torch.Generator().manual_seed(0))
        values = torch.randn(int(lengths.sum()), shape.inputs, generator=torch.Generator().manual_seed(1))
        x = Ragged.from_lengths(values.requires_grad_(), lengths)
        layer = our_nn.Recurrence(function, _first, state=(shape.hidden, shape.hidden))
        native = our_nn.LayerNormLSTM(shape.inputs, shape.hidden)
        gradient = torch.randn(len(values), shape.hidden, generator=torch.Generator().manual_seed(2))

        def train(
            layer: nn.Module, x: Ragged = x, values: Tensor = values, gradient: Tensor = gradient
        ) -> tuple[Tensor, ...]:
            wanted = [values, *layer.parameters()]
            return torch.autograd.grad(layer(x).output.values, wanted, gradient)

        def loop(
            function: nn.Module = function,
            x: Ragged = x,
            values: Tensor = values,
            gradient: Tensor = gradient,
        ) -> tuple[Tensor, ...]:
            y = _padded_steps(function, x, gradient.shape[1])
            return torch.autograd.grad(y, [values, *function.parameters()], gradient)

        what = f"LayerNormLSTM {shape}"
        # LayerNorm enlarges rounding errors at each step: both sides are 1e-3 from the float64 result.
        _check(loop(), train(layer), what, 10 * TOLERANCE)
        calls = [lambda: train(layer), loop, lambda: train(native)]  # noqa: B023 - called before the next turn
        seconds = in_turns(calls, plan.rounds, plan.seconds)
        row = (what, "ragged", "training", "function")
        yield Row("layer-norm", *row, "padded loop in torch", seconds[0], seconds[1], "speed")
        yield Row("layer-norm", *row, "built-in layer", seconds[0], seconds[2], "time")


def _scan(plan: Plan) -> Iterator[Row | str]:
    """Compare a MinGRU, which is parallel over time, with a GRU on one long sequence."""
    values, gradient = torch.randn(2, 100_000, 128, generator=torch.Generator().manual_seed(0))
    x = Ragged.from_lengths(values.requires_grad_(), [len(values)])

    def train(layer: nn.Module) -> tuple[Tensor, ...]:
        return torch.autograd.grad(layer(x).output.values, [values, *layer.parameters()], gradient)

    calls = [partial(train, layer) for layer in (our_nn.MinGRU(128, 128), our_nn.GRU(128, 128))]
    first, second = in_turns(calls, plan.rounds, plan.seconds)
    yield Row("scan", "B1 T100000 I128 H128", "equal", "training", "MinGRU", "GRU", first, second, "speed")


def _second(plan: Plan) -> Iterator[Row | str]:
    """Compare second derivatives, of a gradient penalty, with those of torch's layers."""
    for cell in ("LSTM", "GRU", "RNN"):
        for hidden in (64, 128):
            shape = Shape(16, 100, hidden, hidden)
            ours: nn.Module = getattr(our_nn, cell)(hidden, hidden)
            theirs: nn.Module = getattr(nn, cell)(hidden, hidden)
            theirs.load_state_dict(ours.state_dict())
            x = torch.randn(100, 16, hidden, generator=torch.Generator().manual_seed(0)).requires_grad_()

            def penalty(layer: nn.Module, x: Tensor = x) -> tuple[Tensor, ...]:
                (dx,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
                return torch.autograd.grad(dx.square().sum(), list(layer.parameters()))

            what = f"{cell} {shape}"
            _check(penalty(ours), penalty(theirs), what)
            calls = [lambda: penalty(ours), lambda: penalty(theirs)]  # noqa: B023 - called before the next turn
            first, second = in_turns(calls, plan.rounds, plan.seconds)
            yield Row("second", what, "equal", "training", "built-in layer", "torch", first, second, "time")


def _per_sample(plan: Plan) -> Iterator[Row | str]:
    """Compare the gradients of each sample, by `torch.func`, with those of the sum over a batch."""
    for cell in ("LSTM", "GRU", "RNN"):
        shape = Shape(32, 50, 64, 64)
        layer: nn.Module = getattr(our_nn, cell)(64, 64, batch_first=True)
        weights = {name: weight.detach() for name, weight in layer.named_parameters()}
        x = torch.randn(32, 50, 64, generator=torch.Generator().manual_seed(0))

        def loss(weights: dict[str, Tensor], sample: Tensor, layer: nn.Module = layer) -> Tensor:
            y: Tensor = torch.func.functional_call(layer, weights, (sample[None],))[0]
            return y.square().sum()

        def of_batch(layer: nn.Module = layer, x: Tensor = x) -> tuple[Tensor, ...]:
            return torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))

        of_samples = partial(torch.func.vmap(torch.func.grad(loss), (None, 0)), weights, x)
        what = f"{cell} {shape}"
        _check([part.sum(0) for part in of_samples().values()], of_batch(), what)
        first, second = in_turns([of_samples, of_batch], plan.rounds, plan.seconds)
        row = (what, "equal", "training", "per-sample gradients", "gradients of a batch")
        yield Row("per-sample", *row, first, second, "time")


PARTS: dict[str, Callable[[Plan], Iterator[Row | str]]] = {
    "built-in": _built_in,
    "loop": _loop,
    "jax": _jax,
    "layer-norm": _layer_norm,
    "scan": _scan,
    "second": _second,
    "per-sample": _per_sample,
}
"""The comparisons by name."""


class _Case:
    """A cell, a shape, lengths and a mode, for both sides of a comparison."""

    def __init__(self, cell: Cell, shape: Shape, kind: Lengths, mode: Mode) -> None:
        self.case, self.mode = make_case(cell, shape, kind), mode

    def __str__(self) -> str:
        return f"{self.case.cell} {self.case.shape}"

    def function(self) -> Prepared:
        """Return the cell written as a function, ready to run."""
        layer = _function_layer(self.case.cell, self.case.shape)
        with torch.no_grad():
            for parameter, value in zip(layer.parameters(), self.case.layer.parameters(), strict=True):
                parameter.copy_(value)
        return ours_peer.prepare(self.case, self.mode, layer=layer)

    def built_in(self) -> Prepared:
        """Return the built-in layer, ready to run."""
        return ours_peer.prepare(self.case, self.mode)

    def of(self, contender: Contender) -> Prepared:
        """Return the layer of another library, ready to run."""
        return contender.prepare(self.case, self.mode)

    def row(self, part: str, first: str, second: str, seconds: Sequence[float], ratio_of: Any) -> Row:
        """Return the row of two times."""
        return Row(
            part, str(self), self.case.kind, self.mode, first, second, seconds[0], seconds[1], ratio_of
        )


def _cases(plan: Plan) -> Iterator[_Case]:
    for shape in plan.shapes:
        for cell in _FUNCTIONS:
            for kind in kinds_of(shape.batch, plan.kinds):
                for mode in plan.modes:
                    yield _Case(cell, shape, kind, mode)


def _padded_steps(function: nn.Module, x: Ragged, hidden: int) -> Tensor:
    """Run a function of (h, c) and x_t over the padded batch, and return h of all tokens, end to end."""
    padded = x.to_padded(batch_first=False)
    zeros = padded.new_zeros(padded.shape[1], hidden)
    state = zeros, zeros
    outputs = []
    for x_t in padded:
        state = function(state, x_t)
        outputs.append(state[0])
    return Ragged.from_padded(torch.stack(outputs), lengths=x.lengths, batch_first=False).values


def _padded_loop(prepared: _Case) -> Prepared:
    case = prepared.case
    cell = nn.GRUCell(case.shape.inputs, case.shape.hidden)
    with torch.no_grad():
        for parameter, value in zip(cell.parameters(), case.layer.parameters(), strict=True):
            parameter.copy_(value)
    x = (
        Ragged.from_lengths(case.values, case.lengths)
        .to_padded(batch_first=False)
        .contiguous()
        .requires_grad_()
    )
    gradient = Ragged.from_lengths(case.gradient, case.lengths).to_padded(batch_first=False).contiguous()

    def run() -> tuple[Tensor, ...]:
        h, outputs = x.new_zeros(x.shape[1], case.shape.hidden), []
        for x_t in x:
            h = cell(x_t, h)
            outputs.append(h)
        return torch.autograd.grad(torch.stack(outputs), [x, *cell.parameters()], gradient)

    def results(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        dx = Ragged.from_padded(gradients[0], lengths=case.lengths, batch_first=False).values
        return dx, *gradients[1:]

    return Prepared(run, results)


def _check(
    first: Sequence[Tensor], second: Sequence[Tensor], what: str, tolerance: float = TOLERANCE
) -> None:
    difference = max(apart(one, other) for one, other in zip(first, second, strict=True))
    if not difference < tolerance:
        raise DifferentResultsError(
            f"{what}: the results of the two sides differ by {difference:.1e} of the largest value"
        )
