"""Forward and backward pass of recurrent layers in float32 and with bfloat16 products (autocast).

    python benchmarks/bfloat16.py [--rounds 15] [--threads 1 2] [--torch]

LSTM and GRU of one layer and one direction with as many features as hidden units, on B sequences: `dense`, 50
tokens each, or `ragged`, 10 to 90 tokens, 50 on average. Both precisions, and with --torch also torch.nn
(packed sequences for the ragged batch), run in turns in one process. Prints the median time of each and its
ratio to bfloat16; a ratio is the median of the ratios of rounds.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import throughtime as tt

SIZES = ((32, 256), (64, 256), (64, 512), (128, 512))
LENGTH = 50


def step(layer: nn.Module, x: Any, *, autocast: bool) -> Callable[[], None]:
    """Return a function that runs the layer forward and backward."""

    def run() -> None:
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = layer(x)[0]
        values(output).sum().backward()

    return run


def values(output: Any) -> Tensor:
    """Return the tokens of an output."""
    if isinstance(output, PackedSequence):
        return output.data
    return output.values if isinstance(output, tt.Ragged) else output


def contenders(
    name: str, batch: int, hidden: int, kind: str, *, of_torch: bool
) -> dict[str, Callable[[], None]]:
    """Return the functions to measure."""
    torch.manual_seed(0)
    ours = getattr(tt.nn, name)(hidden, hidden)
    lengths = [LENGTH] * batch if kind == "dense" else torch.randint(10, 91, (batch,)).tolist()
    sequences = [torch.randn(length, hidden) for length in lengths]
    ragged, packed = tt.Ragged.from_list(sequences), pack_sequence(sequences, enforce_sorted=False)
    for tokens in (ragged.values, packed.data):
        tokens.requires_grad_()
    dense = torch.stack(sequences, 1).requires_grad_() if kind == "dense" else None
    x, theirs_x = (ragged, packed) if dense is None else (dense, dense)
    found = {"bfloat16": step(ours, x, autocast=True), "float32": step(ours, x, autocast=False)}
    if of_torch:
        theirs = getattr(nn, name)(hidden, hidden)
        theirs.load_state_dict(ours.state_dict())
        found["torch bfloat16"] = step(theirs, theirs_x, autocast=True)
        found["torch float32"] = step(theirs, theirs_x, autocast=False)
    return found


def timed(run: Callable[[], None]) -> float:
    """Return the seconds of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--torch", action="store_true")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, torch {torch.__version__}")
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name in ("LSTM", "GRU"):
            for batch, hidden in SIZES:
                for kind in ("dense", "ragged"):
                    runs = contenders(name, batch, hidden, kind, of_torch=arguments.torch)
                    for run in runs.values():
                        run()
                    rounds = [
                        {label: timed(run) for label, run in runs.items()} for _ in range(arguments.rounds)
                    ]
                    print(
                        f"{threads} threads, {name}, B {batch}, H {hidden}, {kind}:", row(rounds), flush=True
                    )


def row(rounds: list[dict[str, float]]) -> str:
    """Return the medians, and the ratios to bfloat16."""
    cells = []
    for label in rounds[0]:
        median = statistics.median(times[label] for times in rounds)
        ratio = statistics.median(times[label] / times["bfloat16"] for times in rounds)
        cells.append(f"{label} {1000 * median:.1f} ms ({ratio:.2f})")
    return ", ".join(cells)


if __name__ == "__main__":
    main()
