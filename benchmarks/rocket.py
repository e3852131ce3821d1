"""Features of MiniRocket against those of aeon, which Numba compiles: equality and time.

    python benchmarks/rocket.py DATA [--rounds 9] [--threads 2]

Outputs without zeros count in aeon however few they are, and in throughtime where they are at least half of
the steps; equality is that of features with the dilations for which this makes no difference.

DATA holds ``ucr/NAME/NAME_TRAIN.tsv`` and ``_TEST.tsv``; each of these parts with 300 rows or more is
transformed, and 1,000 random walks of 500 steps. Both are fitted before, and have the same dilations and
biases, those that aeon draws. They take turns in one process, warm, with the same number of threads. Prints
medians in milliseconds, aeon's time over ours, the geometric mean of these ratios, and the share of features
that are equal. Without aeon (``pip install aeon``) it prints our times alone.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import throughtime as tt
from throughtime import Ragged

FEATURES = 10_000
ROWS = 300
Floats = NDArray[np.float32]


def parts(data: Path) -> Iterator[tuple[str, Floats]]:
    """Yield names and series (N, L)."""
    walks = np.random.default_rng(0).normal(size=(1000, 500)).cumsum(1)
    yield "random walks", walks.astype(np.float32)
    for path in sorted(data.glob("ucr/*/*.tsv")):
        rows = np.loadtxt(path, delimiter="\t", dtype=np.float32)
        if len(rows) >= ROWS:
            yield path.stem, rows[:, 1:]


def layer_for(series: Floats) -> tt.nn.MiniRocket:
    """Return our layer, fitted."""
    layer = tt.nn.MiniRocket(1, FEATURES)
    layer.learn(torch.from_numpy(series)[:, None], torch.Generator().manual_seed(0))
    return layer


def with_parameters(layer: tt.nn.MiniRocket, parameters: Any) -> None:
    """Set the dilations and biases of aeon's transform."""
    _, _, dilations, counts, biases = parameters
    layer.dilations[0] = torch.from_numpy(np.repeat(dilations, counts).astype(np.int64))
    layer.biases[0] = torch.from_numpy(biases)


def milliseconds(function: Callable[[], Any]) -> float:
    began = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - began)


def medians(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median time of each, in turns, after one call to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, function in contenders.items():
            taken = milliseconds(function)
            if turn:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def measure(name: str, series: Floats, aeon: Any, rounds: int, threads: int) -> float | None:
    """Print a row of the table, and return aeon's time over ours."""
    layer, ragged = layer_for(series), Ragged.from_list(list(torch.from_numpy(series)[:, :, None]))
    contenders: dict[str, Callable[[], Any]] = {"ours": lambda: layer(ragged)}
    same = ""
    if aeon is not None:
        transform = aeon.MiniRocket(n_kernels=FEATURES, random_state=0, n_jobs=threads).fit(series[:, None])
        with_parameters(layer, transform.parameters)
        contenders["aeon"] = lambda: transform.transform(series[:, None])
        compared = np.repeat(16 * layer.dilations[0].numpy() <= series.shape[1], 84)
        ours, theirs = layer(ragged).numpy()[:, compared], transform.transform(series[:, None])[:, compared]
        equal, most = 100 * (ours == theirs).mean(), np.abs(ours - theirs).max()
        same = f"{equal:.4f} % equal, difference at most {most:.2g}"
    times = medians(contenders, rounds)
    ratio = times["aeon"] / times["ours"] if aeon is not None else None
    columns = [f"{times[key]:9.1f}" for key in times]
    shown = "" if ratio is None else f"{ratio:6.2f}"
    print(f"{name:24} {len(series):5} x {series.shape[1]:4}", *columns, shown, same, flush=True)
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        from aeon.transformations.collection import convolution_based as aeon
    except ModuleNotFoundError:
        aeon = None
        print("aeon is not installed (pip install aeon): our times alone", file=sys.stderr)
    print("series, milliseconds of ours" + ("" if aeon is None else " and of aeon, ratio, equality"))
    ratios = [measure(*part, aeon, options.rounds, options.threads) for part in parts(options.data)]
    if aeon is not None:
        print(f"geometric mean of the ratios {statistics.geometric_mean(filter(None, ratios)):.2f}")


if __name__ == "__main__":
    main()
