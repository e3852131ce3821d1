"""Normalisation against torch, and equal bits; see `ladders`."""

import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.ops.ladder import layout_of
from throughtime.ops.norm.layer import batch_norm, normalize_sequences
from throughtime.ragged import Layout

EPS = 1e-3


@dataclass
class Problem:
    """Random tokens, weight and bias for one call."""

    x: Tensor
    lengths: list[int]
    groups: int
    weight: Tensor | None
    bias: Tensor | None

    @property
    def layout(self) -> Layout:
        return layout_of(self.lengths)

    @property
    def leaves(self) -> list[Tensor]:
        return [part for part in (self.x, self.weight, self.bias) if part is not None]


def drawn(choose: random.Random, dtype: torch.dtype) -> Problem:
    """Draw lengths from 0 to beyond some chunks of the kernel's rows, and features that no tile divides."""
    features = choose.choice([1, 2, 3, 6, 12, 17, 24, 60, 64, 100, 130, 288])
    groups = choose.choice([count for count in range(1, features + 1) if features % count == 0])
    lengths = [choose.choice([0, 1, 2, 13, 63, 64, 65, 150, 300]) for _ in range(choose.randint(1, 5))]
    # Far from zero, where a careless variance loses its digits.
    x = torch.randn(sum(lengths), features, dtype=dtype) * 2 + choose.choice([0, 0, 30])
    weight = torch.randn(features, dtype=dtype) if choose.random() < 0.8 else None
    bias = torch.randn(features, dtype=dtype) if choose.random() < 0.8 else None
    return Problem(x, lengths, groups, weight, bias)


def near(dtype: torch.dtype) -> dict[str, Any]:
    return {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-3}


def gradients(y: Tensor, problem: Problem, seed: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y, problem.leaves, seed, allow_unused=True, materialize_grads=True)


def compare(found: Tensor, wanted: Tensor, problem: Problem, what: str) -> None:
    """Output and all gradients."""
    seed = torch.randn_like(wanted)
    torch.testing.assert_close(
        [found, *gradients(found, problem, seed)],
        [wanted, *gradients(wanted, problem, seed)],
        msg=lambda text: f"{what}, {problem.lengths}, {problem.x.shape}, {problem.groups} groups: {text}",
        **near(problem.x.dtype),
    )


def check_sequences(problem: Problem) -> None:
    """Each sequence alone."""
    x, groups, weight, bias = problem.x, problem.groups, problem.weight, problem.bias
    for leaf in problem.leaves:
        leaf.requires_grad_()
    found = normalize_sequences(x, problem.layout, groups, EPS, weight, bias)
    parts = [_alone(row, groups, weight, bias) for row in x.split(problem.lengths) if len(row)]
    compare(found, torch.cat(parts) if parts else x * 1, problem, "sequences")


def _alone(row: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """By the definition: torch's group norm refuses a group of one value, and a bias without a weight."""
    grouped = row.T.reshape(groups, -1)
    variance, mean = torch.var_mean(grouped, 1, correction=0, keepdim=True)
    y = ((grouped - mean) / (variance + EPS).sqrt()).view(row.shape[1], len(row)).T
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def check_batch(problem: Problem, choose: random.Random) -> None:
    """The batch norm of torch, with its running statistics, in training and by them."""
    x, relu = problem.x, choose.random() < 0.4
    for leaf in problem.leaves:
        leaf.requires_grad_()
    if len(x) < 2:
        return
    running = torch.randn(x.shape[1], dtype=x.dtype), torch.rand(x.shape[1], dtype=x.dtype) + 0.2
    training = choose.random() < 0.6
    ours, theirs = ([one.clone() for one in running] for _ in range(2))
    if training and choose.random() < 0.3:
        ours = theirs = [None, None]
    options = (problem.weight, problem.bias, training, choose.choice([0.0, 0.1, 1.0]), EPS)
    found = batch_norm(x, *ours, *options, relu=relu)
    wanted = F.batch_norm(x, *theirs, *options)
    compare(found, wanted.relu() if relu else wanted, problem, f"batch, training {training}, relu {relu}")
    torch.testing.assert_close(ours, theirs, **near(x.dtype))


def check_same_bits(problem: Problem, choose: random.Random) -> None:
    """A sequence alone, in another order, and with other threads; a batch with other threads."""
    whole, batch = _parts(problem), _of_batch(problem)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for found, wanted in zip(_parts(problem), whole, strict=True):
                assert all(map(torch.equal, found, wanted)), (count, problem.lengths)
            assert all(map(torch.equal, _of_batch(problem), batch)), (count, problem.lengths)
    finally:
        torch.set_num_threads(threads)
    order = list(range(len(problem.lengths)))
    choose.shuffle(order)
    rows = problem.x.detach().split(problem.lengths)
    for chosen in (order, order[:1]):
        lengths = [problem.lengths[b] for b in chosen]
        x = torch.cat([rows[b] for b in chosen])
        part = _parts(Problem(x, lengths, problem.groups, problem.weight, problem.bias))
        for found, wanted in zip(part, whole, strict=True):
            assert all(map(torch.equal, found, [wanted[b] for b in chosen])), problem.lengths


def _parts(problem: Problem) -> tuple[list[Tensor], list[Tensor]]:
    """Return the outputs and gradients of each sequence; an output is its own seed."""
    x = problem.x.detach().clone().requires_grad_()
    y = normalize_sequences(x, problem.layout, problem.groups, EPS, problem.weight, problem.bias)
    (dx,) = torch.autograd.grad(y, x, y.detach() + 0.3)
    return list(y.detach().split(problem.lengths)), list(dx.split(problem.lengths))


def _of_batch(problem: Problem) -> tuple[Tensor, ...]:
    if len(problem.x) < 2:
        return ()
    x = problem.x.detach().clone().requires_grad_()
    given = [
        None if part is None else part.detach().requires_grad_() for part in (problem.weight, problem.bias)
    ]
    y = batch_norm(x, None, None, *given, training=True, eps=EPS)
    wanted = [x, *(part for part in given if part is not None)]
    return y.detach(), *torch.autograd.grad(y, wanted, y.detach() + 0.3)


def climb(count: int, seed: int) -> int:
    torch.manual_seed(seed)
    choose = random.Random(seed)
    for index in range(count):
        dtype = (torch.float64, torch.float32)[index % 2]
        check_sequences(drawn(choose, dtype))
        check_batch(drawn(choose, dtype), choose)
        check_same_bits(drawn(choose, dtype), choose)
    # Beyond the size from which threads share the work.
    for features, groups in ((160, 160), (160, 5), (40, 1)):
        x = torch.randn(9000, features)
        check_same_bits(Problem(x, [0, 6000, 3, 2997], groups, None, None), choose)
        check_batch(Problem(x, [9000], groups, torch.randn(features), None), choose)
    return count
