"""Recurrent, linear and convolutional layers with int8 weights beside float32 and torch's int8, in turns.

    python benchmarks/quantized.py [--threads 1 2] [--rounds 15] [--processor-time]

Every row runs float32, int8 and, for LSTM and GRU, torch's dynamic quantization (one scale for each batch),
one after the other in each round. Printed are medians in microseconds and the median of the ratios of each
round.
"""

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

import throughtime as tt
from throughtime import _native

Call = Callable[[], object]
Clock = Callable[[], float]
STEPS = 50
SECONDS_OF_A_MEASUREMENT = 0.03


def cases() -> Iterator[tuple[str, nn.Module, nn.Module | None, torch.Tensor]]:
    """Yield a name, the layer, torch's twin and the input."""
    for kind in ("LSTM", "GRU"):
        for hidden in (256, 512, 1024):
            for batch in (1, 2, 4, 8):
                layer = getattr(tt.nn, kind)(hidden, hidden)
                twin = tt.convert.to_torch(layer)
                yield f"{kind} H {hidden}, B {batch}", layer, twin, torch.randn(STEPS, batch, hidden)
    for size in (256, 1024):
        for rows in (1, 50, 400):
            linear = tt.nn.Linear(size, size)
            yield f"Linear {size}, {rows} rows", linear, None, torch.randn(rows, size)
    for channels in (64, 256):
        conv = tt.nn.Conv1d(channels, channels, 3, padding=1)
        x = tt.Ragged.from_lengths(torch.randn(400, channels), [50] * 8)
        yield f"Conv1d {channels}, 3 taps, 8 × 50", conv, None, x


def torch_int8(twin: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(twin, {nn.LSTM, nn.GRU}, dtype=torch.qint8)


def seconds(call: Call, repeats: int, clock: Clock) -> float:
    began = clock()
    for _ in range(repeats):
        call()
    return (clock() - began) / repeats


def in_turns(calls: Sequence[Call], rounds: int, clock: Clock) -> list[list[float]]:
    """Return the seconds of each call in each round."""
    repeats = [max(1, int(SECONDS_OF_A_MEASUREMENT / seconds(call, 3, clock))) for call in calls]
    counted = list(zip(calls, repeats, strict=True))
    return [[seconds(call, count, clock) for call, count in counted] for _ in range(rounds)]


def compare(
    name: str, layer: nn.Module, twin: nn.Module | None, x: torch.Tensor, rounds: int, clock: Clock
) -> None:
    models = [layer, tt.quantize(layer), *([] if twin is None else [torch_int8(twin)])]
    table = in_turns([lambda model=model: model(x) for model in models], rounds, clock)
    medians = [statistics.median(column) * 1e6 for column in zip(*table, strict=True)]
    ratio = statistics.median(row[0] / row[1] for row in table)
    torch_row = f"{medians[2]:10.0f}" if twin is not None else f"{'–':>10}"
    print(f"{name:28}{medians[0]:10.0f}{medians[1]:10.0f}{torch_row}{ratio:10.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--processor-time", action="store_true", help="for one thread on a busy machine")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    print(f"{platform.machine()}, {_native.quantized_set()}, torch {torch.__version__}, {STEPS} steps")
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        print(
            f"{threads} threads, us".ljust(28)
            + "".join(f"{name:>10}" for name in ("float32", "int8", "torch int8", "ratio"))
        )
        torch.manual_seed(0)
        with torch.inference_mode():
            for case in cases():
                compare(*case, arguments.rounds, clock)


if __name__ == "__main__":
    main()
