"""The kernels against the reference, and equal bits; runs in one process for each instruction set.

``python -m tests.native.ladder`` prints the instruction set and how many cases it checked, or fails. The
environment names the instruction set and poisons scratch memory, so that what nobody wrote shows as NaN.
"""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from throughtime import _native
from throughtime.nn.recurrent.layer import LAYERS
from throughtime.ops.recurrent import native
from throughtime.ops.recurrent.activations import ACTIVATIONS, Activation
from throughtime.ops.recurrent.record import StepGradients
from throughtime.ops.recurrent.reference import recurrent_layer_reference
from throughtime.ops.recurrent.spec import CellSpec, State
from throughtime.ops.recurrent.steps import BATCH_FIRST, PACKED, RAGGED, TIME_MAJOR, Steps
from throughtime.ops.recurrent.weights import PARTS, Weights, flat

CELLS = ("LSTM", "GRU", "RNN", 'RNN{"activations": [["relu", 0.0, 0.0]]}')

# Cells with options, for the same-bits checks; `drawn_cell` makes many more.
GENERAL = (
    'LSTM{"peephole": true}',
    'LSTM{"peephole": true, "coupled": true, "clip": 0.8, "cell_clip": 0.5}',
    'GRU{"update": "new"}',
    'GRU{"reset_after": false}',
    'RNN{"activations": [["softsign", 0.0, 0.0]]}',
    "MGU",
    "LayerNormLSTM",
)


def drawn_activation(choose: random.Random, names: Iterable[str] = ACTIVATIONS) -> Activation:
    name = choose.choice(sorted(names))
    alpha, beta = ACTIVATIONS[name].alpha_and_beta
    if name in {"thresholded_relu", "leaky_relu", "elu"}:
        alpha = choose.uniform(0.1, 0.6)
    elif alpha:
        alpha, beta = alpha * choose.uniform(0.5, 0.9), beta + choose.uniform(-0.1, 0.1)
    return Activation(name, alpha, beta)


def drawn_cell(choose: random.Random) -> str:
    kind = choose.choice(["LSTM", "GRU", "RNN", "MGU", "LayerNormLSTM"])
    count = {"LSTM": 3, "GRU": 2, "RNN": 1, "MGU": 2, "LayerNormLSTM": 3}[kind]

    def perhaps(value: float) -> float:
        return value if choose.random() < 0.4 else float("inf")

    own = {
        "LSTM": {
            "peephole": choose.random() < 0.5,
            "coupled": choose.random() < 0.5,
            "cell_clip": perhaps(choose.uniform(0.1, 0.5)),
        },
        "GRU": {"reset_after": choose.random() < 0.3, "update": "new" if choose.random() < 0.5 else "old"},
        "RNN": {},
        "MGU": {},
        "LayerNormLSTM": {"eps": choose.choice([1e-5, 0.01])},
    }[kind]
    bounds = {}
    if choose.random() < 0.2:
        bounds = {
            "gradient_value": choose.choice([0.05, 0.3, float("inf")]),
            "gradient_norm": choose.choice([0.1, 1.0]),
        }
    # A gate without a bound makes states explode within a few steps, in the reference as well.
    activations = [drawn_activation(choose) for _ in range(count)]
    if kind != "RNN":
        bounded = ("sigmoid", "hard_sigmoid", "tanh", "softsign", "scaled_tanh")
        activations[0] = drawn_activation(choose, bounded)
    spec = LAYERS[kind].spec_class
    return spec(tuple(activations), clip=perhaps(choose.uniform(0.2, 1.0)), **own, **bounds).name


