"""The convolution against torch, and equal bits; see `ladders`."""

import itertools
import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.ops.ladder import layout_of
from throughtime.ops.conv import native
from throughtime.ops.conv.layer import conv1d, conv_transpose1d
from throughtime.ops.conv.reference import (
    correlate_reference,
    input_gradient_reference,
    weight_gradient_reference,
)
from throughtime.ops.windows import Geometry, Windows
from throughtime.ragged import Layout


@dataclass
class Problem:
    """Random tokens and weights for one call."""

    x: Tensor
    layout: Layout
    weight: Tensor
    bias: Tensor | None
    windows: Windows
    groups: int

    @property
    def out(self) -> Layout:
        return Layout.from_lengths(self.windows.output_lengths(self.layout.lengths), torch.device("cpu"))

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.layout.offsets, self.out.offsets, self.windows, self.groups)

    @property
    def leaves(self) -> list[Tensor]:
        return [part for part in (self.x, self.weight, self.bias) if part is not None]


def drawn_windows(choose: random.Random) -> Windows:
    size = choose.choice([1, 2, 3, 5, 9])
    dilation = choose.choice([1, 1, 2, 4])
    reach = dilation * (size - 1)
    left, right = choose.choice([(0, 0), (reach, 0), (reach // 2, reach - reach // 2), (1, 3)])
    return Windows(size, choose.choice([1, 1, 2, 3]), dilation, left, right, choose.random() < 0.4)


def drawn(choose: random.Random, dtype: torch.dtype = torch.float64) -> Problem:
    """Draw lengths from 0 to beyond a segment of the kernel's rows, and channels that no tile divides."""
    groups = choose.choice([1, 1, 2, 3])
    depthwise = choose.random() < 0.2
    channels = 1 if depthwise else choose.choice([1, 3, 8, 17, 40])
    groups = choose.choice([5, 16, 33]) if depthwise else groups
    outputs = choose.choice([1, 2]) if depthwise else choose.choice([1, 4, 7, 16, 37, 70])
    windows = drawn_windows(choose)
    lengths = [choose.choice([0, 1, 2, 5, 13, 50, 131]) for _ in range(choose.randint(1, 5))]
    biased = choose.random() < 0.7
    return Problem(
        torch.randn(sum(lengths), channels * groups, dtype=dtype),
        layout_of(lengths),
        torch.randn(outputs * groups, channels, windows.size, dtype=dtype)
        * (channels * windows.size) ** -0.5,
        torch.randn(outputs * groups, dtype=dtype) if biased else None,
        windows,
        groups,
    )


def by_torch(problem: Problem) -> Tensor:
    """Each sequence alone through torch's own convolution."""
    windows, parts = problem.windows, []
    lengths = problem.layout.lengths.tolist()
    for sequence, count in zip(problem.x.split(lengths), problem.out.lengths.tolist(), strict=True):
        if count == 0:
            continue
        row = sequence.T.unsqueeze(0)
        mode = "replicate" if windows.replicate else "constant"
        row = F.pad(row, (windows.left, windows.right), mode=mode)
        y = F.conv1d(row, problem.weight, problem.bias, windows.stride, 0, windows.dilation, problem.groups)
        assert y.shape[2] == count
        parts.append(y[0].T)
    return torch.cat(parts) if parts else problem.x.new_zeros(0, problem.weight.shape[0])


def check(problem: Problem, *, relu: bool = False) -> None:
    """Outputs and all gradients: native, reference, and torch on each sequence alone."""
    for leaf in problem.leaves:
        leaf.requires_grad_()
    wide = problem.x.dtype == torch.float64
    near = {"rtol": 1e-10, "atol": 1e-11} if wide else {"rtol": 2e-4, "atol": 2e-4}
    y, out = conv1d(
        problem.x,
        problem.layout,
        problem.weight,
        problem.bias,
        problem.windows,
        problem.groups,
        relu=relu,
    )
    seed = torch.randn_like(y)
    wanted = by_torch(problem)
    wanted = wanted.relu() if relu else wanted
    plain = correlate_reference(
        problem.x, problem.weight, problem.bias, problem.geometry, out.total, relu=relu
    )
    found = [y, *gradients(y, problem, seed)]
    torch.testing.assert_close(found, [wanted, *gradients(wanted, problem, seed)], **near)
    torch.testing.assert_close(found, [plain, *gradients(plain, problem, seed)], **near)


def gradients(y: Tensor, problem: Problem, seed: Tensor) -> tuple[Tensor, ...]:
    if not y.requires_grad:
        return tuple(torch.zeros_like(leaf) for leaf in problem.leaves)
    return torch.autograd.grad(y, problem.leaves, seed, allow_unused=True, materialize_grads=True)


@torch.no_grad()
def check_parts(problem: Problem) -> None:
    """The two gradients as functions, with what only the transposed convolution and BPTT ask of them."""
    geometry, total = problem.geometry, problem.x.shape[0]
    dy = torch.randn(problem.out.total, problem.weight.shape[0], dtype=problem.x.dtype)
    start = torch.randn(problem.x.shape[1], dtype=problem.x.dtype)
    near = {"rtol": 1e-10, "atol": 1e-11}
    found = native.input_gradient(dy, problem.weight, start, geometry, total)
    wanted = input_gradient_reference(dy, problem.weight, start, geometry, total)
    torch.testing.assert_close(found, wanted, **near)
    for bias in (True, False):
        got = native.weight_gradient(problem.x, dy, geometry, bias=bias)
        torch.testing.assert_close(got, weight_gradient_reference(problem.x, dy, geometry, bias=bias), **near)


@torch.no_grad()
def check_few(choose: random.Random, dtype: torch.dtype) -> None:
    """Gradients where most of dy is zero, as behind a maximum over time; and that company changes no bits."""
    problem = drawn(choose, dtype)
    geometry, total = problem.geometry, problem.x.shape[0]
    dy = torch.randn(problem.out.total, problem.weight.shape[0], dtype=dtype)
    dy = dy.where(torch.rand_like(dy) < choose.choice([0.0, 0.01, 0.05, 0.1, 0.12, 0.2]), 0)
    start = torch.randn(problem.x.shape[1], dtype=dtype) if choose.random() < 0.5 else None
    near = {"rtol": 1e-10, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 2e-4, "atol": 2e-4}
    dx = native.input_gradient(dy, problem.weight, start, geometry, total)
    wanted = input_gradient_reference(dy, problem.weight, start, geometry, total)
    torch.testing.assert_close(dx, wanted, **near)
    weights = native.weight_gradient(problem.x, dy, geometry, bias=True)
    torch.testing.assert_close(weights, weight_gradient_reference(problem.x, dy, geometry, bias=True), **near)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads % 3 + 1)
    assert torch.equal(dx, native.input_gradient(dy, problem.weight, start, geometry, total))
    others = native.weight_gradient(problem.x, dy, geometry, bias=True)
    assert all(map(torch.equal, weights, others))
    torch.set_num_threads(threads)
    # Beside sequences whose gradients are dense.
    company = replace(problem, layout=layout_of([*problem.layout.lengths.tolist(), 60, 200]))
    full = torch.cat([dy, torch.randn(company.out.total - len(dy), dy.shape[1], dtype=dtype)])
    both = native.input_gradient(full, problem.weight, start, company.geometry, company.layout.total)
    assert torch.equal(dx, both[:total]), (problem.windows, problem.groups)


@torch.no_grad()
def check_transposed(choose: random.Random) -> None:
    """The transposed convolution against torch's, each sequence alone."""
    groups, size, stride, dilation = (
        choose.choice([1, 2]),
        choose.choice([1, 3, 4]),
        choose.choice([1, 2, 3]),
        1,
    )
    dilation = choose.choice([1, 2])
    padding = choose.randint(0, dilation * (size - 1) // 2)
    extra = choose.randint(0, max(stride, dilation) - 1)
    lengths = [choose.choice([0, 1, 4, 60]) for _ in range(choose.randint(1, 4))]
    layout = layout_of(lengths)
    x = torch.randn(sum(lengths), 6 * groups, dtype=torch.float64)
    weight = torch.randn(6 * groups, 5, size, dtype=torch.float64)
    bias = torch.randn(5 * groups, dtype=torch.float64)
    windows = Windows(size, stride, dilation, padding, padding)
    y, out = conv_transpose1d(x, layout, weight, bias, windows, groups, extra)
    parts = [
        F.conv_transpose1d(sequence.T[None], weight, bias, stride, padding, extra, groups, dilation)[0].T
        for sequence in x.split(lengths)
        if len(sequence)
    ]
    found = [part for part in y.split(out.lengths.tolist()) if len(part)]
    torch.testing.assert_close(found, parts, rtol=1e-10, atol=1e-11)


@torch.no_grad()
def check_same_bits(problem: Problem, choose: random.Random) -> None:
    """A sequence alone, in another order, and with other threads: outputs and input gradients bit for bit.

    The weight gradient is a sum over the batch; its bits depend on the order alone, not on the threads.
    """
    threads = torch.get_num_threads()
    whole = _parts(problem)
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            for found, wanted in zip(_parts(problem), whole, strict=True):
                assert torch.equal(found, wanted), (count, problem.windows, problem.groups)
    finally:
        torch.set_num_threads(threads)
    order = list(range(len(problem.layout)))
    choose.shuffle(order)
    for chosen in (order, order[:1]):
        _check_chosen(problem, chosen, whole)


def _check_chosen(problem: Problem, chosen: list[int], whole: tuple[Tensor, ...]) -> None:
    lengths, counts = problem.layout.lengths.tolist(), problem.out.lengths.tolist()
    xs, ys, dxs = problem.x.split(lengths), whole[0].split(counts), whole[1].split(lengths)
    part = Problem(
        torch.cat([xs[b] for b in chosen]),
        layout_of([lengths[b] for b in chosen]),
        problem.weight,
        problem.bias,
        problem.windows,
        problem.groups,
    )
    y, dx, *_ = _parts(part)
    assert torch.equal(y, torch.cat([ys[b] for b in chosen])), (problem.windows, problem.groups)
    assert torch.equal(dx, torch.cat([dxs[b] for b in chosen])), (problem.windows, problem.groups)


def _parts(problem: Problem) -> tuple[Tensor, ...]:
    geometry, total = problem.geometry, problem.x.shape[0]
    y = native.forward(problem.x, problem.weight, problem.bias, geometry, problem.out.total)
    # The output is its own seed: the same for a sequence wherever it stands.
    dx = native.input_gradient(y, problem.weight, None, geometry, total)
    return y, dx, *native.weight_gradient(problem.x, y, geometry, bias=True)


def climb(count: int, seed: int) -> int:
    torch.manual_seed(seed)
    choose = random.Random(seed)
    for index, dtype in itertools.product(range(count), (torch.float64, torch.float32)):
        check(drawn(choose, dtype), relu=index % 3 == 0)
        check_same_bits(drawn(choose, dtype), choose)
        for _ in range(3):
            check_few(choose, dtype)
        if dtype == torch.float64:
            check_parts(drawn(choose))
            check_transposed(choose)
    return count
