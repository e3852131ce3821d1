"""The CRF against the algorithm of pytorch-crf: padded batches, a mask, and autograd through every step.

    python benchmarks/crf.py [--rounds 15] [--threads 1]

32 sequences with lengths from L/10 to L, C tags. Contenders run in turns; padding is not timed. A step is the
log-likelihood and the gradients of emissions and parameters; the value is the log-likelihood alone. Prints
medians in milliseconds, and the padded algorithm's time over ours.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

import throughtime as tt
from throughtime import Ragged

BATCH = 32


def padded_score(crf: tt.nn.CRF, x: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """Return (B,) s(x, y) of x (L, B, C)."""
    rows, counted = torch.arange(x.shape[1]), mask.float()
    score = crf.start[tags[0]] + x[0, rows, tags[0]]
    for t in range(1, len(x)):
        score = score + (crf.transitions[tags[t - 1], tags[t]] + x[t, rows, tags[t]]) * counted[t]
    return score + crf.end[tags[mask.sum(0) - 1, rows]]


def padded_partition(crf: tt.nn.CRF, x: Tensor, mask: Tensor) -> Tensor:
    """Return (B,) log Z."""
    state = crf.start + x[0]
    for t in range(1, len(x)):
        after = torch.logsumexp(state[:, :, None] + crf.transitions + x[t][:, None], 1)
        state = torch.where(mask[t][:, None], after, state)
    return torch.logsumexp(state + crf.end, 1)


@torch.no_grad()
def padded_decode(crf: tt.nn.CRF, x: Tensor, mask: Tensor) -> list[list[int]]:
    state, history = crf.start + x[0], []
    for t in range(1, len(x)):
        after, before = (state[:, :, None] + crf.transitions + x[t][:, None]).max(1)
        state = torch.where(mask[t][:, None], after, state)
        history.append(before)
    paths = []
    for b, length in enumerate(mask.sum(0).tolist()):
        path = [int((state[b] + crf.end).argmax())]
        for before in reversed(history[: length - 1]):
            path.append(int(before[b][path[-1]]))
        paths.append(path[::-1])
    return paths


def contenders(tags: int, longest: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Return pairs of ours and the padded algorithm, checked to agree."""
    torch.manual_seed(0)
    lengths = torch.randint(longest // 10, longest + 1, (BATCH,))
    lengths[0] = longest
    total = int(lengths.sum())
    x, y = torch.randn(total, tags), Ragged.from_lengths(torch.randint(tags, (total,)), lengths)
    emissions, crf = Ragged.from_lengths(x, lengths), tt.nn.CRF(tags)
    columns, padded_tags, mask = (
        part.transpose(0, 1).contiguous() for part in (emissions.to_padded(), y.to_padded(), emissions.mask())
    )

    def ours(values: Tensor) -> Tensor:
        return crf.log_likelihood(emissions.with_values(values), y)

    def padded(values: Tensor) -> Tensor:
        return padded_score(crf, values, padded_tags, mask) - padded_partition(crf, values, mask)

    def step(likelihood: Callable[[Tensor], Tensor], values: Tensor) -> object:
        values = values.clone().requires_grad_()
        return torch.autograd.grad(likelihood(values).sum(), [values, *crf.parameters()])

    def value(likelihood: Callable[[Tensor], Tensor], values: Tensor) -> object:
        with torch.no_grad():
            return likelihood(values)

    torch.testing.assert_close(value(ours, x), value(padded, columns), rtol=1e-4, atol=1e-3)
    found, expected = step(ours, x), step(padded, columns)
    torch.testing.assert_close(found[1:], expected[1:], rtol=1e-3, atol=1e-3)
    assert [path.tolist() for path in crf.decode(emissions)] == padded_decode(crf, columns, mask)
    return {
        "step": (lambda: step(ours, x), lambda: step(padded, columns)),
        "value": (lambda: value(ours, x), lambda: value(padded, columns)),
        "decode": (lambda: crf.decode(emissions), lambda: padded_decode(crf, columns, mask)),
    }


def seconds(calls: tuple[Callable[[], object], ...], rounds: int) -> list[float]:
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds + 1):
        for call, measured in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            measured.append(time.perf_counter() - begin)
    return [statistics.median(measured[1:]) for measured in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for tags in (9, 45):
        for longest in (25, 100):
            for name, calls in contenders(tags, longest).items():
                ours, padded = seconds(calls, options.rounds)
                label, milliseconds = f"C={tags:<3} L={longest:<4} {name:7}", (ours * 1e3, padded * 1e3)
                print(label, "ours {:7.2f}   padded {:7.2f}".format(*milliseconds), f"{padded / ours:8.1f}x")


if __name__ == "__main__":
    main()
