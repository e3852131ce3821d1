"""Reset flags within sequences: what they cost, and what a loop over steps costs, which needs no flags.

    python benchmarks/resets.py [--rounds 30] [--threads 1] [--every 40]

Contenders, in turns on the same batch (L 128, B 32, I = H = 128) with a flag at about one step of 40:

plain    the layer without flags
flags    the layer with flags
loop     torch's layer step by step, its state multiplied by 1 − flag before each step, as RL libraries do

Prints medians in milliseconds, and the time of the other two over that of the layer without flags. With one
thread times are of the processor, so that other processes matter less.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import throughtime as tt
from throughtime import Ragged

STEPS, BATCH, SIZE = 128, 32, 128
Run = Callable[[], None]


def by_steps(layer: nn.RNNBase, x: Tensor, flags: Tensor) -> Tensor:
    pair = isinstance(layer, nn.LSTM)
    h = x.new_zeros(1, x.shape[1], SIZE)
    state, outputs = (h, h) if pair else h, []
    for x_t, first in zip(x, flags, strict=True):
        kept = (~first).to(x.dtype)[None, :, None]
        state = tuple(part * kept for part in state) if pair else state * kept
        y, state = layer(x_t[None], state)
        outputs.append(y)
    return torch.cat(outputs)


def timed(run: Run, clock: Callable[[], float]) -> float:
    begin = clock()
    run()
    return 1e3 * (clock() - begin)


def training(call: Callable[[], Tensor], gradient: Tensor, wanted: list[Tensor]) -> Run:
    def run() -> None:
        for part in wanted:
            part.grad = None
        call().backward(gradient)

    return run


def inference(call: Callable[[], Tensor]) -> Run:
    def run() -> None:
        with torch.no_grad():
            call()

    return run


def calls(
    name: str, order: str, x: Tensor, flags: Tensor
) -> tuple[nn.Module, dict[str, Callable[[], Tensor]]]:
    """Return our layer, and the calls of the contenders on (L, B, I), each (L, B, H), or (T, H) if ragged."""
    layer = getattr(tt.nn, name)(SIZE, SIZE)
    given, reset = x, flags
    if order == "ragged":
        tokens = x.transpose(0, 1).reshape(-1, SIZE)
        given = Ragged.from_lengths(tokens.detach().requires_grad_(), [STEPS] * BATCH)
        reset = Ragged.from_lengths(flags.t().flatten(), [STEPS] * BATCH)

    def output(y: Tensor | Ragged) -> Tensor:
        return y.values if isinstance(y, Ragged) else y

    found = {
        "plain": lambda: output(layer(given).output),
        "flags": lambda: output(layer(given, reset=reset).output),
    }
    if hasattr(nn, name) and order == "time-major":
        twin = getattr(nn, name)(SIZE, SIZE)
        found["loop"] = lambda: by_steps(twin, x, flags)
    return layer, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=float, default=40)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    torch.manual_seed(0)
    flags = torch.rand(STEPS, BATCH) < 1 / options.every
    for name in ("LSTM", "GRU", "RNN", "LayerNormLSTM", "MinGRU"):
        for order in ("time-major", "ragged"):
            x = torch.randn(STEPS, BATCH, SIZE, requires_grad=True)
            layer, contenders = calls(name, order, x, flags)
            gradient = torch.randn_like(x if order == "time-major" else x.view(-1, SIZE))
            for mode in ("training", "inference"):
                runs = {
                    key: training(call, gradient, [x, *layer.parameters()])
                    if mode == "training"
                    else inference(call)
                    for key, call in contenders.items()
                }
                times: dict[str, list[float]] = {key: [] for key in runs}
                for _ in range(options.rounds + 2):
                    for key, run in runs.items():
                        times[key].append(timed(run, clock))
                medians = {key: statistics.median(values[2:]) for key, values in times.items()}
                ratios = ", ".join(
                    f"{key} {value:.2f} ms ({value / medians['plain']:.3f})" for key, value in medians.items()
                )
                print(f"{name} {order} {mode}: {ratios}", flush=True)


if __name__ == "__main__":
    main()
