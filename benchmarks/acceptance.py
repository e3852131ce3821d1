"""Every task by one command or ten lines, with default settings, beside baselines and published results.

    python benchmarks/acceptance.py [DATA] [--only trec,vowels] [--commands]

DATA is a folder with the public data sets ``trec``, ``hdfs100k``, ``vowels`` and ``ucr``; the parts of a data
set that is not there are skipped with a message. The other parts generate data whose right answer is known:

sine        regression: the frequency of a sine in white noise; about 1.00 is possible for R²
brackets    tagging: B at the first and I at all other tokens inside of outer brackets, O elsewhere; with a
            softmax for each token, and with a CRF; 100 % is possible
topics      multilabel: which of six topics the words of a text belong to; 100 % is possible
orders      classification: a text says how urgent an order is, two columns its price and limit; accepted if
            the price, with a surcharge for urgent orders, is at most the limit, so that neither text nor
            numbers suffice; 100 % is possible

Prints one row for each part: the metric with its 95 % interval, the best baseline on the same rows, the
published result, and the seconds of the whole command. ``--commands`` prints the commands and lines as well.
"""

import argparse
import inspect
import json
import platform
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import throughtime as tt
from data import HDFS, VOWELS, trec_rows, ucr_files
from throughtime.tasks import METRICS


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    metric: str
    ours: str
    baseline: str
    published: str


@dataclass(frozen=True)
class Part:
    """A part: its data set, if it needs one, what is known, and how its rows are made."""

    run: Callable[[Path, Path, str], Iterator[Row]]
    needs: str | None = None
    published: str = "–"


# ----------------------------------------------------------------------------------- public data


