"""Linear recurrences against a loop over the steps, and equal bits; see `ladders`."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

import torch
from torch import Tensor

from tests.ops.ladder import layout_of
from throughtime.ops.scan.gated_output import gated_output
from throughtime.ops.scan.gates import BLOCKS, Candidate, Gates, coefficients
from throughtime.ops.scan.layer import gated_scan, linear_scan
from throughtime.ragged import Layout

States = tuple[Tensor, Tensor]


def by_steps(a: Tensor, b: Tensor, layout: Layout, h0: Tensor | None, *, reverse: bool) -> States:
    """By the definition, one step after the other."""
    states: list[Tensor] = [b[:0]] * len(b)
    last = []
    offsets = layout.offsets.tolist()
    for s, (begin, end) in enumerate(pairwise(offsets)):
        h = b.new_zeros(b.shape[1]) if h0 is None else h0[s]
        for t in reversed(range(begin, end)) if reverse else range(begin, end):
            h = a[t] * h + b[t]
            states[t] = h
        last.append(h)
    empty = b[:0] + a[:0]
    return torch.stack(states) if states else empty, torch.stack(last) if last else empty


def near(dtype: torch.dtype) -> dict[str, Any]:
    return {"rtol": 1e-10, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-4}


def compare(found: States, wanted: States, leaves: Sequence[Tensor], what: str) -> None:
    """States and all gradients."""
    seeds = [torch.randn_like(part) for part in wanted]
    results = [
        [*states, *torch.autograd.grad(states, leaves, seeds, allow_unused=True, materialize_grads=True)]
        for states in (found, wanted)
    ]
    torch.testing.assert_close(*results, msg=lambda text: f"{what}: {text}", **near(wanted[0].dtype))


def check(choose: random.Random, dtype: torch.dtype) -> None:
    """One problem, with factors as they are given, and one with each kind of gates."""
    features = choose.choice([1, 2, 3, 7, 16, 17, 40, 64, 65, 130])
    lengths = [choose.choice([0, 1, 2, 13, 63, 64, 65, 129, 200]) for _ in range(choose.randint(1, 3))]
    layout, reverse = layout_of(lengths), choose.random() < 0.5
    h0 = torch.randn(len(lengths), features, dtype=dtype, requires_grad=True)
    start = h0 if choose.random() < 0.8 else None
    leaves = [] if start is None else [h0]
    a, b = ((torch.randn(sum(lengths), features, dtype=dtype) * scale) for scale in (0.6, 1))
    a.requires_grad_()
    b.requires_grad_()
    wanted = by_steps(a, b, layout, start, reverse=reverse)
    found = linear_scan(a, b, layout, start, reverse=reverse)
    compare(found, wanted, [a, b, *leaves], f"{lengths}, {features}, reverse={reverse}")
    for gates in choose.sample(get_args(Gates), 2):
        candidate = choose.choice(get_args(Candidate))
        u = torch.randn(sum(lengths), BLOCKS[gates] * features, dtype=dtype, requires_grad=True)
        wanted = by_steps(*coefficients(u, gates, candidate), layout, start, reverse=reverse)
        found = gated_scan(u, layout, start, gates=gates, candidate=candidate, reverse=reverse)
        compare(found, wanted, [u, *leaves], f"{gates}, {candidate}, {lengths}, reverse={reverse}")


def _output_by_definition(u: Tensor, h: Tensor, skip: Tensor | None) -> Tensor:
    size = h.shape[1]
    gate = 1 / (1 + torch.exp(-u[:, :size]))
    other = skip if u.shape[1] == size else u[:, size:]
    return gate * h if other is None else gate * h + (1 - gate) * other


def check_output(choose: random.Random, dtype: torch.dtype) -> None:
    """The gated output, alone and as a highway, on one and on several threads."""
    tokens, features, blocks = (
        choose.choice([0, 1, 5, 700]),
        choose.choice([1, 7, 16, 65, 130]),
        choose.choice([1, 2]),
    )
    u, h, x = (
        torch.randn(tokens, width * features, dtype=dtype, requires_grad=True) for width in (blocks, 1, 1)
    )
    skip = x if blocks == 1 and choose.random() < 0.5 else None
    leaves = [u, h] if skip is None else [u, h, x]
    seed, results = torch.randn(tokens, features, dtype=dtype), []
    for count in (1, 2):
        torch.set_num_threads(count)
        y = gated_output(u, h, skip)
        results.append([y, *torch.autograd.grad(y, leaves, seed)])
    torch.set_num_threads(1)
    wanted = _output_by_definition(u, h, skip)
    torch.testing.assert_close(
        results[0], [wanted, *torch.autograd.grad(wanted, leaves, seed)], **near(dtype)
    )
    assert all(map(torch.equal, *results)), (tokens, features, blocks)
    row = slice(tokens // 2, tokens // 2 + 1)
    alone = gated_output(u[row], h[row], None if skip is None else skip[row])
    assert torch.equal(alone, results[0][0][row])


def check_same_bits(choose: random.Random, dtype: torch.dtype, lengths: list[int], features: int) -> None:
    """A sequence alone and in the batch, on one, two and three threads."""
    reverse, gates = choose.random() < 0.5, choose.choice([None, *get_args(Gates)])
    u = torch.randn(sum(lengths), features * BLOCKS.get(gates, 2), dtype=dtype)  # type: ignore[arg-type]
    h0, seed = (
        torch.randn(len(lengths), features, dtype=dtype),
        torch.randn(sum(lengths), features, dtype=dtype),
    )

    def run(u: Tensor, seed: Tensor, h0: Tensor, lengths: list[int]) -> list[Tensor]:
        u, h0, layout = u.clone().requires_grad_(), h0.clone().requires_grad_(), layout_of(lengths)
        if gates is None:
            a, b = u.chunk(2, 1)
            states = linear_scan(a.tanh(), b, layout, h0, reverse=reverse)
        else:
            states = gated_scan(u, layout, h0, gates=gates, candidate="tanh", reverse=reverse)
        return [*states, *torch.autograd.grad(states, [u, h0], [seed, states[1].detach()])]

    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found = run(u, seed, h0, lengths)
            if count == 1:
                whole = found
            assert all(map(torch.equal, found, whole)), (count, lengths, features, gates)
    finally:
        torch.set_num_threads(threads)
    of_tokens, of_states = (
        zip(*(part.split(lengths) for part in (whole[0], whole[2])), strict=True),
        whole[1::2],
    )
    for s, (rows, seeds) in enumerate(zip(u.split(lengths), seed.split(lengths), strict=True)):
        h, last, du, dh0 = run(rows, seeds, h0[s : s + 1], [lengths[s]])
        wanted_h, wanted_du = next(of_tokens)
        wanted_last, wanted_dh0 = (part[s : s + 1] for part in of_states)
        assert torch.equal(h, wanted_h), (s, lengths, features, gates)
        assert torch.equal(du, wanted_du), (s, lengths, features, gates)
        assert torch.equal(last, wanted_last), (s, lengths, features, gates)
        assert torch.equal(dh0, wanted_dh0), (s, lengths, features, gates)


def climb(count: int, seed: int) -> int:
    torch.manual_seed(seed)
    choose = random.Random(seed)
    for index in range(count):
        dtype = (torch.float64, torch.float32)[index % 2]
        check(choose, dtype)
        check_output(choose, dtype)
        check_same_bits(choose, dtype, [choose.choice([0, 1, 64, 65, 200]) for _ in range(3)], 17)
    # Beyond the size from which threads share the work, of one sequence and of several.
    for lengths, features in (([6000], 70), ([0, 5000, 3, 900], 33), ([700] * 6, 64), ([20000], 1)):
        for dtype in (torch.float64, torch.float32):
            check_same_bits(choose, dtype, lengths, features)
    return count
