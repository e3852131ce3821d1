"""``throughtime diagnose``: what gradients do in runs, what their models read, and a page that shows it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from throughtime.cli._diagnose_lines import show
from throughtime.cli._question import Subject
from throughtime.cli._subject import subject_of
from throughtime.data.printable import json_line, printable
from throughtime.diagnose import clipping
from throughtime.diagnose import diagnose as measure
from throughtime.errors import ThroughtimeError, UnsupportedError
from throughtime.report import write_diagnoses
from throughtime.training import Run, read_gradients

_RANKS = ("problem", "warning", "note")

Diagnosis = dict[str, Any]


def diagnose(
    paths: Sequence[Path],
    data: Path,
    *,
    text: str | None,
    label: str | None,
    training_data: Path | None,
    examples: int,
    out: Path | None,
) -> None:
    """Measure the models of runs on labelled data, print the findings, write one page and all numbers.

    Of several runs, one that cannot be diagnosed is left out of the page, and named at the end.
    """
    runs = [Run.open(path) for path in paths]
    if out is None and len(runs) > 1:
        raise UnsupportedError(
            f"{len(runs)} runs make one page, which belongs to none of their folders; say --out PAGE.html"
        )
    page = out or runs[0].path / "diagnosis.html"
    console = Console(highlight=False)
    found: dict[str, Diagnosis] = {}
    left_out: dict[str, ThroughtimeError] = {}
    said: dict[str, None] = {}
    for name, run in zip(_names(runs), runs, strict=True):
        try:
            subject = subject_of(run, data, text, label, training_data)
            one = _diagnosis(run, subject, examples)
        except ThroughtimeError as error:
            left_out[name] = error
            continue
        found[name] = one
        (run.path / "diagnosis.json").write_text(json_line(one), encoding="utf-8")
        said[f"{subject.said}; gradients of the first {min(examples, len(subject.tokens))}."] = None
        if len(runs) > 1:
            console.print(Text(printable(name), "bold"), soft_wrap=True)
        show(console, one)
    if found:
        page.parent.mkdir(parents=True, exist_ok=True)
        title = next(iter(found)) if len(found) == 1 else f"{len(found)} models"
        write_diagnoses(page, f"Diagnosis: {title}", " ".join([*said, *_missing(left_out)]), found)
        print(f"saved in {printable(str(page))}")  # noqa: T201 - what the command is for
    if len(runs) == 1 and left_out:
        raise next(iter(left_out.values()))
    if left_out:
        raise UnsupportedError(" ".join(_missing(left_out)))


def _missing(left_out: dict[str, ThroughtimeError]) -> list[str]:
    return [f"{name} was not diagnosed: {error}." for name, error in left_out.items()]


def _names(runs: Sequence[Run]) -> list[str]:
    names = [_name(run, run.path.name) for run in runs]
    if len(set(names)) == len(names):
        return names
    return [_name(run, str(run.path)) for run in runs]


def _name(run: Run, folder: str) -> str:
    """Return the model's name, and that of its folder where it says more."""
    model = run.config.model.name
    return model if model == folder else f"{model} of {folder}"


def _diagnosis(run: Run, subject: Subject, examples: int) -> Diagnosis:
    """Return what the page shows of a run: the diagnosis of its model, and what its training left."""
    question = subject.question(run, examples)
    model, losses = question.model, question.losses
    found = measure(
        model,
        subject.tokens[:examples],
        lambda output: losses(output).mean(),
        target=question.target,
        outcome=None if question.target is not None else lambda output: -losses(output),
        tokens=subject.words[:examples],
        at=question.at,
    )
    found["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    found["quality"], verdicts = subject.quality(model)
    found["history"] = [epoch.to_json() for epoch in run.metrics.history]
    record = read_gradients(run.path / "gradients.jsonl")
    found["training"] = [line for line in record if line["layers"]]
    found["norms"] = [norm for line in record for norm in line.get("norms", [])]
    found["clip"] = run.config.settings.clip
    if found["clip"] is not None:
        of_clipping = clipping(found["norms"], found["clip"])
        verdicts += [] if of_clipping is None else [of_clipping]
    found["findings"] = sorted(
        found["findings"] + [asdict(verdict) for verdict in verdicts],
        key=lambda finding: _RANKS.index(finding["severity"]),
    )
    return found
