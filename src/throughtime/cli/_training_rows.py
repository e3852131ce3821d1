"""The rows that a run of ``throughtime train`` was trained on, found again and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from throughtime.data.tables import read_texts
from throughtime.data.text import TextSource, split_texts
from throughtime.errors import DataError
from throughtime.training import Run


@dataclass(frozen=True)
class TrainingRows:
    """What a run was trained on."""

    source: TextSource
    training: frozenset[str]
    """Texts that weights were fitted to."""
    validation: frozenset[str]
    """Texts that the best epoch was chosen by."""


def training_rows(run: Run, given: Path | None, diagnosed: Path) -> TrainingRows | str:
    """Read and split the data of a run again, or say why that cannot be done.

    Tried are the file that was given, or else the one that the run names, by its path from the current folder
    unless it is absolute, and the one that is diagnosed. It is that of the training if texts, labels, split
    and tokenizer have the hash that the run holds.

    Raises
    ------
    DataError
        If a file was given for it, and it is not that of the training.
    """
    if given is not None:
        found = _read(run, given)
        if found is None:
            raise DataError(f"{given} is not the data that {run.path} was trained on: another hash")
        return found
    named = run.task_entry("data", str, None, default=None)
    there = named is not None and _may_be_data(Path(named), run.config.classes)
    for path in [*([Path(named)] if there else []), diagnosed]:
        try:
            found = _read(run, path)
        except (DataError, OSError):
            continue
        if found is not None:
            return found
    if named is None:
        return "the run does not say where its training data is; name it with --training-data"
    if there:
        return f"the training data {named} has changed since the training; name it with --training-data"
    return (
        f"the training rows were not found: {named} (from the current folder) is neither a file nor a folder "
        "of the run's classes; name it with --training-data"
    )


def _may_be_data(path: Path, classes: Sequence[str]) -> bool:
    """Tell whether a path that a run names, whoever made it, is a regular file or a folder of these classes.

    Nothing below a folder of other subfolders is looked at.
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
    """Return which texts are in neither part; if that is fewer than two, which are not in training."""
    new = [number for number, text in enumerate(texts) if text not in rows.training]
    neither = [number for number in new if texts[number] not in rows.validation]
    return neither if len(neither) > 1 else new
