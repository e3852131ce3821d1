"""Anomalies in logs: precision and average precision on HDFS_100k, and the speed on raw lines.

    python benchmarks/logs.py DATA [--seeds 3]
    python benchmarks/logs.py --lines 1000000

DATA is a folder with ``session_train.jsonl.gz`` and ``session_test.jsonl.gz``, the sessions of
deep-loglizer's HDFS_100k as lists of templates. Everything is trained on the normal sessions of the training
file alone. The baselines read how often each template occurs: an isolation forest, and a one-class support
vector machine. Raw lines are those of the package's own generator, with 5 faults in the second log.
"""

import argparse
import gzip
import json
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from throughtime.learn.fitting import fit_prepared
from throughtime.logs import LogModel, LogOptions, SessionOptions, log_files, log_recipe, scan_logs
from throughtime.logs.frequency import KindCounts, frequency_of, set_hashes
from throughtime.logs.generated import FAULTS, generated_log
from throughtime.logs.model import Scorer, as_table
from throughtime.logs.scores import session_scores
from throughtime.logs.training import prepared_log, read_training_log, train_logs

Session = list[str]
Scores = NDArray[np.float64]
TOP = 20


class Hdfs(NamedTuple):
    """Normal sessions to train on, and sessions with whether they are anomalies."""

    normal: list[Session]
    test: list[Session]
    truth: NDArray[np.bool_]


def hdfs(folder: Path) -> Hdfs:
    """Return the sessions of HDFS_100k."""
    rows = {}
    for part in ("train", "test"):
        with gzip.open(folder / f"session_{part}.jsonl.gz", "rt") as file:
            rows[part] = [json.loads(line) for line in file]
    return Hdfs(
        [row["templates"] for row in rows["train"] if not row["label"]],
        [row["templates"] for row in rows["test"]],
        np.array([bool(row["label"]) for row in rows["test"]]),
    )


def scan(data: Hdfs, seed: int) -> Scores:
    """Return the scores of ``throughtime logs`` with default settings."""
    normal, test = (set_hashes(_events(s, data.normal), _lengths(s)) for s in (data.normal, data.test))
    frequency = frequency_of(test, KindCounts.of(normal), normal[:0])
    return surprise_of_sessions(data, seed) + frequency.excess


