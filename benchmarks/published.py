"""The default classifier, ``model="auto"``, beside the linear baseline and published figures.

    python benchmarks/published.py DATA [--sets trec,ucr] [--seeds 3] [--out FILE.md] [--threads 2]
        [--validation]

DATA is a folder with public data sets, see ``benchmarks/data.py``; those that are missing are skipped with a
message. Every set is trained on its official training part with default options. Only the seed differs, and
the budget of POJ-104, 20 minutes, because its 12 million tokens would take hours by default. Everything is
chosen on the training rows, and the test part is measured once for each seed; the official validation part
of POJ-104 serves to choose, as in the published works. ``--validation`` leaves test parts alone: a fifth of
the training rows, by class and the same for all seeds, takes their place. Use it while defaults change.

Prints a row for each set:

ours         the metric in %, mean ± standard deviation over seeds
baseline     the best of `throughtime.baselines.fit_baselines` on the measured rows, ± its standard error (a
             quarter of its 95 % interval); settings are chosen on the validation part of the training of
             seed 0, and it is fitted to the other training rows, or to as many as about 20 minutes on one
             core allow
published    accuracies of others in %, with the source; F1 of the 1,588 sessions of HDFS_100k has none
calibration  expected calibration error in %, and mean log loss, of ours and of the baseline
chosen       models of the blend with their weights, means over seeds, and the number of folds
seconds      median time of a training with reading of the data and the measurement of the test part
memory       peak resident memory of a training, which has a process of its own, in MiB

``--out`` also writes the table to a file, and every result to FILE.jsonl beside it as soon as it is known: an
interrupted command goes on where it stopped. A set that fails is reported at once, and by exit code 1.
python-operators, the data set of ``make demo``, is not here: it is generated, and the demo prints its own
comparison.
"""

import argparse
import hashlib
import json
import math
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

import data as readers
import throughtime
from throughtime.baselines import fit_baselines
from throughtime.bench.machine import this_machine
from throughtime.learn.auto import read_outcome
from throughtime.learn.bounded import in_memory
from throughtime.learn.fitting import fit_recipe, prepare
from throughtime.learn.recipe import Recipe
from throughtime.tasks import METRICS
from throughtime.training import Run

_BASELINE_SECONDS = 1200.0
"""About the time on one core that baselines may take, which limits the rows of POJ-104 alone."""
_INCEPTION = "InceptionTime (Fawaz et al. 2020)"


@dataclass(frozen=True)
class DataSet:
    """A data set, where it lies in DATA, and what others published."""

    title: str
    folder: str
    read: Callable[[Path], readers.Split]
    published: str
    metric: str = "accuracy"
    options: Mapping[str, Any] = field(default_factory=dict)


UCR = {
    "ArrowHead": 84.6,
    "BME": 99.3,
    "CBF": 99.9,
    "Chinatown": 98.5,
    "ECG200": 93.0,
    "FaceFour": 95.5,
    "GunPoint": 100.0,
    "ItalyPowerDemand": 96.5,
    "Plane": 100.0,
    "SyntheticControl": 99.7,
    "TwoLeadECG": 99.6,
    "UMD": 98.6,
}
"""Published accuracies of InceptionTime, an ensemble of five networks, in %."""
SETS = {
    "trec": DataSet("TREC", "trec", readers.trec, "91.2 CNN-rand (Kim 2014)"),
    "stackoverflow": DataSet(
        "StackOverflow titles", "stackoverflow", readers.stackoverflow, "81.6 TF-IDF and SVM (source unknown)"
    ),
    "hdfs": DataSet("HDFS_100k", "hdfs100k", readers.hdfs, "–", metric="f1"),
    "poj104": DataSet(
        "POJ-104",
        "poj104",
        readers.poj104,
        "94.0 TBCNN (Mou et al. 2016), 94.8 NCC (Ben-Nun et al. 2018)",
        options={"budget": 1200.0},
    ),
    "mnist1d": DataSet("MNIST-1D", "mnist1d", readers.mnist1d, "94 CNN (Greydanus 2020)"),
    "vowels": DataSet(
        "JapaneseVowels", "vowels", readers.vowels, "99.2 ResNet, 99.3 FCN, padded (Fawaz et al. 2019)"
    ),
    **{
        name: DataSet(name, f"ucr/{name}", readers.ucr(name), f"{accuracy} {_INCEPTION}")
        for name, accuracy in UCR.items()
    },
}
HEADER = (
    "| set | training, test rows | metric | ours | baseline | published | calibration error, log loss | "
    "of the baseline | chosen | seconds | memory |\n" + "|---" * 11 + "|"
)


@dataclass(frozen=True)
class Job:
    """A training with a seed, or without one the baselines, on a set."""

    name: str
    seed: int | None
    data: Path
    threads: int
    validation: bool

    @property
    def recipe(self) -> Recipe:
        """The default recipe; baselines are those of seed 0."""
        return Recipe.of("classification", seed=self.seed or 0, **SETS[self.name].options)

    def read(self) -> readers.Split:
        """Return the parts; with ``--validation``, the test part is drawn from the training part."""
        split = SETS[self.name].read(self.data)
        if not self.validation:
            return split
        return readers.Split(*readers.divided(split.training), split.validation)


