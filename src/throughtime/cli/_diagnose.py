"""``throughtime diagnose``: what a run's gradients do, what it reads, and a page that shows it."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from throughtime.cli._predict_text import read_table
from throughtime.cli._tokenizer import tokenizer_of
from throughtime.data.text import encode, encode_labels
from throughtime.demo import TASK
from throughtime.diagnose import clipping
from throughtime.diagnose import diagnose as measure
from throughtime.errors import DataError, UnsupportedError
from throughtime.report import write_diagnoses
from throughtime.training import Run, predict, quality, read_gradients

_STYLES = {"problem": "bold red", "warning": "yellow", "note": "cyan"}


def diagnose(path: Path, data: Path, *, text: str | None, label: str | None, examples: int) -> None:
    """Measure the run's model on labelled texts, print the findings, write a page and its numbers."""
    run = Run.open(path)
    if run.config.task.get("kind") == TASK:
        raise UnsupportedError(
            f"{path} is a run of the demo, which reads windows of source code; diagnose takes runs of "
            "`throughtime train`, and tt.diagnose.diagnose any model and batch from Python"
        )
    model = run.load_model()
    table = read_table(run, data, text, label or run.config.task.get("label"))
    if table.labels is None:
        raise DataError(f"{data} has no labels, which the loss needs; name their column with --label")
    tokenizer, classes = tokenizer_of(run), run.config.classes
    batch, labels = encode(tokenizer, table.texts[:examples]), encode_labels(table, classes)[:examples]
    words = [tokenizer.encode(one).tokens for one in table.texts[:examples]]
    names = [row[: int(n)] for row, n in zip(words, batch.lengths, strict=True)]
    found = measure(
        model,
        batch,
        lambda logits: torch.nn.functional.cross_entropy(logits, labels),
        target=labels,
        tokens=names,
    )
    every = predict(model, encode(tokenizer, table.texts))
    found["quality"] = quality(every, encode_labels(table, classes), classes)
    for row in (row for rows in found["quality"]["examples"].values() for row in rows):
        row["text"] = table.texts[row["row"]]
    found["history"] = [epoch.to_json() for epoch in run.metrics.history]
    record = read_gradients(run.path / "gradients.jsonl")
    found["training"] = [line for line in record if line["layers"]]
    found["norms"] = [norm for line in record for norm in line.get("norms", [])]
    found["clip"] = run.config.settings.clip
    clipped = None if found["clip"] is None else clipping(found["norms"], found["clip"])
    found["findings"] += [] if clipped is None else [asdict(clipped)]
    (run.path / "diagnosis.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    name = f"{run.config.model.name} of {run.path.name}"
    page = run.path / "diagnosis.html"
    said = f"{len(table)} labelled texts of {data.name}; gradients of the first {len(batch)}."
    write_diagnoses(page, f"Diagnosis: {name}", said, {name: found})
    _show(Console(highlight=False), found)
    print(f"saved in {page}")  # noqa: T201 - what the command is for


def _show(console: Console, found: dict[str, list[dict[str, object]]]) -> None:
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
            f"{exponents[0]:+.3f} per step" if exponents else "",  # type: ignore[index]
            f"{horizon:.0f} steps" if isinstance(horizon, float) else "",
        )
    if found["lyapunov"]:
        console.print(shown)
