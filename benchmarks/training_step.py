"""A whole training step of two text classifiers: ours, torch with packing, torch with padding.

    python benchmarks/training_step.py [--rounds 9] [--threads 2] [--profile]

A step is what `throughtime train` computes for a batch: forward pass, cross-entropy, backward pass, the norm
of all gradients clipped to 1, AdamW (fused). Batches have the sizes of `throughtime demo`: a vocabulary of
10,000 words, and sequences of almost equal lengths (20 to 98 tokens, 50 on average).

BiLSTM     embedding 128, 128 hidden units in each direction, maximum over time; 3,030 tokens per batch
TextCNN    embedding 96, 100 channels for each of 3, 4 and 5 tokens, maximum over time; 4,060 tokens per batch

ours       `throughtime.models` on ragged batches
packed     the same layers of torch.nn, with `pack_padded_sequence`
padded     the same layers of torch.nn on padded batches; the BiLSTM masks padding before the maximum

Every contender reads the same batches, prepared before the clock starts, in turns and in one process. Prints
the median time of each and its ratio to ours; a ratio is the median of the ratios of rounds. With --profile,
prints instead where the time of our step goes.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import throughtime as tt

WORDS, CLASSES = 10_000, 2
# (sequences, length of the shortest, length of the longest) of batches that the demo draws.
LSTM_BATCHES = ((35, 85, 88), (58, 52, 54), (83, 36, 37), (114, 26, 27), (49, 61, 64))
CNN_BATCHES = ((77, 52, 53), (49, 81, 85), (140, 28, 30), (100, 40, 41), (62, 64, 67))


class Batch(NamedTuple):
    """The same sequences as each contender reads them."""

    ragged: tt.Ragged
    padded: Tensor
    lengths: Tensor
    labels: Tensor


class TorchBiLSTM(nn.Module):
    """The BiLSTM of torch's layers, with padded or packed sequences."""

    def __init__(self, *, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.embedding, self.dropout = nn.Embedding(WORDS, 128), nn.Dropout(0.1)
        self.recurrent = nn.LSTM(128, 128, bidirectional=True, batch_first=True)
        self.output = nn.Linear(256, CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        x = self.dropout(self.embedding(batch.padded))
        if self.packed:
            sequences = pack_padded_sequence(x, batch.lengths, batch_first=True, enforce_sorted=False)
            y, _ = pad_packed_sequence(self.recurrent(sequences)[0], batch_first=True)
        else:
            y, _ = self.recurrent(x)
        is_padding = torch.arange(y.shape[1]) >= batch.lengths[:, None]
        largest = y.masked_fill(is_padding[..., None], -torch.inf).amax(1)
        logits: Tensor = self.output(self.dropout(largest))
        return logits


class TorchTextCNN(nn.Module):
    """The TextCNN of torch's layers: a padded batch through everything."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(WORDS, 96), nn.Dropout(0.2)
        self.convolutions = nn.ModuleList(nn.Conv1d(96, 100, width, padding="same") for width in (3, 4, 5))
        self.output = nn.Linear(300, CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        x = self.embedding(batch.padded).transpose(1, 2)
        largest = [convolution(x).relu().amax(2) for convolution in self.convolutions]
        logits: Tensor = self.output(self.dropout(torch.cat(largest, 1)))
        return logits


class Ragged(nn.Module):
    """One of our models on the ragged form of a batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        logits: Tensor = self.model(batch.ragged)
        return logits


def our_lstm() -> nn.Module:
    return Ragged(tt.models.BiLSTM(WORDS, CLASSES, dropout=0.1))


def our_cnn() -> nn.Module:
    return Ragged(tt.models.TextCNN(WORDS, CLASSES, embedding_size=96, dropout=0.2))


NETWORKS: dict[str, tuple[tuple[tuple[int, int, int], ...], dict[str, Callable[[], nn.Module]]]] = {
    "BiLSTM": (
        LSTM_BATCHES,
        {
            "ours": our_lstm,
            "packed": lambda: TorchBiLSTM(packed=True),
            "padded": lambda: TorchBiLSTM(packed=False),
        },
    ),
    "TextCNN": (CNN_BATCHES, {"ours": our_cnn, "padded": TorchTextCNN}),
}


def drawn(sequences: int, shortest: int, longest: int) -> Batch:
    """Draw words as a text has them: the word of rank r about 1/r times as often as the first."""
    lengths = torch.randint(shortest, longest + 1, (sequences,))
    lengths[0] = longest
    frequency = 1 / torch.arange(1.0, WORDS + 1)
    words = torch.multinomial(frequency, int(lengths.sum()), replacement=True)
    ragged = tt.Ragged.from_lengths(words, lengths.tolist())
    return Batch(ragged, ragged.to_padded(), lengths, torch.randint(CLASSES, (sequences,)))


def step_of(model: nn.Module) -> Callable[[Batch], float]:
    """Return a function that trains on a batch and returns the norm of the gradients."""
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)

    def step(batch: Batch) -> float:
        optimizer.zero_grad()
        cross_entropy(model(batch), batch.labels).backward()
        norm = clip_grad_norm_(parameters, 1.0).item()
        optimizer.step()
        return norm

    return step


def seconds_of(step: Callable[[Batch], float], batches: list[Batch]) -> float:
    time.sleep(0.05)  # threads of the contender before may still spin
    step(batches[-1])
    begin = time.perf_counter()
    for batch in batches:
        step(batch)
    return (time.perf_counter() - begin) / len(batches)


def compare(network: str, rounds: int) -> None:
    sizes, makers = NETWORKS[network]
    batches = [drawn(*size) for size in sizes]
    steps = {name: step_of(make()) for name, make in makers.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            times[name].append(seconds_of(step, batches))
    for name, measured in times.items():
        ratio = statistics.median(a / b for a, b in zip(measured[1:], times["ours"][1:], strict=True))
        median = statistics.median(measured[1:])
        print(f"{network:8} {name:7} {median * 1e3:7.2f} ms  {ratio:5.2f} × ours", flush=True)


def profile(network: str) -> None:
    sizes, makers = NETWORKS[network]
    batches, step = [drawn(*size) for size in sizes], step_of(makers["ours"]())
    seconds_of(step, batches)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(10):
            seconds_of(step, batches)
    print(
        profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=50)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for network in NETWORKS:
        if options.profile:
            profile(network)
        else:
            compare(network, options.rounds)


if __name__ == "__main__":
    main()
