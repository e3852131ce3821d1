"""Pooling against torch, and equal bits; see `ladders`."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.ops.ladder import layout_of
from throughtime.ops.pool.layer import (
    max_over_time,
    max_over_windows,
    mean_over_time,
    mean_over_windows,
    sum_over_time,
)
from throughtime.ops.pool.reference import (
    max_over_time_reference,
    max_over_windows_reference,
    mean_over_time_reference,
    mean_over_windows_reference,
    sum_over_time_reference,
)
from throughtime.ops.windows import Windows
from throughtime.ragged import Layout


class Pooling(NamedTuple):
    """One operation three times: as called, in plain torch, and torch's own on one sequence (L, C)."""

    name: str
    native: Callable[[Tensor, Layout], tuple[Tensor, Layout]]
    plain: Callable[[Tensor, Layout, Layout], Tensor]
    torchs: Callable[[Tensor], Tensor]


def one_each(layout: Layout) -> Layout:
    return layout_of([1] * len(layout))


WHOLE = (
    Pooling(
        "max",
        lambda x, layout: (max_over_time(x, layout), one_each(layout)),
        lambda x, layout, out: max_over_time_reference(x, layout),
        lambda row: row.max(0, keepdim=True).values,
    ),
    Pooling(
        "mean",
        lambda x, layout: (mean_over_time(x, layout), one_each(layout)),
        lambda x, layout, out: mean_over_time_reference(x, layout),
        lambda row: row.mean(0, keepdim=True),
    ),
    Pooling(
        "sum",
        lambda x, layout: (sum_over_time(x, layout), one_each(layout)),
        lambda x, layout, out: sum_over_time_reference(x, layout),
        lambda row: row.sum(0, keepdim=True),
    ),
)


def max_pooling(windows: Windows, *, ceil: bool) -> Pooling:
    def torchs(row: Tensor) -> Tensor:
        size, stride, dilation, padding, *_ = windows
        y: Tensor = F.max_pool1d(row.T[None], size, stride, padding, dilation, ceil)
        return y[0].T

    return Pooling(
        f"max of {windows}, ceil {ceil}",
        lambda x, layout: max_over_windows(x, layout, windows, ceil_mode=ceil),
        lambda x, layout, out: max_over_windows_reference(x, layout, out, windows),
        torchs,
    )


def mean_pooling(windows: Windows, *, ceil: bool, count_padding: bool) -> Pooling:
    windows = windows._replace(dilation=1)  # torch has no other

    def torchs(row: Tensor) -> Tensor:
        return F.avg_pool1d(row.T[None], windows.size, windows.stride, windows.left, ceil, count_padding)[0].T

    return Pooling(
        f"mean of {windows}, ceil {ceil}, count_padding {count_padding}",
        lambda x, layout: mean_over_windows(x, layout, windows, ceil_mode=ceil, count_padding=count_padding),
        lambda x, layout, out: mean_over_windows_reference(
            x, layout, out, windows, count_padding=count_padding
        ),
        torchs,
    )


