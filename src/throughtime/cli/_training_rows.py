"""The training rows of a run of ``throughtime train``, read again and checked by their hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from throughtime.data.tables import read_texts
from throughtime.data.text import TextSource, split_texts
from throughtime.errors import DataError
from throughtime.training import Run


@dataclass(frozen=True)
class TrainingRows:
    """The training data of a run."""

    source: TextSource
    training: frozenset[str]
    """Texts that the weights were fitted to."""
    validation: frozenset[str]
    """Texts that the best epoch was chosen on."""


def training_rows(run: Run, training_data: Path | None, diagnosed: Path) -> TrainingRows | str:
    """Read and split the training data of a run again, or return why that is not possible.

    Candidates are ``training_data`` if it is given, else the path in the run (relative to the current folder
    unless it is absolute) and the diagnosed file. A candidate is accepted if texts, labels, split and
    tokenizer have the hash in the run.

    Raises
    ------
    DataError
        If ``training_data`` is given, but is not the data of the training.
    """
    if training_data is not None:
        rows = _read(run, training_data)
        if rows is None:
            raise DataError(
                f"{training_data} is not the data that {run.path} was trained on: the hash differs"
            )
        return rows
    named = run.task_entry("data", str, None, default=None)
    there = named is not None and _may_be_data(Path(named), run.config.classes)
    for path in [*([Path(named)] if there else []), diagnosed]:
        try:
            rows = _read(run, path)
        except (DataError, OSError):
            continue
        if rows is not None:
            return rows
    if named is None:
        return "the run does not hold the path of its training data; give it with --training-data"
    if there:
        return (
            f"the training data {named} has changed since the training; give the original (--training-data)"
        )
    return (
        f"the training rows were not found: {named} (from the current folder) is neither a file nor a folder "
        "with a subfolder for each class of the run; give their path with --training-data"
    )


def _may_be_data(path: Path, classes: Sequence[str]) -> bool:
    """Return whether the path in a run is a regular file, or a folder with a subfolder for each class.

    Runs may come from anyone, so other folders are not searched.
    """
    try:
        if not path.is_dir():
            return path.is_file()
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        return all(entry.is_dir() for entry in entries) and {entry.name for entry in entries} >= set(classes)
    except OSError:
        return False


def _read(run: Run, path: Path) -> TrainingRows | None:
    """Return the rows of a file or folder, or None if they are not those of the training."""
    task = run.task_entry
    label = task("label", str, None)
    if not path.is_dir() and label is None:
        return None
    table = read_texts(path, task("text", str, None), label)
    source = split_texts(
        table,
        validation=task("validation", float, int),
        test=task("test", float, int),
        vocabulary=task("vocabulary", int),
        lower_case=task("lower_case", bool),
        seed=run.config.settings.seed,
    )
    if source.describe().get("sha256") != run.config.data.get("sha256"):
        return None
    training, validation, _ = (frozenset(table.texts[row] for row in part.tolist()) for part in source.rows)
    return TrainingRows(source, training, validation)


def unseen(rows: TrainingRows, texts: Sequence[str]) -> list[int]:
    """Return the indices of texts in neither part; if fewer than two, of those not in training."""
    new = [number for number, text in enumerate(texts) if text not in rows.training]
    neither = [number for number in new if texts[number] not in rows.validation]
    return neither if len(neither) > 1 else new
