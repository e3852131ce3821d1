"""One model in several Python threads at once: how calls per second grow with the threads.

    python benchmarks/concurrency.py [--threads 1 2 8] [--seconds 0.5] [--rounds 7] [--only LSTM …]

Every thread calls the same layer or model in evaluation, without gradients, on a batch of its own, with one
native thread (torch.set_num_threads(1)); numbers of threads take turns. The first row is a product of torch,
for what the machine allows at that time. Batches are those of training (32 sequences of 64 steps) and of a
service (1 sequence of 50 steps), where Python between the native calls, which threads share, counts.

Prints the median of calls per second with one thread, of the ratio of the other numbers of threads to it, and
how far a loop in Python gets meanwhile: its rate beside one thread that calls the model, over that beside one
that hashes with the interpreter lock released. It is near 1 where native code releases the lock, also on a
busy machine, and near 0 beside `sum`, which holds it ("sum of a range").
"""

import argparse
import hashlib
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import throughtime as tt
from throughtime import Ragged

WORDS, SIZE, CLASSES = 1000, 64, 5
SHAPES = {"32 x 64": (32, 64), "1 x 50": (1, 50)}


def series(sequences: int, steps: int) -> Ragged:
    return Ragged.from_lengths(torch.randn(sequences * steps, SIZE), [steps] * sequences)


def tokens(sequences: int, steps: int) -> Ragged:
    return Ragged.from_lengths(torch.randint(WORDS, (sequences * steps,)), [steps] * sequences)


class TorchProduct(nn.Module):
    """Products of the size of an LSTM's gates, for comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(512, 4 * 128))

    def forward(self, x: Ragged) -> Any:
        return x.values.repeat(1, 512 // SIZE) @ self.weight


class HoldsTheLock(nn.Module):
    """C code that does not release the interpreter lock, for comparison."""

    def forward(self, x: Ragged) -> int:
        return sum(range(1000 * len(x.values)))


M = tt.models
SUBJECTS: dict[str, tuple[Callable[[], nn.Module], Callable[[int, int], Ragged]]] = {
    "torch.mm": (TorchProduct, series),
    "sum of a range": (HoldsTheLock, series),
    "Linear": (lambda: tt.nn.Linear(SIZE, 512), series),
    "LSTM": (lambda: tt.nn.LSTM(SIZE, 128), series),
    "GRU, 2 layers, both directions": (lambda: tt.nn.GRU(SIZE, 128, 2, bidirectional=True), series),
    "Conv1d": (lambda: tt.nn.Conv1d(SIZE, 128, 5, padding="same"), series),
    "Pool": (lambda: tt.nn.Pool("mean"), series),
    "MaxPool1d": (lambda: tt.nn.MaxPool1d(3), series),
    "GroupNorm": (lambda: tt.nn.GroupNorm(8, SIZE), series),
    "MinGRU (scan)": (lambda: tt.nn.MinGRU(SIZE, 128), series),
    "LayerNormGRU (program)": (lambda: tt.nn.LayerNormGRU(SIZE, 128), series),
    "CRF": (lambda: tt.nn.CRF(SIZE), series),
    "LSTMModel": (lambda: M.LSTMModel(WORDS, CLASSES), tokens),
    "BiLSTM": (lambda: M.BiLSTM(WORDS, CLASSES), tokens),
    "TextCNN": (lambda: M.TextCNN(WORDS, CLASSES), tokens),
    "TCN": (lambda: M.TCN(SIZE, CLASSES), series),
    "LanguageModel": (lambda: M.LanguageModel(WORDS), tokens),
}


def rate(model: nn.Module, batches: list[Ragged], threads: int, seconds: float) -> float:
    """Return calls per second of all threads together."""
    counts, begin, stop = [0] * threads, threading.Barrier(threads + 1), threading.Event()

    def run(number: int) -> None:
        batch = batches[number]
        with torch.no_grad():
            begin.wait()
            while not stop.is_set():
                model(batch)
                counts[number] += 1

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    begin.wait()
    start = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def loop_beside(call: Callable[[], object], seconds: float) -> float:
    """Return turns per second of a loop in Python while another thread calls."""
    stop = threading.Event()

    def run() -> None:
        with torch.no_grad():
            while not stop.is_set():
                call()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # how long a thread that wants the lock waits for it
    worker = threading.Thread(target=run)
    worker.start()
    turns, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        turns += 1
    stop.set()
    worker.join()
    sys.setswitchinterval(interval)
    return turns / seconds


def row(name: str, given: argparse.Namespace, shape: str) -> str:
    make, batch = SUBJECTS[name]
    model, hashed = make().eval(), bytes(10_000_000)
    batches = [batch(*SHAPES[shape]) for _ in range(max(given.threads))]
    rates: dict[int, list[float]] = {threads: [] for threads in given.threads}
    beside = []
    for _ in range(given.rounds):
        for threads in given.threads:
            rates[threads].append(rate(model, batches, threads, given.seconds))
        loop = loop_beside(lambda: model(batches[0]), given.seconds)
        beside.append(loop / loop_beside(lambda: hashlib.sha256(hashed), given.seconds))
    one, *others = given.threads
    ratios = {
        threads: statistics.median(b / a for a, b in zip(rates[one], rates[threads], strict=True))
        for threads in others
    }
    words = "  ".join(f"{threads} threads {ratio:4.2f}" for threads, ratio in ratios.items())
    single = statistics.median(rates[one])
    return f"{name:31} {shape:8} {single:9.0f}/s  {words}  beside {statistics.median(beside):4.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=list(SUBJECTS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.only:
        for shape in SHAPES:
            print(row(name, given, shape), flush=True)


if __name__ == "__main__":
    main()
