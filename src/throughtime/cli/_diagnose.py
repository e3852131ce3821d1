"""``throughtime diagnose``: gradient flow, quality and findings of runs, on the terminal and on one page."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from throughtime._options import named
from throughtime.cli._diagnose_lines import show
from throughtime.cli._diagnosis_data import DiagnosisColumns, DiagnosisData, read_diagnosis_data
from throughtime.data.printable import json_line, printable
from throughtime.diagnose import clipping
from throughtime.diagnose import diagnose as measure
from throughtime.errors import ThroughtimeError, UnsupportedError
from throughtime.report import RunDiagnosis, run_names, write_diagnoses
from throughtime.training import Run, read_gradients


def diagnose(
    paths: Sequence[Path],
    data: Path,
    columns: DiagnosisColumns,
    *,
    examples: int,
    out: Path | None,
    quiet: bool = False,
) -> None:
    """Measure the models of runs on labelled data, print the findings, write one page and all numbers.

    Of several runs, one that cannot be diagnosed is left out of the page and named at the end.
    """
    runs = [Run.open(path) for path in paths]
    if out is None and len(runs) > 1:
        raise UnsupportedError(
            f"{len(runs)} runs share one page, so its file must be named; give --out PAGE.html"
        )
    page = out or runs[0].path / "diagnosis.html"
    console = Console(highlight=False, quiet=quiet)
    diagnoses: dict[str, RunDiagnosis] = {}
    errors: dict[str, ThroughtimeError] = {}
    descriptions: dict[str, None] = {}
    for name, run in zip(run_names(runs), runs, strict=True):
        try:
            sequences = read_diagnosis_data(run, data, columns)
            diagnosis, lines = _diagnosis(run, sequences, examples)
        except ThroughtimeError as error:
            errors[name] = error
            continue
        diagnoses[name] = diagnosis
        (run.path / "diagnosis.json").write_text(json_line(diagnosis.to_json()), encoding="utf-8")
        count = min(examples, len(sequences.tokens))
        descriptions[f"{sequences.description}; gradients of the first {count}."] = None
        if len(runs) > 1:
            console.print(Text(printable(name), "bold"), soft_wrap=True)
        for line in lines:
            console.print(printable(line), soft_wrap=True, markup=False)
        show(console, diagnosis)
    if diagnoses:
        _write(page, diagnoses, [*descriptions, *_failures(errors)])
        console.print(f"saved in {printable(str(page))}", soft_wrap=True, markup=False)
    if len(runs) == 1 and errors:
        raise next(iter(errors.values()))
    if errors:
        raise UnsupportedError(" ".join(_failures(errors)))


def _write(page: Path, diagnoses: dict[str, RunDiagnosis], subtitle: Iterable[str]) -> None:
    page.parent.mkdir(parents=True, exist_ok=True)
    title = next(iter(diagnoses)) if len(diagnoses) == 1 else f"{len(diagnoses)} models"
    write_diagnoses(page, f"Diagnosis: {title}", " ".join(subtitle), diagnoses)


def _failures(errors: dict[str, ThroughtimeError]) -> list[str]:
    return [f"{name} was not diagnosed: {error}." for name, error in errors.items()]


def _diagnosis(run: Run, sequences: DiagnosisData, examples: int) -> tuple[RunDiagnosis, list[str]]:
    """Return the diagnosis of a run's model with the records of its training, and lines for the terminal."""
    if run.config.model.is_blend:
        raise UnsupportedError(
            f"{run.path} has a blend of several models, and a diagnosis is of one network; train one of them "
            f"by itself ({named('model')}), and give its run"
        )
    if run.config.model.solved:
        raise UnsupportedError(
            f"{run.path} has a linear model, {run.config.model.name}, without steps that gradients flow "
            "through; give the run of a network"
        )
    objective = sequences.objective(run, examples)
    model, losses = objective.model, objective.losses
    diagnosis = measure(
        model,
        sequences.tokens[:examples],
        lambda output: losses(output).mean(),
        target=objective.target,
        outcome=None if objective.target is not None else lambda output: -losses(output),
        tokens=None if sequences.words is None else sequences.words[:examples],
        features_of=objective.features_of,
    )
    quality, findings, lines = sequences.quality(model)
    records = read_gradients(run.path / "gradients.jsonl")
    norms, clip = tuple(norm for record in records for norm in record.norms), run.config.settings.clip
    clipped = None if clip is None else clipping(norms, clip)
    run_diagnosis = RunDiagnosis(
        diagnosis.with_findings(findings if clipped is None else [*findings, clipped]),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        quality=quality,
        history=tuple(run.metrics.history),
        training=tuple(record for record in records if record.layers),
        norms=norms,
        clip=clip,
    )
    return run_diagnosis, lines
