"""The demo from data to report: trains baselines and networks on ``python-operators``.

All files are in one folder: a run for each network, ``results.json``, ``report.html``. An interrupted demo
can be continued; a finished one shows its results again.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from throughtime.baselines import Baseline, Fit, Fitter, fit_baseline
from throughtime.baselines.constant import class_frequencies
from throughtime.baselines.regressions import ngram_regression
from throughtime.baselines.rows import Rows
from throughtime.baselines.targets import Classes
from throughtime.demo.examples import most_certain
from throughtime.demo.interval import accuracy_interval
from throughtime.demo.operators.dataset import PythonOperators
from throughtime.demo.operators.replacement import ReplacementDetector, replacement_logits, shown_operators
from throughtime.demo.plan import DemoPlan, Network
from throughtime.demo.results import DemoResult, read_result, write_result
from throughtime.demo.review import precision_at
from throughtime.demo.shop.scan import NAME as LOGS
from throughtime.demo.shop.scan import scan_shop
from throughtime.demo.task import TASK
from throughtime.demo.views.networks import network_views
from throughtime.errors import RunError
from throughtime.learn.auto import blend_runs
from throughtime.report import ModelRow, ReportContent, curve_of, write_report
from throughtime.tasks import Classification, predict
from throughtime.training import BLEND, Run, fit

Tell = Callable[[str], None]


class Interrupted(Exception):  # noqa: N818 - not an error
    """Ctrl-C stopped a training; its run can be resumed."""


def run_demo(out: Path, plan: DemoPlan, tell: Tell, *, progress: bool = True) -> DemoResult:
    """Run the demo in a folder, or continue it.

    Parameters
    ----------
    out
        A new or empty folder, or the folder of an interrupted or finished demo.
    plan
        Sizes and networks.
    tell
        Function that receives a line of text when a part begins or ends.
    progress
        Whether to show the progress of trainings.

    Raises
    ------
    RunError
        If the folder has other files.
    Interrupted
        After Ctrl-C.
    """
    _require_usable(out, plan)
    finished = read_result(out, plan.to_json())
    if finished is not None:
        tell(f"{out} holds a finished demo, whose results follow; choose another --out to run it again")
        return finished
    tell("python-operators: reading the Python source that is installed here …")
    source = plan.source()
    facts = source.describe()
    tell(
        f"{facts['files']:,} files, {facts['tokens']:,} tokens, {facts['operators']:,} operators; "
        f"{facts['training_examples']:,} for training, {facts['test_examples']:,} for the test"
    )
    tell("baselines: logistic regression on n-grams …")
    files = source.sites["test"].where[:, 0]
    baselines = _baselines(source, plan.baseline_seconds)
    rows = [_baseline_row(baseline, source, files) for baseline in baselines]
    trained = [_train(network, source, out, tell, progress=progress) for network in plan.networks]
    runs = [*trained, _blend(trained, source, out, tell)]
    names = [*(network.name for network in plan.networks), "Blend"]
    models = [run.load_model() for run in runs]
    detectors = [ReplacementDetector(model, source.vocabulary) for model in models]
    logits = [cast("Tensor", predict(detector, source.test.inputs)) for detector in detectors]
    correct = [torch.eq(scores.argmax(1), source.replaced).numpy() for scores in logits]
    for name, run, model, hits in zip(names, runs, models, correct, strict=True):
        rows.append(_network_row(name, run, model, hits, files))
    best = max(range(len(runs)), key=lambda i: correct[i].mean())
    tell("looking for replaced operators, one in a hundred …")
    precision = precision_at(detectors[best], source.sites["test"], seed=plan.seed)
    tell("log of a small shop with a fault that no test detects: training on the log of correct runs …")
    log = scan_shop(out, plan.shop)
    if log is None:
        raise Interrupted
    result = DemoResult(tuple(rows), out / "report.html", runs[best].path, precision, log)
    tell("filters, gates, gradients, and the influence of tokens …")
    right, wrong = most_certain(source, logits[best].softmax(1))
    name = names[best]
    content = ReportContent(
        title="Has this operator been replaced?",
        subtitle=(
            "Python source from this machine; half of the operators in question were replaced by another of "
            "their family. The models see two lines before, one after, and the operator marked. They predict "
            "which operator the author wrote; if it is not the one shown, it was replaced."
        ),
        models=rows,
        curves=[curve_of(n.name, run.metrics.history) for n, run in zip(plan.networks, trained, strict=True)],
        right=right,
        wrong=wrong,
        examples_of=name,
        facts=_facts(facts, name, precision),
        networks=network_views(
            source,
            dict(zip([network.name for network in plan.networks], models, strict=False)),
            logits[: len(trained)],
            out,
        ),
        log=log,
        notes=[
            "The 95 % intervals are those of drawing whole test files anew (cluster bootstrap).",
            "Learning curves show the loss and accuracy of the author's operator.",
        ],
    )
    write_report(content, result.report)
    write_result(out, plan.to_json(), result)
    return result


def _train(network: Network, source: PythonOperators, out: Path, tell: Tell, *, progress: bool) -> Run:
    path = out / network.model.name
    resume = path.exists()
    if resume:
        run = Run.open(path)
    else:
        run = Run.create(
            path,
            source=source,
            task=_task(source),
            model=network.model,
            settings=network.settings,
            recipe={"kind": TASK},
            tokenizer_json=source.vocabulary.to_tokenizer().to_str(pretty=True),
        )
    tell(f"{network.name}: {'resuming' if resume and not run.finished else 'training'} …")
    result = fit(
        source, _task(source), network.model, network.settings, run, resume=resume, progress=progress
    )
    if result.interrupted:
        raise Interrupted
    return run


def _blend(trained: Sequence[Run], source: PythonOperators, out: Path, tell: Tell) -> Run:
    """Return the run that blends the networks."""
    path = out / BLEND
    if path.exists():
        run = Run.open(path)
        if run.finished:
            return run
        shutil.rmtree(path)
    tell("Blend: weights of the networks that are best on validation …")
    return blend_runs(path, trained, source)


def _task(source: PythonOperators) -> Classification:
    return Classification(source.classes)


def _network_row(
    name: str, run: Run, model: nn.Module, correct: NDArray[np.bool_], files: NDArray[np.int64]
) -> ModelRow:
    history = run.metrics.history
    seconds = sum(epoch.seconds for epoch in history)
    tokens = sum(epoch.tokens for epoch in history)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return _row(name, correct, files, parameters, seconds, tokens)


def _baselines(source: PythonOperators, seconds: float) -> Iterator[Baseline]:
    """Fit the majority class, and logistic regressions on single tokens and on n-grams up to 3."""
    rows, task = Rows(source.training(0), source.validation), _task(source)
    fitters: dict[str, Fitter] = {
        "majority": class_frequencies,
        "unigram logistic": partial(_logistic, longest=1),
        "trigram logistic": partial(_logistic, longest=3),
    }
    for name, fit_to in fitters.items():
        baseline = fit_baseline(name, fit_to, task, rows, seconds)
        if baseline is not None:
            yield baseline


def _logistic(rows: Rows, classes: int, seconds: float, *, longest: int) -> Fit | None:
    return ngram_regression(rows, Classes(classes), seconds, lengths=(longest,))


def _baseline_row(baseline: Baseline, source: PythonOperators, files: NDArray[np.int64]) -> ModelRow:
    shown = shown_operators(source.test.inputs, source.vocabulary)
    logits = replacement_logits(cast("Tensor", baseline.outputs(source.test)), shown)
    correct = torch.eq(logits.argmax(1), source.replaced).numpy()
    return _row(baseline.name, correct, files, baseline.parameters, baseline.seconds, baseline.tokens)


def _row(
    name: str,
    correct: NDArray[np.bool_],
    files: NDArray[np.int64],
    parameters: int,
    seconds: float,
    tokens: int,
) -> ModelRow:
    low, high = accuracy_interval(correct, files)
    return ModelRow(
        name,
        float(correct.mean()),
        low,
        high,
        parameters,
        seconds,
        tokens / seconds if tokens and seconds else None,
    )


def _facts(facts: Mapping[str, Any], name: str, precision: float) -> list[tuple[str, str]]:
    return [
        (
            f"{name} as a reviewer",
            f"precision {precision:.2f} among the 20 most suspicious of all test operators, 1 % replaced",
        ),
        ("files", f"{facts['files']:,}, split 60/20/20 into training, validation and test"),
        ("tokens", f"{facts['tokens']:,}"),
        ("operators", f"{facts['operators']:,}, of which {facts['duplicate_windows']:,} in repeated windows"),
        (
            "examples",
            (
                f"{facts['training_examples']:,} training (replacements drawn anew each epoch), "
                f"{facts['validation_examples']:,} validation, {facts['test_examples']:,} test"
            ),
        ),
        ("vocabulary", f"{facts['vocabulary']:,} words"),
        ("made of", ", ".join(facts["packages"])),
        ("sha256", str(facts["sha256"])),
    ]


# ------------------------------------------------------------------ the folder


def _require_usable(out: Path, plan: DemoPlan) -> None:
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file; choose another --out")
    if not out.is_dir():
        return
    expected = {
        "results.json",
        "report.html",
        BLEND,
        LOGS,
        *(network.model.name for network in plan.networks),
    }
    for entry in out.iterdir():
        if entry.name not in expected and not entry.name.endswith(".part"):
            raise RunError(f"{out} has {entry.name}, which is not a file of a demo; choose another --out")
