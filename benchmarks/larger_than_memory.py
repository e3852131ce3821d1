"""Train from a memory-mapped Arrow file of token sequences, and print steps per second and anonymous memory.

``python benchmarks/larger_than_memory.py --gib 4 --steps 1000`` writes a file of lists of int32 (20 to 400
tokens of 2,000 kinds) with two classes into ``--folder``, trains for so many steps on rows drawn at random
from all of it, and deletes the file. ``--memory`` reads the file into memory instead. Anonymous memory
(RssAnon in /proc/self/status) leaves out the pages of the mapped file, which the operating system drops when
others need memory.
"""

import argparse
import json
import platform
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from throughtime.data.batches import shuffled_batches
from throughtime.data.examples import Source
from throughtime.data.stored_examples import AnyExamples
from throughtime.learn import Recipe, prepare
from throughtime.learn.automatic import automatic_settings
from throughtime.learn.fitting import created_run
from throughtime.learn.prepared import Prepared
from throughtime.training import fit

KINDS, BATCH_ROWS = 2_000, 20_000


def write_rows(path: Path, size: int, seed: int = 0) -> int:
    """Write at least so many bytes of rows, and return their number; class "yes" has smaller tokens."""
    schema = pa.schema({"tokens": pa.list_(pa.int32()), "label": pa.string()})
    random, rows = np.random.default_rng(seed), 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        while file.tell() < size:
            writer.write_batch(_batch(random, schema))
            rows += BATCH_ROWS
    return rows


def _batch(random: np.random.Generator, schema: pa.Schema) -> pa.RecordBatch:
    lengths = random.integers(20, 401, BATCH_ROWS)
    labels = random.integers(0, 2, BATCH_ROWS)
    uniform = random.random(int(lengths.sum()))
    tokens = (KINDS * uniform ** (1 + 0.05 * np.repeat(labels, lengths))).astype(np.int32)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(tokens))
    return pa.record_batch([lists, pa.array(np.where(labels, "yes", "no"))], schema=schema)


class PeakMemory(threading.Thread):
    """The maximum of RssAnon and RssFile, in MiB, looked up every 10 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = {"RssAnon": 0.0, "RssFile": 0.0}
        self.ended = threading.Event()

    def run(self) -> None:
        """Look up until ``ended`` is set."""
        while not self.ended.wait(0.01):
            for name, value in anonymous_and_file().items():
                self.peak[name] = max(self.peak[name], value)


def anonymous_and_file() -> dict[str, float]:
    """Return RssAnon and RssFile in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile")}


@dataclass(frozen=True)
class FirstSteps:
    """A source whose epoch has so many batches of rows drawn at random, and a small part for validation."""

    whole: Source
    steps: int
    tokens_per_batch: int
    seed: int

    @property
    def shape(self) -> Any:
        """As of the whole source."""
        return self.whole.shape

    @property
    def validation(self) -> AnyExamples:
        """The first 1,000 examples."""
        return self.whole.validation.subset(torch.arange(1000))

    @property
    def test(self) -> None:
        """None."""
        return

    def training(self, epoch: int) -> AnyExamples:
        """Return the rows of an epoch."""
        examples = self.whole.training(epoch)
        order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(epoch))
        tokens = examples.lengths[order].cumsum(0)
        return examples.subset(order[tokens <= self.steps * self.tokens_per_batch].sort().values)

    def describe(self) -> dict[str, Any]:
        """Return the description of the whole source, and the number of steps."""
        return {**self.whole.describe(), "steps": self.steps}


def train(path: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Prepare and train; return seconds and memory of each."""
    recipe = Recipe.of(
        "classification",
        "textcnn",
        tokens=("tokens",),
        target=("label",),
        epochs=1,
        tokens_per_batch=options.tokens_per_batch,
        memory_map=not options.memory,
    )
    began, before = time.perf_counter(), anonymous_and_file()["RssAnon"]
    prepared = prepare(recipe, path)
    after = time.perf_counter()
    recipe = automatic_settings(prepared)
    source = FirstSteps(prepared.source, options.steps, options.tokens_per_batch, 0)
    run = created_run(
        folder / "run", replace(prepared, source=source, recipe=recipe), recipe.spec("tokens"), path
    )
    fit(source, prepared.task, recipe.spec("tokens"), recipe.settings(), run, progress=options.progress)
    epoch = run.metrics.history[0]
    return {
        "rows": prepared.source.describe()["rows"],
        "tokens": prepared.source.describe()["tokens"],
        "MiB before": round(before),
        "seconds to prepare": round(after - began, 1),
        "steps": epoch.steps,
        "tokens per step": round(epoch.tokens / epoch.steps),
        "steps per second": round(epoch.steps / epoch.seconds, 1),
        "validation accuracy": epoch.validation["accuracy"],
        "bits": float(sum(p.detach().double().sum() for p in run.load_model().parameters())),
        **_batches(prepared, options),
    }


def _batches(prepared: Prepared, options: argparse.Namespace) -> dict[str, Any]:
    """Return how many batches an epoch of all rows has, and the time to form them."""
    began, lengths = time.perf_counter(), prepared.source.training(0).lengths
    batches = shuffled_batches(lengths, options.tokens_per_batch, seed=0, epoch=0)
    return {
        "batches of an epoch": len(batches),
        "seconds to form them": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Write, train, print, delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--memory", action="store_true", help="read the file into memory")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = Path(name) / "rows.arrow"
        write_rows(path, int(options.gib * 2**30))
        memory = PeakMemory()
        memory.start()
        results = train(path, Path(name), options)
        memory.ended.set()
        results |= {f"peak {key} (MiB)": round(value) for key, value in memory.peak.items()}
        results |= {"GiB": round(path.stat().st_size / 2**30, 2), "processor": _processor()}
    print(json.dumps(results, indent=1))


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(names)} cores"


if __name__ == "__main__":
    main()
