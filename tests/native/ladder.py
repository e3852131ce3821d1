"""Run in a process of its own for each instruction set: the kernels against the reference, and equal bits.

``python -m tests.native.ladder`` prints the instruction set and how many cases it checked, or fails. The
environment names the instruction set and poisons scratch memory, so that what nobody wrote shows as NaN.
"""

import itertools
import random

import torch
from torch import Tensor

from throughtime import _native
from throughtime.ops import _recurrent_native
from throughtime.ops.reference.recurrent import recurrent_layer_reference
from throughtime.ops.steps import BATCH_FIRST, GATES, PACKED, RAGGED, TIME_MAJOR, Steps, Weights

CELLS = ("LSTM", "GRU", "RNN_TANH", "RNN_RELU")


class Problem:
    """Random weights and tokens for one layer call."""

    def __init__(
        self, cell: str, inputs: int, hidden: int, lengths: list[int], choose: random.Random
    ) -> None:
        self.cell = cell
        self.lengths = lengths
        self.count = choose.choice([1, 2])
        projection = choose.randint(1, hidden) if cell == "LSTM" and choose.random() < 0.3 else None
        biased = choose.random() < 0.8
        rows, size = GATES[cell] * hidden, projection or hidden

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64) * (0.5 if len(shape) == 1 else shape[-1] ** -0.5)

        self.directions = tuple(
            Weights(
                normal(rows, inputs),
                normal(rows, size),
                normal(rows) if biased else None,
                normal(rows) if biased else None,
                normal(size, hidden) if projection else None,
            )
            for _ in range(self.count)
        )
        self.x = torch.randn(sum(lengths), inputs, dtype=torch.float64)
        given = choose.random() < 0.7
        self.h0 = normal(self.count, len(lengths), size) if given else None
        self.c0 = normal(self.count, len(lengths), hidden) if given and cell == "LSTM" else None
        offsets = torch.tensor([0, *itertools.accumulate(lengths)])
        self.steps = Steps(RAGGED, len(lengths), 0, offsets)

    def tensors(self) -> list[Tensor]:
        flat = [self.x, self.h0, self.c0, *(part for weights in self.directions for part in weights)]
        return [tensor for tensor in flat if tensor is not None]


