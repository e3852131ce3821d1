"""What `gradient_flow` costs: an ordinary training pass, and one that is watched, in turns.

    python benchmarks/diagnose.py [--rounds 40]

Prints, for each cell and size, the medians of forward and backward pass together and of the backward pass
alone, plain and watched with the norms computed, and their ratios. Batches of 32 sequences of 32 to 128
tokens.
"""

import argparse
import statistics
import time

import torch

import throughtime as tt
from throughtime.diagnose import gradient_flow, watch


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(2)
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
