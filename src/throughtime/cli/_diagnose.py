"""``throughtime diagnose``: what gradients do in runs, what their models read, and a page that shows it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from throughtime.cli._question import Subject
from throughtime.cli._subject import subject_of
from throughtime.data.printable import printable
from throughtime.diagnose import Finding, bag_does_as_well, clipping, no_minimum
from throughtime.diagnose import diagnose as measure
from throughtime.errors import UnsupportedError
from throughtime.report import write_diagnoses
from throughtime.training import Run, read_gradients

_STYLES = {"problem": "bold red", "warning": "yellow", "note": "cyan"}
_RANKS = tuple(_STYLES)

Diagnosis = dict[str, Any]


def diagnose(
    paths: Sequence[Path], data: Path, *, text: str | None, label: str | None, examples: int, out: Path | None
) -> None:
    """Measure the models of runs on labelled data, print the findings, write one page and all numbers."""
    runs = [Run.open(path) for path in paths]
    if out is None and len(runs) > 1:
        raise UnsupportedError(
            f"{len(runs)} runs make one page, which belongs to none of their folders; say --out PAGE.html"
        )
    page = out or runs[0].path / "diagnosis.html"
    console = Console(highlight=False)
    found, said = {}, ""
    for name, run in zip(_names(runs), runs, strict=True):
        subject = subject_of(run, data, text, label)
        found[name] = one = _diagnosis(run, subject, examples)
        (run.path / "diagnosis.json").write_text(json.dumps(one, ensure_ascii=False), encoding="utf-8")
        said = f"{subject.said}; gradients of the first {min(examples, len(subject.tokens))}."
        if len(runs) > 1:
            console.print(Text(printable(name), "bold"), soft_wrap=True)
        if "figure" in one["quality"]:
            console.print(f"{one['quality']['figure']} of what comes after the last step", soft_wrap=True)
        _show(console, one)
    page.parent.mkdir(parents=True, exist_ok=True)
    title = next(iter(found)) if len(found) == 1 else f"{len(found)} models"
    write_diagnoses(page, f"Diagnosis: {title}", said, found)
    print(f"saved in {page}")  # noqa: T201 - what the command is for


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
    found["quality"] = subject.quality(model)
    found["history"] = [epoch.to_json() for epoch in run.metrics.history]
    record = read_gradients(run.path / "gradients.jsonl")
    found["training"] = [line for line in record if line["layers"]]
    found["norms"] = [norm for line in record for norm in line.get("norms", [])]
    found["clip"] = run.config.settings.clip
    found["findings"] = _in_order(found["findings"] + _of_the_training(found))
    return found


def _of_the_training(found: Diagnosis) -> list[dict[str, Any]]:
    """Return the findings that compare losses, or look at all steps."""
    verdicts: list[Finding | None] = []
    if found["clip"] is not None:
        verdicts.append(clipping(found["norms"], found["clip"]))
    own = found["quality"]
    if own.get("memoryless_loss") is not None:
        losses = own["loss"], own["memoryless_loss"]
        verdicts.append(no_minimum(found["gradient_norm"], *losses) or bag_does_as_well(*losses))
    return [asdict(verdict) for verdict in verdicts if verdict is not None]


def _in_order(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(findings, key=lambda finding: _RANKS.index(finding["severity"]))


def _show(console: Console, found: Diagnosis) -> None:
    for finding in found["findings"]:
        severity = str(finding["severity"])
        console.print(
            f"[{_STYLES[severity]}]{severity}[/] {finding['where']}: {finding['verdict']}", soft_wrap=True
        )
        console.print(f"  {finding['why']} {finding['advice']}", style="dim", soft_wrap=True)
    if not found["findings"]:
        console.print("nothing to complain of: gradients reach as far as the sequences do, no gate is stuck")
    shown = Table(show_edge=False, pad_edge=False)
    shown.add_column("Lyapunov exponents")
    shown.add_column("largest", justify="right")
    shown.add_column("1 % left after", justify="right")
    for one in found["lyapunov"]:
        exponents, horizon = one["exponents"], one["horizon"]
        shown.add_row(
            f"{one['name']}{', from the end' if one['direction'] else ''}",
            f"{exponents[0]:+.3f} per step" if exponents else "",
            f"{horizon:.0f} steps" if isinstance(horizon, float) else "",
        )
    if found["lyapunov"]:
        console.print(shown)