def trec(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield TREC's question types by the official test file."""
    files = [_as_tsv(data / "trec" / f"TREC.{part}.all", work / f"{part}.tsv") for part in ("train", "test")]
    yield _train("TREC, 6 question types", "accuracy", published, work, files[0], "--test-file", files[1])


def hdfs(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield anomalous sessions by supervised classification of event ids."""
    train, test = (data / name for name in HDFS)
    options = ("--tokens", "templates", "--test-file", test)
    yield _train("HDFS_100k sessions, classified", "f1", published, work, train, *options)


def hdfs_normal(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield anomalous sessions by a model that has only read normal ones."""
    train, test = (data / name for name in HDFS)
    options = ("--task", "anomaly", "--tokens", "templates", "--test-file", test)
    yield _train("HDFS_100k, trained on normal sessions", "f1", published, work, train, *options)


def vowels(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield speakers by 12 channels of unequal length."""
    train, test = (data / name for name in VOWELS)
    yield _train("JapaneseVowels, 9 speakers", "accuracy", published, work, train, "--test-file", test)


def gunpoint(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield GunPoint."""
    yield _ucr("GunPoint", data, work, published)


def italy(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield ItalyPowerDemand."""
    yield _ucr("ItalyPowerDemand", data, work, published)


def grid(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield GunPoint in a grid search."""
    del work
    yield _row("GunPoint in GridSearchCV", "accuracy", grid_search(data), published)


def grid_search(data: Path) -> float:
    """Return the accuracy on the test rows of the model that a grid search chooses."""
    from sklearn.model_selection import GridSearchCV

    train, test = (np.loadtxt(path) for path in ucr_files(data, "GunPoint"))
    classifier = tt.SequenceClassifier(model="fcn", random_state=0)
    search = GridSearchCV(classifier, {"learning_rate": [0.001, 0.004]}, cv=3)
    search.fit(train[:, 1:], train[:, 0].astype(int))
    return float(search.score(test[:, 1:], test[:, 0].astype(int)))


# -------------------------------------------------------------------------------- generated data


def sine(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield the frequency of a noisy sine."""
    del data
    generator = np.random.default_rng(0)
    rows = []
    for _ in range(1000):
        length, frequency, phase = (
            generator.integers(60, 120),
            generator.uniform(0.02, 0.2),
            generator.uniform(0, 6.28),
        )
        clean = np.sin(2 * np.pi * frequency * np.arange(length) + phase)
        series = (clean + 0.3 * generator.standard_normal(length)).round(4)
        rows.append({"series": series.tolist(), "frequency": round(float(frequency), 6)})
    path, options = _write(work / "sines.jsonl", rows), ("--task", "regression", "--target", "frequency")
    yield _train("frequency of a noisy sine", "r2", published, work, path, *options)


def brackets(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield spans of outer brackets, with and without a CRF."""
    del data
    chance = random.Random(0)
    path = _write(work / "brackets.jsonl", [_bracketed(chance) for _ in range(800)])
    options = ("--task", "tagging", "--target", "tags", "--tokens", "tokens")
    yield _train("outer brackets as spans", "span_f1", published, work, path, *options)
    yield _train("outer brackets as spans, CRF", "span_f1", published, work, path, *options, "--crf")


def topics(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield the topics of a text."""
    del data
    chance = random.Random(0)
    words = {name: [f"{name}{i}" for i in range(20)] for name in ("art", "law", "sea", "sun", "tax", "war")}
    rows = []
    for _ in range(1500):
        names = [name for name in words if chance.random() < 0.3]
        text = [chance.choice(words[name]) for name in names] + chance.choices(["the", "of", "a", "to"], k=10)
        rows.append({"text": " ".join(chance.sample(text, len(text))), "topics": names})
    path, options = _write(work / "topics.jsonl", rows), ("--task", "multilabel", "--target", "topics")
    yield _train("topics of a text", "f1_micro", published, work, path, *options)


def orders(data: Path, work: Path, published: str) -> Iterator[Row]:
    """Yield a class that depends on a text and on two numbers."""
    del data
    chance = random.Random(0)
    rows = []
    for _ in range(2000):
        price, limit = round(chance.uniform(10, 20), 3), round(chance.uniform(10, 20), 3)
        when, surcharge = chance.choice([("this week", 0), ("today", 2), ("at once", 5)])
        text = f"please send {chance.choice(['it', 'them'])} {when}"
        label = "accepted" if price + surcharge <= limit else "refused"
        rows.append({"text": text, "price": price, "limit": limit, "label": label})
    path, options = _write(work / "orders.jsonl", rows), ("--text", "text", "--numeric", "price,limit")
    yield _train("orders: text and two numbers", "accuracy", published, work, path, *options)


def _bracketed(chance: random.Random) -> dict[str, list[str]]:
    """Return tokens with nested brackets, and a tag for each."""
    tokens: list[str] = []
    tags: list[str] = []
    depth = 0
    for _ in range(chance.randint(5, 40)):
        token = chance.choice(["x", "y", "z", "(", ")"] if depth else ["x", "y", "z", "("])
        depth += token == "("
        tags.append("O" if not depth else "B-OUT" if token == "(" and depth == 1 else "I-OUT")
        depth -= token == ")"
        tokens.append(token)
    return {"tokens": tokens, "tags": tags}


# ------------------------------------------------------------------------------------- machinery

PARTS = {
    "trec": Part(trec, "trec", "91.2 % (CNN-rand, Kim 2014); 88.2 % (a re-implementation)"),
    "hdfs": Part(hdfs, "hdfs100k"),
    "hdfs-normal": Part(hdfs_normal, "hdfs100k"),
    "vowels": Part(vowels, "vowels", "97.6 % (MLP), 99.3 % (FCN), stretched series"),
    "gunpoint": Part(gunpoint, "ucr", "100.0 % (FCN, 2,000 epochs)"),
    "italy": Part(italy, "ucr", "96.3 % (FCN, 2,000 epochs)"),
    "grid": Part(grid, "ucr", "100.0 % (FCN, 2,000 epochs)"),
    "sine": Part(sine, published="1 (possible)"),
    "brackets": Part(brackets, published="100 % (possible)"),
    "topics": Part(topics, published="100 % (possible)"),
    "orders": Part(orders, published="100 % (possible)"),
}
_shown: list[str] = []


def _train(what: str, metric: str, published: str, work: Path, data: Path, *options: str | Path) -> Row:
    """Run ``throughtime train`` and return its summary as a row."""
    out = work / f"run{len(list(work.glob('run*')))}"
    arguments = ["train", str(data), *map(str, options), "--out", str(out)]
    _shown.append(shlex.join(["throughtime", *arguments]))
    subprocess.run([sys.executable, "-m", "throughtime", *arguments, "--quiet"], check=True)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    known = {
        baseline["name"]: baseline["score"]["figures"][metric]
        for baseline in summary["baselines"]
        if metric in baseline["score"]["figures"]
    }
    best = max(known, key=lambda name: known[name], default=None)
    baseline = "–" if best is None else f"{METRICS[metric].text(known[best])} ({best})"
    return _row(
        what, metric, summary["score"]["figures"][metric], published, baseline, summary["score"]["intervals"]
    )


def _row(
    what: str,
    metric: str,
    value: float,
    published: str,
    baseline: str = "–",
    intervals: dict[str, Any] | None = None,
) -> Row:
    text = METRICS[metric].text
    ours = text(value)
    if intervals and metric in intervals:
        ours += f" ({text(intervals[metric]['low'])} to {text(intervals[metric]['high'])})"
    return Row(what, METRICS[metric].title, ours, baseline, published)


def _ucr(name: str, data: Path, work: Path, published: str) -> Row:
    train, test = ucr_files(data, name)
    return _train(name, "accuracy", published, work, train, "--test-file", test)


def _as_tsv(source: Path, path: Path) -> Path:
    """Write questions of TREC as tab-separated columns."""
    rows = trec_rows(source)
    lines = [f"{label}\t{text}\n" for label, text in zip(rows["label"], rows["text"], strict=True)]
    path.write_text("label\ttext\n" + "".join(lines), encoding="utf-8")
    return path


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _rows_of(name: str, data: Path | None) -> Iterator[tuple[Row, float]]:
    """Yield the rows of a part, each with its seconds."""
    part = PARTS[name]
    if part.needs is not None and (data is None or not (data / part.needs).is_dir()):
        print(f"{name} is skipped: there is no folder {part.needs} in DATA", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as work:
        rows, began = part.run(data or Path(), Path(work), part.published), time.perf_counter()
        for row in rows:
            yield row, time.perf_counter() - began
            began = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--only", default=",".join(PARTS), help="names of parts, separated by commas")
    parser.add_argument("--commands", action="store_true", help="print the commands and lines as well")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := sorted(set(names) - set(PARTS)):
        parser.error(f"unknown part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| what | metric | throughtime | best baseline | published | seconds |\n|---|---|---|---|---|---|")
    for name in names:
        for row, seconds in _rows_of(name, arguments.data):
            cells = (row.what, row.metric, row.ours, row.baseline, row.published, f"{seconds:.0f}")
            print(f"| {' | '.join(cells)} |", flush=True)
    if arguments.commands:
        print("\n" + "\n".join(_shown), end="\n\n")
        print(inspect.getsource(grid_search))


if __name__ == "__main__":
    main()