@dataclass(frozen=True)
class Result:
    """What a job gave; weights of models are means over their copies."""

    name: str
    seed: int | None
    rows: tuple[int, int]
    figures: Mapping[str, float]
    chosen: Mapping[str, float]
    folds: int
    standard_error: float
    seconds: float
    mebibytes: float


# ---------------------------------------------------------------------------------- one process a job


def measure(job: Job) -> Result:
    """Train and measure; in a process of its own, whose peak memory is that of the job."""
    torch.set_num_threads(job.threads)
    began = time.perf_counter()
    split = job.read()
    measured = baseline(job, split) if job.seed is None else training(job, split)
    return Result(
        job.name,
        job.seed,
        (len(split.training), len(split.test)),
        **measured,
        seconds=time.perf_counter() - began,
        mebibytes=_peak(),
    )


def training(job: Job, split: readers.Split) -> dict[str, Any]:
    """Train the default model, and return its metrics on the test part and what it consists of."""
    with tempfile.TemporaryDirectory() as folder:
        run = fit_recipe(
            job.recipe,
            split.training,
            out=Path(folder) / "run",
            validation_data=split.validation,
            test_data=split.test,
            progress=False,
        ).result.run
        weights, folds = chosen_models(run)
        score = run.metrics.test
    if score is None:
        raise RuntimeError(f"{job.name}, seed {job.seed}: the training was stopped before its end")
    return {"figures": score.figures, "chosen": weights, "folds": folds, "standard_error": 0.0}


def baseline(job: Job, split: readers.Split) -> dict[str, Any]:
    """Return the metrics of the best baseline."""
    metric = SETS[job.name].metric
    prepared = prepare(job.recipe, split.training, validation_data=split.validation, test_data=split.test)
    source = prepared.source
    if source.test is None:
        raise RuntimeError(f"{job.name} has no test rows")
    parts = in_memory(source.training(0)), in_memory(source.validation)
    fitted = fit_baselines(prepared.task, *parts, seconds=_BASELINE_SECONDS)  # type: ignore[arg-type]
    test = in_memory(source.test, most=sys.maxsize)
    assessed = [(each, each.assess(test)) for each in fitted]
    best, (figures, _, intervals) = max(assessed, key=lambda pair: _or_lowest(pair[1][0][metric]))
    rows = "" if best.rows == len(parts[0]) else f", fitted to {best.rows:,} rows"
    error = (intervals[metric].high - intervals[metric].low) / 4
    return {"figures": figures, "chosen": {best.name + rows: 1.0}, "folds": 1, "standard_error": error}


def _or_lowest(value: float) -> float:
    """Return a metric for comparison; one that is not defined is less than all others."""
    return -math.inf if math.isnan(value) else value


def chosen_models(run: Run) -> tuple[dict[str, float], int]:
    """Return the weights of the models of a run, and the number of folds."""
    outcome = read_outcome(run)
    if outcome is None:
        return {run.config.model.name: 1.0}, 1
    return {member.model: member.weight for member in outcome.members}, outcome.folds


def _peak() -> float:
    """Return the peak resident memory of this process in MiB; macOS counts bytes, others KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def in_own_process(job: Job) -> Result:
    """Return what `measure` does in a new process.

    On Linux its peak memory is at least that of this process, which therefore reads no data.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, job).result()


# ---------------------------------------------------------------------------------------------- results


def heading(threads: int, *, validation: bool) -> dict[str, Any]:
    """Return what results have in common: the machine, the versions and the source code, and the part."""
    peers = {name: version(name) for name in ("numpy", "scikit-learn")}
    machine = this_machine(threads, peers)
    digest = hashlib.sha256()
    for path in sorted(Path(throughtime.__file__).parent.rglob("*")):
        if path.suffix in {".py", ".so"}:
            digest.update(path.read_bytes())
    return {
        "processor": machine.processor,
        "cores": machine.cores,
        "threads": machine.threads,
        "versions": machine.versions,
        "source": digest.hexdigest()[:12],
        "part": "a fifth of the training rows" if validation else "test rows",
    }


def stored(path: Path | None, head: Mapping[str, Any]) -> list[Result]:
    """Return the results in a file, which is begun with the heading if there is none."""
    if path is None:
        return []
    if not path.exists():
        path.write_text(json.dumps(head) + "\n", encoding="utf-8")
    first, *lines = path.read_text("utf-8").splitlines()
    if json.loads(first) != head:
        raise SystemExit(
            f"{path} has results of another machine, version, part or number of threads; give another --out"
        )
    return [Result(**json.loads(line)) for line in lines]


def results_of(
    name: str, known: Sequence[Result], log: Path | None, options: argparse.Namespace
) -> list[Result]:
    """Return the results of the baselines and of all seeds; those that are not known are measured."""
    results = []
    for seed in (None, *range(options.seeds)):
        result = next((each for each in known if (each.name, each.seed) == (name, seed)), None)
        if result is None:
            what = "baselines" if seed is None else f"seed {seed}"
            print(f"{name}, {what} …", file=sys.stderr, flush=True)
            result = in_own_process(Job(name, seed, options.data, options.threads, options.validation))
            _append(log, result)
        results.append(result)
    return results