class Problem:
    """Random weights and tokens for one layer call."""

    def __init__(
        self, cell: str, inputs: int, hidden: int, lengths: Sequence[int], choose: random.Random
    ) -> None:
        self.spec = CellSpec.parse(cell)
        self.lengths = lengths
        self.count = choose.choice([1, 2])
        spec = self.spec
        projection = choose.randint(1, hidden) if spec.has_c and choose.random() < 0.3 else None
        biased, in_context = choose.random() < 0.8, choose.random() < 0.3
        rows, size = spec.gates * hidden, projection or hidden
        own = sum(parameter.rows for parameter in spec.own_parameters.values())

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64) * (0.5 if len(shape) == 1 else shape[-1] ** -0.5)

        self.directions = tuple(
            Weights(
                normal(rows, inputs),
                normal(rows, size),
                normal(rows) if biased else None,
                normal(rows) if biased else None,
                normal(size, hidden) if projection else None,
                normal(own * hidden) if own else None,
                normal(len(lengths), rows) if in_context else None,
            )
            for _ in range(self.count)
        )
        self.x = torch.randn(sum(lengths), inputs, dtype=torch.float64)
        given = choose.random() < 0.7
        self.h0 = normal(self.count, len(lengths), size) if given else None
        self.c0 = normal(self.count, len(lengths), hidden) if given and spec.has_c else None
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
    arguments = (problem.x, problem.steps, problem.spec, problem.h0, problem.c0, problem.directions)
    expected = recurrent_layer_reference(*arguments)
    with torch.no_grad():
        found = native.forward(*arguments, save=True)
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
        made = native.layer_backward(
            tuple(seed if seed.numel() else None for seed in seeds),
            *arguments[:-1],
            flat(problem.directions),
            (y, c, gates),
            (True, True, True),
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
        in_single = native.forward(
            narrow[0], problem.steps, problem.spec, narrow[1], narrow[2], directions, save=True
        )
        for low, high in zip(in_single, expected, strict=True):
            scale = float(high.abs().max()) if high.numel() else 0.0
            torch.testing.assert_close(low.double(), high, rtol=1e-4, atol=1e-5 * (1 + scale))


def check_record(problem: Problem) -> None:
    """The recorded gradients of every step, against a loop over one sequence that retains those of its states."""
    arguments = (problem.x, problem.steps, problem.spec, problem.h0, problem.c0, problem.directions)
    spec, bounds = problem.spec, problem.steps.index.tolist()
    for leaf in problem.tensors():
        leaf.requires_grad_()
    record = StepGradients()
    with torch.no_grad():
        y, h_n, c_n, c, gates = native.forward(*arguments, save=True)
        seeds = [torch.randn_like(y), torch.randn_like(h_n), torch.randn_like(c_n) if c_n.numel() else None]
        found = native.layer_backward(
            (*seeds, None, None),
            *arguments[:-1],
            flat(problem.directions),
            (y, c, gates),
            (True, True, True),
            record,
        )
    if spec.bounds_gradients:
        return  # what a loop that retains gradients would have to bound, too
    for (b, length), (d, weights) in itertools.product(
        enumerate(problem.lengths), enumerate(problem.directions)
    ):
        own = range(bounds[b], bounds[b + 1])
        size, hidden = weights.hh.shape[1], weights.hh.shape[0] // spec.gates
        h, c_now = (
            torch.zeros(1, size).double(),
            torch.zeros(1, hidden if spec.has_c else 0).double(),
        )
        h = h if problem.h0 is None else problem.h0[d, b : b + 1].detach()
        c_now = c_now if problem.c0 is None else problem.c0[d, b : b + 1].detach()
        state, states, total = State(h, c_now), [], torch.zeros(()).double()
        context = None if weights.context is None else weights.context[b : b + 1]
        for token in reversed(own) if d else own:
            state, _ = spec.step(problem.x[token : token + 1], state, weights, context)
            states.append((token, state))
            for part in state:
                part.requires_grad and part.retain_grad()
            total = total + (state.h[0] * seeds[0][token, d * size : (d + 1) * size]).sum()
        if not length:
            continue
        total = total + (state.h[0] * seeds[1][d, b]).sum()
        if seeds[2] is not None:
            total = total + (state.c[0] * seeds[2][d, b]).sum()
        total.backward()
        for token, made in states:
            torch.testing.assert_close(record.h[d, token], made.h.grad[0], rtol=1e-9, atol=1e-10)
            if seeds[2] is not None:
                torch.testing.assert_close(record.c[d, token], made.c.grad[0], rtol=1e-9, atol=1e-10)
    # Pre-activations: their gradients make those of weights, biases and tokens.
    dx = torch.zeros_like(problem.x)
    for d, weights in enumerate(problem.directions):
        pre, first = record.pre_activations[d], 3 + PARTS * d
        names = spec.pre_activation_names
        products = [f"token_{block}" for block in spec.row_blocks]  # of a cell that normalises them
        normalises = set(products) <= set(names)
        from_token = list(map(names.index, products if normalises else spec.row_blocks))
        to_input = pre[:, from_token].flatten(1)
        torch.testing.assert_close(to_input.t() @ problem.x, found[first], rtol=1e-9, atol=1e-10)
        dx += to_input @ weights.ih
        if weights.bias_hh is not None:
            rows = pre[:, list(range(spec.gates) if normalises else spec.recurrent_pre_activations)]
            torch.testing.assert_close(rows.sum(0).flatten(), found[first + 3], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(dx, found[0], rtol=1e-9, atol=1e-10)


FEW = (7, 0, 3, 31, 7, 1, 12, 5, 30, 2, 9)
MANY = (*FEW, 9, 9, 8, 1, 2, 9, 4, 4, 9, 7, 8, 1, 3, 9, 9, 9, 2, 6)  # steps of more rows than two tiles have


def check_bits(
    dtype: torch.dtype, cell: str, inputs: int = 21, hidden: int = 37, lengths: tuple[int, ...] = FEW
) -> None:
    """The same sequence, alone and in company, in every order, with one, two and three threads."""
    problem = Problem(cell, inputs, hidden, lengths, random.Random(3))
    x, h0, c0 = (None if t is None else t.detach().to(dtype) for t in (problem.x, problem.h0, problem.c0))
    directions = tuple(
        Weights(*(None if part is None else part.detach().to(dtype) for part in w))
        for w in problem.directions
    )

    def run(rows: Tensor, steps: Steps, members: list[int]) -> tuple[Tensor, ...]:
        chosen = (None if part is None else part[:, members] for part in (h0, c0))
        own = tuple(w if w.context is None else w._replace(context=w.context[members]) for w in directions)
        return native.forward(rows, steps, problem.spec, *chosen, own, save=True)

    everyone = list(range(len(lengths)))
    bounds = problem.steps.index.tolist()
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(run(x, problem.steps, everyone))
        y, h_n, _, c, gates = results[-1]
        for b in everyone[: len(FEW)]:
            own = slice(bounds[b], bounds[b + 1])
            steps = Steps(RAGGED, 1, 0, torch.tensor([0, lengths[b]]))
            alone = run(x[own], steps, [b])
            assert torch.equal(alone[0], y[own])
            assert torch.equal(alone[1][:, 0], h_n[:, b])
            assert torch.equal(alone[4], gates[:, own])
            assert not CellSpec.parse(cell).has_c or torch.equal(alone[3], c[:, own])
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
        y = native.forward(rows, steps, problem.spec, None, None, directions, save=False)[0]
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
        arguments = (x, problem.steps, problem.spec, None, None, directions)
        found = native.forward(*arguments, save=True)
        expected = recurrent_layer_reference(*arguments)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True)


def main() -> None:
    choose = random.Random(0)
    torch.manual_seed(0)
    count = 0
    for hidden in range(1, 71):
        # Each cell with each remainder of the number of lanes.
        cell = CELLS[(hidden + hidden // 16) % 4]
        lengths = [choose.choice([0, 1, choose.randint(1, 9)]) for _ in range(choose.randint(0, 9))]
        torch.set_num_threads(choose.randint(1, 3))
        check(Problem(cell, choose.randint(1, 40), hidden, lengths, choose))
        count += 1
    for number in range(60):
        torch.set_num_threads(choose.randint(1, 3))
        lengths = [choose.choice([0, 1, choose.randint(1, 9)]) for _ in range(choose.randint(0, 6))]
        problem = Problem(drawn_cell(choose), choose.randint(1, 20), 1 + number * 70 // 60, lengths, choose)
        check(problem)
        check_record(problem)
        count += 1
    # One token alone, as of a stream, has a product of its own.
    for hidden, cell in itertools.product((1, 7, 16, 40, 70), CELLS):
        check(Problem(cell, choose.randint(1, 40), hidden, [1], choose))
        count += 1
    # Matrices that no second cache holds are multiplied in parts.
    for cell in (*CELLS, *GENERAL):
        torch.set_num_threads(choose.randint(1, 3))
        check(Problem(cell, 210, 530 if cell.startswith("RNN") else 275, [3, 0, 17, 1, 2], choose))
        count += 1
    for cell in ("LSTM", "GRU", "RNN"):
        bounded = replace(CellSpec.parse(cell), gradient_norm=0.4, gradient_value=0.2).name
        for lengths, hidden, threads in itertools.product(
            ([9], [3, 7], [4, 0, 6, 5, 3, 8]), (19, 150), (1, 2)
        ):
            torch.set_num_threads(threads)
            check(Problem(bounded, 5, hidden, lengths, choose))
            count += 1
    for cell in CELLS:
        check_record(Problem(cell, 5, 19, [3, 0, 7, 1], choose))
    # Few sequences, and weights that are worth sharing: each thread has hidden units of its own.
    for number, cell in enumerate((*CELLS, *GENERAL)):
        torch.set_num_threads(2 + number % 2)
        for lengths in ([6], [2, 0, 4]):
            problem = Problem(cell, 5, 150, lengths, choose)
            check(problem)
            check_record(problem)
            count += 1
    for cell, inputs in itertools.product(CELLS + GENERAL, (5, 40)):
        torch.set_num_threads(1)
        check(Problem(cell, inputs, 19, MANY, choose))
        check_bits(torch.float32, cell, inputs, 37, MANY)
        count += 2
    for dtype, cell in itertools.product((torch.float32, torch.float64), CELLS + GENERAL):
        check_bits(dtype, cell)
        check_orders(dtype, cell)
        count += 2
    for cell, hidden in (("LSTM", 370), ("GRU", 420)):
        check_bits(torch.float32, cell, inputs=210, hidden=hidden)
        count += 1
    check_not_finite()
    print(_native.instruction_set(), count)  # noqa: T201 - what the test reads


if __name__ == "__main__":
    main()
