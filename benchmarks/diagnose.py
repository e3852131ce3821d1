"""The cost of `gradient_flow`: an ordinary and a recorded training pass, in turns.

    python benchmarks/diagnose.py [--rounds 40]
    python benchmarks/diagnose.py --training [--rounds 5]

Prints, for each cell and size, the medians of forward and backward pass together and of the backward pass
alone, plain and recorded with the norms computed, and their ratios. Batches of 32 sequences of 32 to 128
tokens. With --training: an epoch of the demo's BiLSTM on 6,000 windows, and with a record of every 50th,
10th and every step; medians of their ratios to the epoch without.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import torch

import throughtime as tt
from throughtime.demo.job import DemoPlan
from throughtime.demo.operators.corpus import installed_files
from throughtime.demo.operators.dataset import PythonOperators, Sizes
from throughtime.diagnose import gradient_flow, watch
from throughtime.training import Run, fit


def times(layer: torch.nn.Module, x: tt.Ragged, *, watched: bool) -> tuple[float, float]:
    begin = time.perf_counter()
    if not watched:
        loss = layer(x).output.values.sum()
        middle = time.perf_counter()
        loss.backward()
    else:
        with watch(layer) as seen:
            loss = layer(x).output.values.sum()
            middle = time.perf_counter()
            loss.backward()
            gradient_flow(seen)
    end = time.perf_counter()
    return end - begin, end - middle


def training(rounds: int) -> None:
    """Epochs of the demo's BiLSTM with and without a record, in turns."""
    files = installed_files()[0][:1500]
    source = PythonOperators(0, Sizes(6000, 200, 200), files)
    network = next(one for one in DemoPlan().networks if one.name == "BiLSTM")
    settings = dataclasses.replace(network.settings, epochs=1)
    choices = (0, 50, 10, 1)
    found: dict[int, list[float]] = {every: [] for every in choices}
    for number in range(rounds):
        for every in choices:
            with tempfile.TemporaryDirectory() as folder:
                run = Run.create(Path(folder) / "run", source=source, model=network.model, settings=settings)
                fit(source, network.model, settings, run, progress=False, watch_every=every)
                found[every].append(run.metrics.history[0].seconds)
        print(f"round {number + 1}: " + ", ".join(f"{found[every][-1]:.2f} s" for every in choices))
    for every in choices[1:]:
        ratios = [a / b for a, b in zip(found[every], found[0], strict=True)]
        print(f"every {every:2} steps: {statistics.median(ratios):.3f} times the epoch without a record")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--training", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.training:
        training(options.rounds or 5)
        return
    rounds = options.rounds or 40
    lengths = [32 + 96 * i // 31 for i in range(32)]
    print("cell  H    pass: plain  watched  ratio    backward: plain  watched  ratio")
    for hidden in (64, 128, 256):
        x = tt.Ragged.from_lengths(torch.randn(sum(lengths), hidden), lengths)
        for name in ("LSTM", "GRU", "RNN"):
            layer = getattr(tt.nn, name)(hidden, hidden)
            found = [[times(layer, x, watched=w) for w in (False, True)] for _ in range(rounds)][5:]
            medians = [
                statistics.median(row[w][part] for row in found) * 1e3 for part in (0, 1) for w in (0, 1)
            ]
            whole, whole_w, back, back_w = medians
            print(
                f"{name:4} {hidden:4} {whole:12.2f} ms {whole_w:5.2f} ms {whole_w / whole:5.2f}"
                f" {back:16.2f} ms {back_w:5.2f} ms {back_w / back:5.2f}"
            )


if __name__ == "__main__":
    main()