def drawn_pooling(choose: random.Random) -> Pooling:
    size = choose.choice([1, 2, 2, 3, 3, 5, 8, 130])
    padding = choose.randint(0, min(size // 2, 9))
    dilation = choose.choice([1, 1, 2, 3])
    windows = Windows(size, choose.choice([1, 2, 3, 7]), dilation, padding, padding)
    kind, ceil = choose.choice(["whole", "max", "mean"]), choose.random() < 0.4
    if kind == "max":
        return max_pooling(windows, ceil=ceil)
    if kind == "mean":
        return mean_pooling(windows, ceil=ceil, count_padding=choose.random() < 0.5)
    return choose.choice(WHOLE)


def drawn_values(choose: random.Random, total: int, dtype: torch.dtype) -> Tensor:
    """Draw features that no tile divides; often few different values, of which many are equal."""
    features = choose.choice([1, 3, 4, 7, 8, 15, 16, 17, 31, 64, 100, 131])
    x = torch.randn(total, features, dtype=dtype)
    return x.mul(2).round() if choose.random() < 0.5 else x


def by_torch(pooling: Pooling, x: Tensor, layout: Layout, out: Layout) -> Tensor:
    """Each sequence alone; what has no windows is left out, and an empty whole sequence is zeros."""
    parts = []
    for row, count in zip(x.split(layout.lengths.tolist()), out.lengths.tolist(), strict=True):
        if count and len(row):
            parts.append(pooling.torchs(row))
            assert len(parts[-1]) == count
        elif count:
            parts.append(x.new_zeros(count, x.shape[1]))
    return torch.cat(parts) if parts else x[:0] * 1


def check(pooling: Pooling, x: Tensor, layout: Layout) -> None:
    """Outputs and gradients: native, in plain torch, and torch's own on each sequence alone."""
    near: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12} if x.dtype == torch.float64 else {}
    x = x.requires_grad_()
    y, out = pooling.native(x, layout)
    seed = torch.randn_like(y)
    found = y, _gradient(y, x, seed)
    for wanted in (pooling.plain(x, layout, out), by_torch(pooling, x, layout, out)):
        expected = wanted, _gradient(wanted, x, seed)
        torch.testing.assert_close(found, expected, msg=lambda text: f"{pooling.name}: {text}", **near)
    with torch.no_grad():
        assert torch.equal(pooling.native(x, layout)[0], y)


def _gradient(y: Tensor, x: Tensor, seed: Tensor) -> Tensor:
    if not y.requires_grad:
        return torch.zeros_like(x)
    (dx,) = torch.autograd.grad(y, x, seed, allow_unused=True, materialize_grads=True)
    return dx


def check_same_bits(pooling: Pooling, x: Tensor, lengths: list[int], choose: random.Random) -> None:
    """A sequence alone, in another order, and with other threads: output and gradient bit for bit."""
    whole = _parts(pooling, x, lengths)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for found, wanted in zip(_parts(pooling, x, lengths), whole, strict=True):
                assert all(map(torch.equal, found, wanted)), (count, pooling.name)
    finally:
        torch.set_num_threads(threads)
    order = list(range(len(lengths)))
    choose.shuffle(order)
    for chosen in (order, order[:1]):
        rows = x.split(lengths)
        part = _parts(pooling, torch.cat([rows[b] for b in chosen]), [lengths[b] for b in chosen])
        for found, wanted in zip(part, whole, strict=True):
            assert all(map(torch.equal, found, [wanted[b] for b in chosen])), pooling.name


def _parts(pooling: Pooling, x: Tensor, lengths: list[int]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the outputs and gradients of each sequence."""
    x = x.detach().clone().requires_grad_()
    y, out = pooling.native(x, layout_of(lengths))
    # A function of the output alone is its seed: the same for a sequence wherever it stands.
    dx = _gradient(y, x, y.detach().clamp(-9, 9) + 0.3)
    return list(y.detach().split(out.lengths.tolist())), list(dx.split(lengths))


def climb(count: int, seed: int) -> int:
    torch.manual_seed(seed)
    choose = random.Random(seed)
    for index in range(count):
        lengths = [choose.choice([0, 1, 2, 3, 5, 13, 50, 131, 300]) for _ in range(choose.randint(1, 6))]
        pooling = drawn_pooling(choose)
        x = drawn_values(choose, sum(lengths), (torch.float64, torch.float32)[index % 2])
        check(pooling, x, layout_of(lengths))
        check_same_bits(pooling, x, lengths, choose)
    # Beyond the size from which threads share the work: many sequences, and one that is shared by itself.
    for lengths in ([700] * 9, [6000, 3], [0, 9000]):
        x = torch.randn(sum(lengths), 160)
        for pooling in (*WHOLE, max_pooling(Windows(3, 2, 1, 1, 1), ceil=False)):
            check_same_bits(pooling, x, lengths, choose)
    return count