def _append(log: Path | None, result: Result) -> None:
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")


# ------------------------------------------------------------------------------------------------ table


def row(name: str, baseline: Result, ours: Sequence[Result]) -> str:
    """Return the line of a set."""
    about = SETS[name]
    names = list(dict.fromkeys(model for each in ours for model in each.chosen))
    weights = {model: statistics.mean(each.chosen.get(model, 0.0) for each in ours) for model in names}
    folds = sorted({each.folds for each in ours})
    of_baseline = f"{_percent([baseline.figures[about.metric]])} ± {100 * baseline.standard_error:.1f}"
    return _line(
        about.title,
        "{:,}, {:,}".format(*baseline.rows),
        METRICS[about.metric].title,
        _percent([each.figures[about.metric] for each in ours]),
        f"{of_baseline} ({', '.join(baseline.chosen)})",
        about.published,
        _calibration(ours),
        _calibration([baseline]),
        ", ".join(f"{model} {weight:.2f}" for model, weight in weights.items())
        + f"; folds: {', '.join(map(str, folds))}",
        f"{statistics.median(each.seconds for each in ours):.0f}",
        f"{max(each.mebibytes for each in ours):.0f}",
    )


def mean_row(of_sets: Mapping[str, Sequence[Result]]) -> str:
    """Return the line of the mean accuracies of sets of the UCR archive."""
    of_baseline, *ours = (
        statistics.mean(each.figures["accuracy"] for each in of_seed)
        for of_seed in zip(*of_sets.values(), strict=True)
    )
    published = statistics.mean(UCR[name] for name in of_sets)
    return _line(
        f"mean of {len(of_sets)} sets of the UCR archive",
        "",
        "accuracy",
        _percent(ours),
        _percent([of_baseline]),
        f"{published:.1f} {_INCEPTION}",
        *[""] * 5,
    )


def _percent(values: Iterable[float]) -> str:
    """Return the mean ± standard deviation in %."""
    shares = [100 * value for value in values]
    spread = f" ± {statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{statistics.mean(shares):.1f}{spread}"


def _calibration(results: Sequence[Result]) -> str:
    names = ("calibration_error", "loss")
    error, loss = (statistics.mean(each.figures[name] for each in results) for name in names)
    return f"{100 * error:.1f}, {loss:.3f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _title(head: Mapping[str, Any], seeds: int) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in head["versions"].items())
    of_seeds = "seed 0" if seeds == 1 else f"seeds 0 to {seeds - 1}"
    return (
        f"{head['processor']}, {head['cores']} cores, threads: {head['threads']}, {versions}, source code "
        f"{head['source']}; {of_seeds}, measured on: {head['part']}"
    )


def _present(options: argparse.Namespace) -> Iterator[str]:
    """Yield the names of the sets that are there."""
    for name in options.sets:
        folder = options.data / SETS[name].folder
        if folder.is_dir():
            yield name
        else:
            print(f"{name} is skipped: there is no folder {folder}", file=sys.stderr)


def _lines(options: argparse.Namespace, failed: list[str]) -> Iterator[str]:
    """Yield the lines of the table as they are known, and add the names of sets that failed."""
    head = heading(options.threads, validation=options.validation)
    log = None if options.out is None else options.out.with_suffix(".jsonl")
    known, results = stored(log, head), {}
    yield from (_title(head, options.seeds), "", HEADER)
    for name in _present(options):
        try:
            results[name] = results_of(name, known, log, options)
        except Exception as error:  # the other sets may work
            print(f"{name} failed: {error!r}", file=sys.stderr)
            failed.append(name)
        else:
            yield row(name, results[name][0], results[name][1:])
    of_ucr = {name: each for name, each in results.items() if name in UCR}
    if len(of_ucr) > 1:
        yield mean_row(of_ucr)


def main() -> None:
    options = _options()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    lines, failed = [], list[str]()
    for line in _lines(options, failed):
        print(line, flush=True)
        lines.append(line + "\n")
    if options.out is not None:
        options.out.write_text("".join(lines), encoding="utf-8")
    sys.exit(int(bool(failed)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=",".join(SETS), help="names with commas; ucr is all of the archive")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file for the table, with FILE.jsonl beside it")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--validation", action="store_true", help="measure on a fifth of the training rows")
    options = parser.parse_args()
    for name in ("seeds", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.out is not None and options.out.suffix == ".jsonl":
        parser.error("--out is the file of the table, FILE.md; results are written to FILE.jsonl beside it")
    given = options.sets.split(",")
    options.sets = list(dict.fromkeys(n for name in given for n in (UCR if name == "ucr" else (name,))))
    if unknown := sorted(set(options.sets) - set(SETS)):
        parser.error(f"unknown set {unknown[0]!r}; choose from {', '.join(SETS)}, ucr")
    return options


if __name__ == "__main__":
    main()
