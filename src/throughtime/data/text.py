"""Tokenization and split of labelled texts, with the tokenizers library. Reads no files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer

from throughtime.data.columns import short
from throughtime.data.examples import Examples
from throughtime.data.tables import TextTable
from throughtime.data.tokenizing import encode, word_tokenizer
from throughtime.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CLASSES = 10_000
"""Maximum number of classes: weights of the last layer and predictions take memory for each."""
_FEW_CLASSES = 20
"""Number of different labels that is accepted for any number of rows."""


def encode_labels(table: TextTable, classes: Sequence[str]) -> torch.Tensor:
    """Return the class index of each label, (B,) int64.

    Raises
    ------
    DataError
        If a label is not one of the classes.

    Examples
    --------
    >>> encode_labels(TextTable(["a", "b"], ["yes", "no"], ["row 1", "row 2"]), ("no", "yes")).tolist()
    [1, 0]
    """
    numbers = {name: number for number, name in enumerate(classes)}
    labels = table.labels or []
    for label, place in zip(labels, table.places, strict=True):
        if label not in numbers:
            shown = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "")
            raise DataError(
                f"{place} has the label {label!r}, which is not a class of the training data: {shown}; "
                "correct the label or drop the row"
            )
    return torch.tensor([numbers[label] for label in labels], dtype=torch.int64)


@dataclass(frozen=True)
class TextSource:
    """Data source of labelled texts, split and encoded; the examples are the same in every epoch.

    Use `split_texts` to construct one.
    """

    classes: tuple[str, ...]
    tokenizer: Tokenizer
    training_examples: Examples
    validation: Examples
    test: Examples | None
    rows: tuple[torch.Tensor, ...]
    """Row indices of the table in training, validation and test."""
    description: Mapping[str, Any]

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens V."""
        size: int = self.tokenizer.get_vocab_size()
        return size

    def training(self, epoch: int) -> Examples:  # noqa: ARG002 - the same in all epochs
        """Return the training examples."""
        return self.training_examples

    def describe(self) -> dict[str, Any]:
        """Return the sizes, the classes, and a hash of texts, labels and split."""
        return dict(self.description)


def split_texts(
    table: TextTable, *, validation: float, test: float, vocabulary: int, lower_case: bool, seed: int
) -> TextSource:
    """Split labelled texts by class, and encode them with a tokenizer trained on the training part.

    Parameters
    ----------
    table
        Texts with labels.
    validation, test
        Fractions of the rows of each class, with at least one row of each class; a fraction of 0 leaves that
        part empty.
    vocabulary
        Maximum size of the vocabulary.
    lower_case
        Whether to convert texts to lower case.
    seed
        Random seed for the split.

    Raises
    ------
    DataError
        If there is only one class, or more than `MOST_CLASSES`; if most labels occur once; if a class has too
        few rows for all parts, or if the fractions leave no training data.

    Examples
    --------
    >>> texts = ["good", "fine", "nice", "bad", "poor", "weak"]
    >>> table = TextTable(texts, ["yes"] * 3 + ["no"] * 3, [f"row {row}" for row in range(1, 7)])
    >>> source = split_texts(table, validation=0.3, test=0.3, vocabulary=9, lower_case=True, seed=0)
    >>> source.classes, len(source.training(0)), len(source.validation), len(source.test)
    (('no', 'yes'), 2, 2, 2)
    """
    labels = table.labels or []
    classes = tuple(sorted(set(labels)))
    _require_classes(classes, len(table))
    numbers = encode_labels(table, classes)
    parts = _split(table, classes, numbers.numpy(), validation, test, seed)
    tokenizer = word_tokenizer([table.texts[i] for i in parts[0]], vocabulary, lower_case=lower_case)
    tokens = encode(tokenizer, table.texts)
    examples = [Examples(tokens[part], numbers[part]) for part in parts]
    digest = hashlib.sha256()
    for part in (tokens.values, tokens.offsets, numbers, *parts):
        digest.update(part.numpy().tobytes())
    digest.update(tokenizer.to_str().encode())
    return TextSource(
        classes,
        tokenizer,
        examples[0],
        examples[1],
        examples[2] if len(examples[2]) else None,
        tuple(parts),
        {
            "rows": len(table),
            "training_examples": len(parts[0]),
            "validation_examples": len(parts[1]),
            "test_examples": len(parts[2]),
            "tokens": tokens.layout.total,
            "classes": {name: labels.count(name) for name in classes}
            if len(classes) <= 100
            else len(classes),
            "sha256": digest.hexdigest(),
        },
    )


def _require_classes(classes: Sequence[str], rows: int) -> None:
    if len(classes) < 2:
        raise DataError(
            f"all {rows} rows have the label {short(repr(classes[0]))}, but a classifier needs two classes; "
            "add rows of another class"
        )
    if len(classes) > _FEW_CLASSES and 2 * len(classes) > rows:
        raise DataError(
            f"the {rows:,} rows have {len(classes):,} different labels, as a column of identifiers or of "
            "regression targets has; choose a column of classes"
        )
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"the {rows:,} rows have {len(classes):,} different labels, but at most {MOST_CLASSES:,} classes "
            "are supported; choose a column with fewer labels, or merge rare ones"
        )


def _split(
    table: TextTable,
    classes: Sequence[str],
    numbers: "NDArray[np.int64]",
    validation: float,
    test: float,
    seed: int,
) -> list[torch.Tensor]:
    if validation + test >= 1:
        raise DataError(
            f"fractions of {validation:g} and {test:g} leave no training data; lower --validation or --test"
        )
    needed = 1 + (validation > 0) + (test > 0)
    random = np.random.default_rng(seed)
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    ends_of_classes = np.cumsum(np.bincount(numbers, minlength=len(classes)))
    rows_of_classes = np.split(np.argsort(numbers, kind="stable"), ends_of_classes[:-1])
    for name, ordered_rows in zip(classes, rows_of_classes, strict=True):
        rows = random.permutation(ordered_rows)
        if len(rows) < needed:
            raise DataError(
                f"class {short(repr(name))} has {len(rows)} rows ({table.places[rows.min()]}); it needs "
                f"{needed} to be in training, validation"
                + (" and test" if test else "")
                + "; add rows or remove the class"
            )
        ends = np.cumsum(_counts(len(rows), validation, test))
        for part, chosen in zip(parts, np.split(rows, ends[:2]), strict=True):
            part.append(chosen)
    return [torch.from_numpy(np.sort(np.concatenate(part))) for part in parts]


def _counts(rows: int, validation: float, test: float) -> tuple[int, int, int]:
    """Return the numbers of rows of a class for training, validation and test.

    The stratified split of scikit-learn may leave out a rare class from a part, or reject it.
    """
    held_out = [max(1, round(share * rows)) if share else 0 for share in (validation, test)]
    while sum(held_out) >= rows:
        held_out[held_out.index(max(held_out))] -= 1
    return rows - sum(held_out), held_out[0], held_out[1]