def _events(sessions: Sequence[Session], normal: Sequence[Session]) -> NDArray[np.int64]:
    """Return the events of all sessions; -1 are those that do not occur in normal ones."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(e for s in normal for e in s))}
    return np.array([numbers.get(event, -1) for session in sessions for event in session])


def _lengths(sessions: Sequence[Session]) -> NDArray[np.int64]:
    return np.array([len(session) for session in sessions])


def surprise_of_sessions(data: Hdfs, seed: int) -> Scores:
    """Return the surprise of each session alone, the scores of ``throughtime logs --no-frequency``."""
    if seed not in _SURPRISE:
        _SURPRISE[seed] = _surprise_of_sessions(data, seed)
    return _SURPRISE[seed]


_SURPRISE: dict[int, Scores] = {}


def _surprise_of_sessions(data: Hdfs, seed: int) -> Scores:
    numbers = {name: i for i, name in enumerate(dict.fromkeys(e for s in data.normal for e in s))}
    normal, test = (_numbered(sessions, numbers) for sessions in (data.normal, data.test))
    prepared = prepared_log(log_recipe({"seed": seed}), as_table(normal))
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit_prepared(prepared, Path(folder) / "run", None, resume=False, progress=False)
    assert fitted.predictor is not None
    surprise = Scorer(fitted.predictor).surprise(test)
    return session_scores(surprise, np.array([len(session) + 1 for session in data.test]))


def _numbered(sessions: Sequence[Session], numbers: dict[str, int]) -> pa.ListArray:
    return pa.array([[numbers.get(event, -1) for event in s] for s in sessions], pa.list_(pa.int32()))


def isolation_forest(data: Hdfs, seed: int) -> Scores:
    """Return the scores of counts of templates in an isolation forest."""
    model = IsolationForest(n_estimators=300, random_state=seed)
    return -model.fit(_counts(data.normal, data)).score_samples(_counts(data.test, data))


def one_class(data: Hdfs, seed: int) -> Scores:  # noqa: ARG001 - it has no randomness
    """Return the scores of counts of templates in a one-class support vector machine."""
    model = make_pipeline(StandardScaler(), OneClassSVM(nu=0.01))
    return -model.fit(_counts(data.normal, data)).score_samples(_counts(data.test, data))


def _counts(sessions: Sequence[Session], data: Hdfs) -> NDArray[np.float64]:
    """Return how often each template occurs, and as the last column how often others do."""
    names = {name: i for i, name in enumerate(dict.fromkeys(e for s in data.normal for e in s))}
    counts = np.zeros((len(sessions), len(names) + 1))
    for row, session in enumerate(sessions):
        for event, count in Counter(session).items():
            counts[row, names.get(event, -1)] += count
    return counts


METHODS: dict[str, Callable[[Hdfs, int], Scores]] = {
    "throughtime logs": scan,
    "the same, --no-frequency": surprise_of_sessions,
    "counts, isolation forest": isolation_forest,
    "counts, one-class SVM": one_class,
}


def compare(data: Hdfs, seeds: int) -> None:
    """Print the table: the median over seeds, with the smallest and largest average precision."""
    identical = set(map(tuple, data.normal))
    hidden = sum(tuple(s) in identical for s, bad in zip(data.test, data.truth, strict=True) if bad)
    print(
        f"{len(data.normal):,} normal sessions to train on; {len(data.test):,} to test, {data.truth.sum()} "
        f"anomalies,"
    )
    print(f"of which {hidden} are event for event equal to a normal training session")
    print(f"{'method':28}{f'precision of top {TOP}':>22}{'average precision':>26}{'seconds':>9}")
    for name, method in METHODS.items():
        precisions, averages, seconds = [], [], []
        for seed in range(seeds):
            start = time.perf_counter()
            scores = method(data, seed)
            seconds.append(time.perf_counter() - start)
            averages.append(average_precision_score(data.truth, scores))
            precisions.append(data.truth[np.argsort(-scores, kind="stable")[:TOP]].mean())
        between = f"({min(averages):.3f} to {max(averages):.3f})"
        print(
            f"{name:28}{statistics.median(precisions):22.2f}{statistics.median(averages):8.3f} {between:>17}"
            f"{statistics.median(seconds):9.1f}",
            flush=True,
        )


def raw_lines(lines: int) -> None:
    """Print the time and memory to read, train on and scan generated logs of so many lines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for log, faults, seed in (("normal", (), 0), ("faulty", FAULTS, 1)):
            with (folder / f"{log}.log").open("w") as file:
                generated = generated_log(lines // 8, faults=faults, seed=seed)
                file.writelines(f"{line.text}\n" for line in islice(generated, lines))
        start = time.perf_counter()
        options = LogOptions(sessions=SessionOptions(session=r"req-\d+"))
        log = read_training_log(log_files([folder / "normal.log"]).files, options)
        read = time.perf_counter()
        train_logs(log, folder / "run", log_recipe({}), progress=False)
        trained = time.perf_counter()
        result = scan_logs(
            LogModel.open(folder / "run"), log_files([folder / "faulty.log"]).files, top=len(FAULTS)
        )
        scanned = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{lines:,} lines, {torch.get_num_threads()} threads: read and mined in {read - start:.0f} s "
              f"({lines / (read - start):,.0f} lines/s), trained in {trained - read:.0f} s, scanned in "
              f"{scanned - trained:.0f} s; {scanned - start:.0f} s in all, peak {peak:.2f} GiB")  # fmt: skip
        print(f"the {len(FAULTS)} most surprising sessions: {', '.join(s.name for s in result.sessions)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lines", type=int)
    arguments = parser.parse_args()
    if arguments.data is not None:
        compare(hdfs(arguments.data), arguments.seeds)
    if arguments.lines is not None:
        raw_lines(arguments.lines)


if __name__ == "__main__":
    main()
