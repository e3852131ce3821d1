"""The training rows of a run of ``throughtime train``, read again and checked by their hash."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from throughtime.data.table import Table
from throughtime.errors import DataError, RunError, ThroughtimeError
from throughtime.learn import Prepared, Recipe, prepare
from throughtime.tasks import Classification
from throughtime.training import Run


@dataclass(frozen=True)
class TrainingRows:
    """The training data of a run."""

    prepared: Prepared
    training: frozenset[str]
    """Keys (see `keys_of`) of the rows that the weights were fitted to."""
    validation: frozenset[str]
    """Keys of the rows that the best epoch was chosen on."""


def training_rows(run: Run, training_data: Path | None, diagnosed: Path) -> TrainingRows | str:
    """Read and split the training data of a run again, or return why that is not possible.

    Candidates are ``training_data`` if it is given, else the path in the run (relative to the current folder
    unless it is absolute) and the diagnosed file. A candidate is accepted if sequences, targets, split and
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
    named = run.recipe_entry("data", str, None, default=None)
    task = run.config.task
    classes = task.classes if isinstance(task, Classification) else ()
    exists = named is not None and may_be_data(Path(named), classes)
    for path in [*([Path(named)] if exists else []), diagnosed]:
        try:
            rows = _read(run, path)
        except (ThroughtimeError, OSError):
            continue
        if rows is not None:
            return rows
    if named is None:
        return "the run does not hold the path of its training data; give it with --training-data"
    if exists:
        return (
            f"the training data {named} has changed since the training; give the original (--training-data)"
        )
    return (
        f"the training rows were not found: {named} (from the current folder) is neither a file nor a folder "
        "with a subfolder for each class of the run; give their path with --training-data"
    )


def may_be_data(path: Path, classes: Sequence[str]) -> bool:
    """Return whether the path in a run is a regular file, or a folder with a subfolder for each class.

    Runs may come from anyone, so other folders are not searched.
    """
    try:
        if not path.is_dir():
            return path.is_file()
        entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        return (
            bool(classes)
            and all(entry.is_dir() for entry in entries)
            and {entry.name for entry in entries} >= set(classes)
        )
    except OSError:
        return False


def keys_of(table: Table, columns: Sequence[str]) -> list[str]:
    """Return the content of each row in these columns as text, by which equal rows are recognised."""
    values = [table.column(name).to_pylist() for name in columns]
    return [" ".join(map(str, row)) for row in zip(*values, strict=True)]


def unseen(rows: TrainingRows, keys: Sequence[str]) -> list[int]:
    """Return the indices of rows in neither part; if fewer than two, of those not in training."""
    new = [number for number, key in enumerate(keys) if key not in rows.training]
    neither = [number for number in new if keys[number] not in rows.validation]
    return neither if len(neither) > 1 else new


def _read(run: Run, path: Path) -> TrainingRows | None:
    """Return the rows of a file or folder, or None if they are not those of the training."""
    try:
        recipe = Recipe.from_json(run.config.recipe.get("options"))
    except ValueError as error:
        raise RunError(f"{run.path / 'config.json'} is damaged: {error}; restore the file") from error
    prepared = prepare(recipe, path)
    if prepared.source.describe().get("sha256") != run.config.data.get("sha256"):
        return None
    columns = prepared.recipe.columns
    names = [*columns.text, *columns.tokens, *columns.series]
    training, validation = (frozenset(keys_of(part, names)) for part in prepared.tables[:2])
    return TrainingRows(prepared, training, validation)
