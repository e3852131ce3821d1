"""First results of the named models on series and images, official splits, with published results.

    python benchmarks/series.py DATA [--seeds 3] [--sets GunPoint,MNIST] [--models FCN,LeNet]

DATA holds ``mnist1d/mnist1d.npz``, ``ucr/NAME/NAME_TRAIN.tsv`` and ``_TEST.tsv``,
``vowels/JapaneseVowels_TRAIN.ts`` and ``_TEST.ts``, and ``mnist/train.npz`` and ``test.npz``; missing data
sets are skipped with a message. All models on a data set have the same settings, Adam with a one-cycle
learning rate for a fixed number of epochs, which were fixed before any test accuracy was known; the model
after the last epoch is tested once. The published figures are of far longer trainings, 1,500 to 2,000 epochs
on the UCR data sets: for FCN, ResNet and Inception means of 5 runs by Fawaz et al., for LSTM-FCN the single
figure of its reference repository for the lowest training loss. Those of JapaneseVowels are of series
stretched to one length.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import throughtime as tt
from throughtime import Ragged

UCR = ("GunPoint", "ECG200", "SyntheticControl")
PUBLISHED = {
    ("MNIST-1D", "FCN"): "94 (a CNN)",
    ("MNIST-1D", "TCN"): "94 (a CNN)",
    ("GunPoint", "FCN"): "100.0",
    ("GunPoint", "ResNet"): "99.1",
    ("GunPoint", "LSTMFCN"): "100.0",
    ("GunPoint", "Inception"): "100.0",
    ("ECG200", "FCN"): "88.8",
    ("ECG200", "ResNet"): "87.4",
    ("ECG200", "LSTMFCN"): "87.0",
    ("ECG200", "Inception"): "91.8",
    ("SyntheticControl", "FCN"): "98.9",
    ("SyntheticControl", "ResNet"): "99.7",
    ("SyntheticControl", "LSTMFCN"): "98.7",
    ("SyntheticControl", "Inception"): "99.6",
    ("JapaneseVowels", "FCN"): "99.3 (stretched)",
    ("JapaneseVowels", "ResNet"): "99.2 (stretched)",
    ("MNIST", "LeNet"): "99.05",  # LeCun 1998, figure 9: LeNet-5 without distortions, 0.95 % errors
}


@dataclass(frozen=True)
class Task:
    """A data set with its official split, and how its models are trained."""

    name: str
    train: tuple[Any, Tensor]
    test: tuple[Any, Tensor]
    epochs: int
    batch: int
    models: dict[str, Callable[[], nn.Module]]


def mnist1d(folder: Path) -> Task:
    stored = np.load(folder / "mnist1d" / "mnist1d.npz")
    x, y, x_test, y_test = (torch.from_numpy(stored[name]) for name in ("x", "y", "x_test", "y_test"))
    models = {
        "FCN": lambda: tt.models.FCN(1, 10),
        "TCN": lambda: tt.models.TCN(1, 10, channels=(32,) * 4, kernel_size=5),
    }
    return Task("MNIST-1D", (_equal(x), y), (_equal(x_test), y_test), 30, 64, models)


def ucr(folder: Path, name: str) -> Task:
    parts = [np.loadtxt(folder / "ucr" / name / f"{name}_{half}.tsv") for half in ("TRAIN", "TEST")]
    labels, classes = _labels([part[:, 0].tolist() for part in parts])
    (x, x_test), length = [_equal(torch.from_numpy(part[:, 1:])) for part in parts], parts[0].shape[1] - 1
    models = {
        "FCN": lambda: tt.models.FCN(1, classes),
        "ResNet": lambda: tt.models.ResNet(1, classes),
        "LSTMFCN": lambda: tt.models.LSTMFCN(1, classes, length=length),
        "Inception": lambda: tt.models.InceptionTime(1, classes, members=1),
    }
    return Task(name, (x, labels[0]), (x_test, labels[1]), 100, 16, models)


def vowels(folder: Path) -> Task:
    parts = [_ts(folder / "vowels" / f"JapaneseVowels_{half}.ts") for half in ("TRAIN", "TEST")]
    labels, classes = _labels([[label for _, label in part] for part in parts])
    x, x_test = (Ragged.from_list([series for series, _ in part]) for part in parts)
    models = {"FCN": lambda: tt.models.FCN(12, classes), "ResNet": lambda: tt.models.ResNet(12, classes)}
    return Task("JapaneseVowels", (x, labels[0]), (x_test, labels[1]), 100, 16, models)


def mnist(folder: Path) -> Task:
    parts = [np.load(folder / "mnist" / f"{half}.npz") for half in ("train", "test")]
    images = [torch.from_numpy(part["x"])[:, None].float() / 255 for part in parts]
    y, y_test = (torch.from_numpy(part["y"]).long() for part in parts)
    return Task("MNIST", (images[0], y), (images[1], y_test), 10, 128, {"LeNet": tt.models.LeNet})


def _equal(series: Tensor) -> Ragged:
    return Ragged.from_lengths(series.float().reshape(-1, 1), [series.shape[1]] * len(series))


def _labels(parts: list[list[Any]]) -> tuple[list[Tensor], int]:
    classes = sorted(set(parts[0]))
    return [torch.tensor([classes.index(label) for label in part]) for part in parts], len(classes)


def _ts(path: Path) -> list[tuple[Tensor, str]]:
    """Read aeon's format: one line a series, channels and at last the label between colons."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#@":
            *channels, label = line.split(":")
            rows.append((torch.tensor([[float(v) for v in c.split(",")] for c in channels]).t(), label))
    return rows


def batches(task: Task, generator: torch.Generator) -> Iterator[tuple[Any, Tensor]]:
    x, y = task.train
    for rows in torch.randperm(len(y), generator=generator).split(task.batch):
        yield x[rows], y[rows]


def trained(task: Task, model: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    steps = task.epochs * -(-len(task.train[1]) // task.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(task.epochs):
        for x, y in batches(task, generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(task: Task, model: nn.Module) -> float:
    x, y = task.test
    right = sum(int((model(x[rows]).argmax(1) == y[rows]).sum()) for rows in torch.arange(len(y)).split(256))
    return 100 * right / len(y)


def report(task: Task, name: str, seeds: int) -> None:
    found, began = [], time.perf_counter()
    for seed in range(seeds):
        torch.manual_seed(seed)
        found.append(accuracy(task, trained(task, task.models[name](), seed)))
    took = (time.perf_counter() - began) / seeds
    spread = f" ± {statistics.stdev(found):.1f}" if seeds > 1 else ""
    published = PUBLISHED.get((task.name, name), "–")
    print(
        f"| {task.name} | {name} | {statistics.mean(found):.1f}{spread} | {published} "
        f"| {task.epochs} | {took:.0f} s |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", help="names with commas; all by default")
    parser.add_argument("--models", help="names with commas; all by default")
    options = parser.parse_args()
    read = {name: lambda folder, name=name: ucr(folder, name) for name in UCR}
    read |= {"JapaneseVowels": vowels, "MNIST-1D": mnist1d, "MNIST": mnist}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.seeds} seeds")
    print("| set | model | test accuracy | published | epochs | one training |\n|---|---|---|---|---|---|")
    for name in options.sets.split(",") if options.sets else read:
        try:
            task = read[name](options.data)
        except FileNotFoundError as missing:
            print(f"{name} is left out, a file is missing: {missing}", file=sys.stderr)
            continue
        for model in options.models.split(",") if options.models else task.models:
            if model in task.models:
                report(task, model, options.seeds)


if __name__ == "__main__":
    main()
