"""Training steps of recurrent layers on a CUDA device: ragged, packed and padded batches.

    python benchmarks/gpu.py

A step is the forward and backward pass of one layer on 64 sequences of 20 to 200 steps (lengths are drawn
evenly), with 256 inputs and 256 units: layers of throughtime on ragged batches, those of torch.nn on packed
and padded ones. The loss is the mean of the outputs of real steps. Batches are on the device before the step.
Times are medians over rounds in which all variants take turns, measured after synchronising.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import throughtime as tt

SEQUENCES, SHORTEST, LONGEST, SIZE = 64, 20, 200, 256
ROUNDS, WARM_UP = 30, 5


def lengths_of_batch() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(SHORTEST, LONGEST + 1, (SEQUENCES,), generator=generator)


def variants(kind: str, dtype: torch.dtype) -> dict[str, Callable[[], None]]:
    """Return a training step of each way to run the layer, with the same weights and batch."""
    torch.manual_seed(0)
    ours = getattr(tt.nn, kind)(SIZE, SIZE).to("cuda", dtype)
    torchs = getattr(nn, kind)(SIZE, SIZE, batch_first=True).to("cuda", dtype)
    torchs.load_state_dict(ours.state_dict())
    lengths = lengths_of_batch()
    x = tt.Ragged.from_lengths(torch.randn(int(lengths.sum()), SIZE, dtype=dtype), lengths).to("cuda")
    padded, mask = x.to_padded(), x.mask()

    def of_ours() -> None:
        step(ours, ours(x).output.values.mean())

    def of_packed() -> None:
        packed = nn.utils.rnn.pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
        step(torchs, torchs(packed)[0].data.mean())

    def of_padded() -> None:
        step(torchs, torchs(padded)[0][mask].mean())

    return {"throughtime, ragged": of_ours, "torch.nn, packed": of_packed, "torch.nn, padded": of_padded}


def step(layer: nn.Module, loss: Tensor) -> None:
    torch.autograd.grad(loss, list(layer.parameters()))


def seconds(run: Callable[[], None]) -> float:
    torch.cuda.synchronize()
    begin = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    lengths = lengths_of_batch()
    padding = 1 - float(lengths.sum()) / (SEQUENCES * int(lengths.max()))
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}"
    )
    print(f"{int(lengths.sum())} steps; {padding:.0%} of the padded batch is padding")
    print("| layer | dtype | variant | median ms | best ms |\n|---|---|---|---|---|")
    for kind in ("LSTM", "GRU", "RNN", "MGU", "MinGRU"):
        for dtype in (torch.float32, torch.bfloat16):
            if hasattr(nn, kind):
                runs = variants(kind, dtype)
            elif dtype == torch.float32:
                runs = loops(kind)
            else:
                continue
            times: dict[str, list[float]] = {name: [] for name in runs}
            for number in range(WARM_UP + ROUNDS):
                for name, run in runs.items():
                    taken = seconds(run)
                    if number >= WARM_UP:
                        times[name].append(taken)
            for name, taken_in_rounds in times.items():
                median, best = statistics.median(taken_in_rounds) * 1e3, min(taken_in_rounds) * 1e3
                print(f"| {kind} | {str(dtype)[6:]} | {name} | {median:.2f} | {best:.2f} |", flush=True)


def loops(kind: str) -> dict[str, Callable[[], None]]:
    """Return a training step of a layer that torch does not have."""
    lengths = lengths_of_batch()
    layer = getattr(tt.nn, kind)(SIZE, SIZE).to("cuda")
    x = tt.Ragged.from_lengths(torch.randn(int(lengths.sum()), SIZE), lengths).to("cuda")
    return {"throughtime, ragged": lambda: step(layer, layer(x).output.values.mean())}


if __name__ == "__main__":
    main()