def check(problem: Problem) -> None:
    """Outputs and all gradients in float64, outputs in float32."""
    leaves = problem.tensors()
    for leaf in leaves:
        leaf.requires_grad_()
    arguments = (problem.x, problem.steps, problem.cell, problem.h0, problem.c0, problem.directions)
    expected = recurrent_layer_reference(*arguments)
    with torch.no_grad():
        found = _recurrent_native.forward(*arguments, save=True)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    seeds = [torch.randn_like(output) for output in found]
    reached = [(output, seed) for output, seed in zip(expected, seeds, strict=True) if output.requires_grad]
    wanted = torch.autograd.grad(
        [output for output, _ in reached],
        leaves,
        [seed for _, seed in reached],
        allow_unused=True,
        materialize_grads=True,
    )
    y, c, gates = found[0], found[3], found[4]
    with torch.no_grad():
        made = _recurrent_native.backward(
            *(seed if seed.numel() else None for seed in seeds),
            *arguments,
            y,
            c,
            gates,
            need_x=True,
            need_state=True,
            need_weights=True,
        )
    given = [problem.x, problem.h0, problem.c0, *(part for w in problem.directions for part in w)]
    gradients = [gradient for gradient, part in zip(made, given, strict=False) if part is not None]
    torch.testing.assert_close(gradients, list(wanted), rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        single = Problem.__new__(Problem)
        single.__dict__.update(problem.__dict__)
        narrow = [None if part is None else part.float() for part in (problem.x, problem.h0, problem.c0)]
        directions = tuple(
            Weights(*(None if part is None else part.float() for part in weights))
            for weights in problem.directions
        )
        in_single = _recurrent_native.forward(
            narrow[0], problem.steps, problem.cell, narrow[1], narrow[2], directions, save=True
        )
        for low, high in zip(in_single, expected, strict=True):
            scale = float(high.abs().max()) if high.numel() else 0.0
            torch.testing.assert_close(low.double(), high, rtol=1e-4, atol=1e-5 * (1 + scale))


def check_bits(dtype: torch.dtype, cell: str) -> None:
    """The same sequence, alone and in company, in every order, with one, two and three threads."""
    lengths = [7, 0, 3, 31, 7, 1, 12, 5, 30, 2, 9]
    problem = Problem(cell, 21, 37, lengths, random.Random(3))
    x, h0, c0 = (None if t is None else t.detach().to(dtype) for t in (problem.x, problem.h0, problem.c0))
    directions = tuple(
        Weights(*(None if part is None else part.detach().to(dtype) for part in w))
        for w in problem.directions
    )

    def run(rows: Tensor, steps: Steps, members: list[int]) -> tuple[Tensor, ...]:
        chosen = (None if part is None else part[:, members] for part in (h0, c0))
        return _recurrent_native.forward(rows, steps, cell, *chosen, directions, save=True)

    everyone = list(range(len(lengths)))
    bounds = problem.steps.index.tolist()
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(run(x, problem.steps, everyone))
        y, h_n, _, c, gates = results[-1]
        for b in everyone:
            own = slice(bounds[b], bounds[b + 1])
            steps = Steps(RAGGED, 1, 0, torch.tensor([0, lengths[b]]))
            alone = run(x[own], steps, [b])
            assert torch.equal(alone[0], y[own])
            assert torch.equal(alone[1][:, 0], h_n[:, b])
            assert torch.equal(alone[4], gates[:, own])
            assert cell != "LSTM" or torch.equal(alone[3], c[:, own])
        order = random.Random(threads).sample(everyone, len(everyone))
        rows = torch.cat([x[bounds[b] : bounds[b + 1]] for b in order])
        offsets = torch.tensor([0, *itertools.accumulate(lengths[b] for b in order)])
        shuffled = run(rows, Steps(RAGGED, len(order), 0, offsets), order)
        assert torch.equal(shuffled[0], torch.cat([y[bounds[b] : bounds[b + 1]] for b in order]))
        assert torch.equal(shuffled[1], h_n[:, order])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def check_orders(dtype: torch.dtype, cell: str) -> None:
    """The same batch in every order of tokens has the same bits."""
    batch, length, inputs = 5, 9, 6
    problem = Problem(cell, inputs, 19, [length] * batch, random.Random(5))
    x = problem.x.detach().to(dtype)
    directions = tuple(
        Weights(*(None if part is None else part.detach().to(dtype) for part in w))
        for w in problem.directions
    )
    dense = x.view(batch, length, inputs)
    turned = dense.transpose(0, 1).reshape(-1, inputs)
    sizes = torch.full((length,), batch)
    with_rows = {
        RAGGED: (x, Steps(RAGGED, batch, 0, problem.steps.index)),
        BATCH_FIRST: (x, Steps(BATCH_FIRST, batch, length, None)),
        TIME_MAJOR: (turned, Steps(TIME_MAJOR, batch, length, None)),
        PACKED: (turned, Steps(PACKED, batch, length, sizes)),
    }
    outputs = {}
    for order, (rows, steps) in with_rows.items():
        y = _recurrent_native.forward(rows, steps, cell, None, None, directions, save=False)[0]
        if order in {TIME_MAJOR, PACKED}:
            y = y.view(length, batch, -1).transpose(0, 1).reshape(batch * length, -1)
        outputs[order] = y
    assert all(torch.equal(outputs[RAGGED], y) for y in outputs.values())


def check_not_finite() -> None:
    """NaN and infinity in one sequence stay in that sequence, and pass through as in torch."""
    for cell, value in itertools.product(CELLS, (float("nan"), float("inf"), -float("inf"))):
        problem = Problem(cell, 4, 18, [5, 3, 4], random.Random(1))
        x = problem.x.float()
        x[6, 2] = value
        directions = tuple(
            Weights(*(None if p is None else p.float() for p in w)) for w in problem.directions
        )
        arguments = (x, problem.steps, cell, None, None, directions)
        found = _recurrent_native.forward(*arguments, save=True)
        expected = recurrent_layer_reference(*arguments)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True)


def main() -> None:
    choose = random.Random(0)
    torch.manual_seed(0)
    count = 0
    for hidden in range(1, 71):
        cell = CELLS[hidden % 4]
        lengths = [choose.choice([0, 1, choose.randint(1, 9)]) for _ in range(choose.randint(0, 9))]
        torch.set_num_threads(choose.randint(1, 3))
        for _ in range(2):
            check(Problem(cell, choose.randint(1, 40), hidden, lengths, choose))
            cell = CELLS[(hidden + 1) % 4]
            count += 1
    for dtype, cell in itertools.product((torch.float32, torch.float64), CELLS):
        check_bits(dtype, cell)
        check_orders(dtype, cell)
        count += 2
    check_not_finite()
    print(_native.instruction_set(), count)  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main()
