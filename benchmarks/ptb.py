"""Penn Treebank, words: one training with its perplexity, and its speed against the same model in torch.nn.

    python benchmarks/ptb.py DATA            # trains, then tests on the text read once, in order
    python benchmarks/ptb.py DATA --speed    # tokens per second against torch.nn, in turns

DATA holds ``ptb/ptb.train.txt.gz``, ``ptb.valid.txt.gz`` and ``ptb.test.txt.gz``. Official split, all
10,000 words. Published: RNN 114.5, GRU 92.5, TCN 88.7, LSTM 78.9 (Bai et al. 2018).
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from throughtime.bptt import Carried
from throughtime.data.next_step import NextStepSource, text_source
from throughtime.data.plain_text import read_text
from throughtime.data.window_batches import WindowLoader
from throughtime.models import LanguageModel
from throughtime.tasks import Language
from throughtime.training import ModelSpec, Run, Settings, fit

OPTIONS = {"embedding_size": 300, "hidden_size": 300, "num_layers": 2, "dropout": 0.3}
TASK = Language("word")
SETTINGS = Settings(
    epochs=8,
    streams=20,
    k1=35,
    learning_rate=3e-3,
    weight_decay=0.01,
    clip=1.0,
    monitor="loss",
    patience=None,
    precision="bfloat16",
)


def source_of(folder: Path) -> NextStepSource:
    names = ["ptb.train.txt.gz", "ptb.valid.txt.gz", "ptb.test.txt.gz"]
    texts = [read_text(folder / name) for name in names]
    return text_source(texts, "word", vocabulary=20_000, min_count=1, names=names)


class TorchModel(nn.Module):
    """The same with torch.nn: layer after layer, locked dropout around, tied weights, (T, B) batches."""

    def __init__(
        self, words: int, embedding_size: int, hidden_size: int, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding_size)
        sizes = [embedding_size] + [hidden_size] * num_layers
        self.layers = nn.ModuleList(nn.LSTM(i, o) for i, o in pairwise(sizes))
        self.bias, self.dropout = nn.Parameter(torch.zeros(words)), dropout
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def locked(self, x: Tensor) -> Tensor:
        """Leave features out, the same ones at all steps."""
        kept = 1 - self.dropout
        return x * x.new_empty(1, *x.shape[1:]).bernoulli_(kept).div_(kept)

    def forward(self, tokens: Tensor, states: list | None) -> tuple[Tensor, list]:
        """Return logits (T, B, V), and states without a graph."""
        x, after = self.locked(self.embedding(tokens)), []
        for layer, state in zip(self.layers, states or [None] * len(self.layers), strict=True):
            x, left = layer(x, state)
            x = self.locked(x)
            after.append(tuple(part.detach() for part in left))
        return F.linear(x, self.embedding.weight, self.bias), after


def ours(source: NextStepSource, steps: int) -> Callable[[], None]:
    model, carried = LanguageModel(source.vocabulary_size, **OPTIONS), Carried()
    loader = WindowLoader(
        source.pairs(source.training, SETTINGS.streams, SETTINGS.k1), SETTINGS.streams, SETTINGS.k1
    )
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    batches = iter(loader)

    def run() -> None:
        for _ in range(steps):
            batch = next(batches)
            with carried.carry(model, batch.window):
                h = model.states(batch.inputs)
            model.score(h.values, batch.targets.values).losses.mean().backward()
            _update(optimizer)

    return run


def torchs(source: NextStepSource, steps: int) -> Callable[[], None]:
    model = TorchModel(source.vocabulary_size, **OPTIONS)
    tokens, streams, k1 = source.training.values, SETTINGS.streams, SETTINGS.k1
    length = (len(tokens) - 1) // streams
    inputs, targets = (
        t[: length * streams].view(streams, length).t().contiguous() for t in (tokens[:-1], tokens[1:])
    )
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    place, states = 0, None

    def run() -> None:
        nonlocal place, states
        for _ in range(steps):
            logits, states = model(inputs[place : place + k1], states)
            F.cross_entropy(logits.flatten(0, 1), targets[place : place + k1].flatten()).backward()
            _update(optimizer)
            place += k1

    return run


def _update(optimizer: torch.optim.Optimizer) -> None:
    nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()
    optimizer.zero_grad()


def _in(precision: str, run: Callable[[], None]) -> Callable[[], None]:
    def autocast() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            run()

    return autocast


def speed(source: NextStepSource, *, rounds: int = 9, steps: int = 8) -> None:
    contenders = {
        f"{name}, {precision}": _in(precision, make(source, steps))
        for precision in ("float32", "bfloat16")
        for name, make in (("throughtime", ours), ("torch.nn", torchs))
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - began)
    tokens = steps * SETTINGS.streams * SETTINGS.k1
    for name, times in seconds.items():
        rate = tokens / statistics.median(times)
        print(f"{name}: {rate:,.0f} tokens/s in training, median of {rounds} turns of {steps} windows")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/ptb"), help="folder of the run, taken up if there"
    )
    arguments = parser.parse_args()
    folder = arguments.data / "ptb"
    if not folder.is_dir():
        print(f"skipped: {folder} is not here")
        return
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    source = source_of(folder)
    if arguments.speed:
        speed(source)
        return
    model = ModelSpec("language", OPTIONS)
    there = (arguments.out / "run.json").exists()
    run = (
        Run.open(arguments.out)
        if there
        else Run.create(arguments.out, source=source, task=TASK, model=model, settings=SETTINGS)
    )
    began = time.perf_counter()
    metrics = fit(source, TASK, model, SETTINGS, run, resume=there).metrics
    seconds = time.perf_counter() - began
    rate = statistics.median(epoch.tokens_per_second for epoch in metrics.history)
    parameters = sum(p.numel() for p in run.load_model().parameters())
    for name, part in (("validation", source.validation), ("test", source.test)):
        figures, words = TASK.measure(run.load_model(), source, part)
        print(f"{name}: {TASK.describe(figures)} over {words} words")
    print(f"{parameters:,} parameters, {rate:,.0f} tokens/s in training, {seconds:.0f} s in this run")


if __name__ == "__main__":
    main()
