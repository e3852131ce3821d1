"""Latency of ``throughtime logs scan --follow``: from the write of a line to its verdict on standard output.

    python benchmarks/follow.py [--lines 2000] [--rate 20] [--load 0]

Trains on the package's generated log, follows an empty file in another process, and writes the lines of a
log with faults to it, at random times, on average ``--rate`` a second. ``--state`` also stores the state
after each verdict. ``--load`` is a number of processes that compute at the same time.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from throughtime.logs import LogOptions, SessionOptions, log_files, log_recipe
from throughtime.logs.generated import FAULTS, generated_log
from throughtime.logs.training import read_training_log, train_logs


def trained_run(folder: Path) -> Path:
    """Train on a normal log."""
    log = folder / "normal.log"
    log.write_text("".join(f"{line.text}\n" for line in generated_log(600)))
    options = LogOptions(sessions=SessionOptions(session=r"req-\d+"))
    train_logs(
        read_training_log(log_files([log]).files, options), folder / "run", log_recipe({}), progress=False
    )
    return folder / "run"


def latencies(run: Path, log: Path, lines: Sequence[str], rate: float, state: Path | None) -> list[float]:
    """Return the seconds from the write of each line to its verdict."""
    log.touch()
    command = [sys.executable, "-m", "throughtime", "logs", "scan", str(run), str(log), "--follow"]
    command += ["--format", "jsonl", "--threads", "1", "--stop-after", "10s"]
    command += [] if state is None else ["--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        times: dict[int, float] = {}
        reader = threading.Thread(target=_read, args=(process, times))
        reader.start()
        written = dict(_written(log, lines, rate, times))
        reader.join()
    return [times[number] - at for number, at in written.items()]


def _read(process: "subprocess.Popen[str]", times: dict[int, float]) -> None:
    """Store the time of the verdict on each line."""
    if process.stdout is None:
        return
    for text in process.stdout:
        now, verdict = time.perf_counter(), json.loads(text)
        if verdict["kind"] == "line":
            times[verdict["line"]] = now


def _written(
    log: Path, lines: Sequence[str], rate: float, times: dict[int, float]
) -> Iterator[tuple[int, float]]:
    """Write records at random times; yield the number of the first line of each and its time.

    The first record, which is not timed, has its verdict when the model is loaded.
    """
    source, number = random.Random(0), 1 + lines[0].count("\n")
    with log.open("ab", buffering=0) as file:
        file.write(lines[0].encode())
        while not times:
            time.sleep(0.1)
        for line in lines[1:]:
            time.sleep(source.expovariate(rate))
            yield number, time.perf_counter()
            file.write(line.encode())
            number += line.count("\n")


def records(count: int) -> list[str]:
    """Return records of a log with faults; a record ends with a line end and may have a traceback."""
    texts: list[str] = []
    for line in generated_log(count, faults=FAULTS, seed=1):
        if line.template is None:
            texts[-1] += f"{line.text}\n"
        else:
            texts.append(f"{line.text}\n")
    return list(islice(texts, count))


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Run processes that compute."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--load", type=int, default=0)
    parser.add_argument("--state", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, load(arguments.load):
        folder = Path(name)
        state = folder / "state" if arguments.state else None
        run = trained_run(folder)
        seconds = latencies(run, folder / "app.log", records(arguments.lines), arguments.rate, state)
    median, ninety, highest = np.quantile(seconds, [0.5, 0.9, 0.99]) * 1000
    print(
        f"{len(seconds):,} records at {arguments.rate:g}/s, {arguments.load} other processes: "
        f"median {median:.1f} ms, p90 {ninety:.1f} ms, p99 {highest:.1f} ms, max {1000 * max(seconds):.1f} ms"
    )


if __name__ == "__main__":
    main()
