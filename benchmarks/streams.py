"""Many sequences that arrive step by step: `tt.Stream`, a loop over them, and torch's LSTM on batched states.

    python benchmarks/streams.py [--streams 1000 10000] [--rounds 15] [--threads 1] [--part 1.0]

An embedding and an LSTM (128 → 128) read the next token of every open stream, or of a random part of them, in
a new order in each round; a dict of tokens by stream comes in, a dict of outputs goes out. Contenders, in
turns:

stream   tt.Stream
steps    a loop over the streams: the layer's step on each by itself
torch    torch.nn.LSTM on one batch, states in one tensor: gathered for the round, and written back

Prints the median of tokens per second in all streams, and milliseconds of a round. With one thread times are
of the processor, so that other processes matter less.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import throughtime as tt

WORDS, SIZE = 1000, 128
Push = Callable[[dict[int, Tensor]], object]


def stream(streams: int) -> Push:
    model = nn.Sequential(nn.Embedding(WORDS, SIZE), tt.nn.LSTM(SIZE, SIZE)).eval()
    opened = tt.Stream(model)
    for key in range(streams):
        opened.open(key)
    return opened.push


def steps(_streams: int) -> Push:
    embedding, layer = nn.Embedding(WORDS, SIZE), tt.nn.LSTM(SIZE, SIZE)
    states: dict[int, object] = {}

    def push(chunks: dict[int, Tensor]) -> dict[int, Tensor]:
        answers = {}
        for key, chunk in chunks.items():
            y, states[key] = layer.step(embedding(chunk), states.get(key))
            answers[key] = y
        return answers

    return push


def torch_batched(streams: int) -> Push:
    embedding, layer = nn.Embedding(WORDS, SIZE), nn.LSTM(SIZE, SIZE)
    h, c = torch.zeros(1, streams, SIZE), torch.zeros(1, streams, SIZE)

    def push(chunks: dict[int, Tensor]) -> dict[int, Tensor]:
        rows = torch.tensor(list(chunks))
        x = embedding(torch.cat(list(chunks.values())))[None]
        y, state = layer(x, (h.index_select(1, rows), c.index_select(1, rows)))
        for whole, part in zip((h, c), state, strict=True):
            whole.index_copy_(1, rows, part)
        return dict(zip(chunks, y[0].unbind(0), strict=True))

    return push


CONTENDERS = {"stream": stream, "steps": steps, "torch": torch_batched}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", type=float, default=1.0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = time.process_time if given.threads == 1 else time.perf_counter
    for streams in given.streams:
        pushes = {name: make(streams) for name, make in CONTENDERS.items()}
        times: dict[str, list[float]] = {name: [] for name in pushes}
        count = max(1, int(given.part * streams))
        for _ in range(given.rounds):
            chunks = {key: torch.randint(WORDS, (1,)) for key in random.sample(range(streams), count)}
            for name, push in pushes.items():
                begin = clock()
                with torch.no_grad():
                    push(chunks)
                times[name].append(clock() - begin)
        for name, seconds in times.items():
            middle = statistics.median(seconds[1:])
            print(
                f"{streams:>6} streams  {name:7} {1e3 * middle:9.2f} ms  {count / middle:11,.0f} tokens/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
